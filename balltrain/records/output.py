"""What a trial prints: `logs/<trial_id>.log` beside the journal, whatever becomes of its checkpoint."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = "logs"
MAX_BYTES = 2 << 20  # of one file; then its first half goes
LOOK_EVERY_S = 1.0  # at its size


def output_file(folder: Path, trial_id: str, rank: int = 0) -> Path:
    """That of a trial's worker; `folder` is the sweep's."""
    return folder / FOLDER / (f"{trial_id}.log" if rank == 0 else f"{trial_id}.rank{rank}.log")


class Output:
    """Appends to the output of a trial. A disk that is full ends no trial for it."""

    def __init__(self, path: Path, attempt: int):
        self.path = path
        self._looked = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        self.write(f"--- attempt {attempt} on {socket.gethostname()}, {now}\n".encode())

    def write(self, output: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self.descriptor, output)
        if time.monotonic() - self._looked >= LOOK_EVERY_S or len(output) > MAX_BYTES // 8:
            self.shorten()

    def shorten(self) -> None:
        """Leave out the first half of what is too long."""
        self._looked = time.monotonic()
        with contextlib.suppress(OSError):
            size = os.fstat(self.descriptor).st_size
            if size <= MAX_BYTES:
                return
            kept = os.pread(self.descriptor, MAX_BYTES // 2, size - MAX_BYTES // 2)
            _, _, kept = kept.partition(b"\n")
            os.ftruncate(self.descriptor, 0)
            os.write(self.descriptor, f"--- {size - len(kept)} bytes left out\n".encode() + kept)

    def close(self) -> None:
        self.shorten()
        os.close(self.descriptor)


@contextlib.contextmanager
def captured(path: Path, attempt: int) -> Iterator[Output]:
    """In the block, all that this process and those that it starts print goes to the file."""
    output = Output(path, attempt)
    _flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    try:
        for number in saved:
            os.dup2(output.descriptor, number)
        yield output
    finally:
        _flush()
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        output.close()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, full, none
            stream.flush()
