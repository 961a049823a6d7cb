"""The page beside a sweep: a process of its own, which costs the sweep's nothing, and ends with it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from balltrain.errors import BalltrainError
from balltrain.storage import Storage

STARTS_WITHIN_S = 30.0
NICENESS = 5


@contextlib.contextmanager
def page_beside(
    storage: str,
    name: str,
    announce: Callable[[str], None],
    *,
    allow_control: bool = False,
    data_dir: Path | None = None,
) -> Iterator[None]:
    """Serve the storage while the block runs; `announce` gets the URL of the sweep's own page.

    Where 8765 is taken, another port is. A page that does not start is said, and ends no sweep.
    """
    asked = {"storage": storage, "allow_control": allow_control, "data_dir": data_dir and str(data_dir)}
    process = subprocess.Popen(
        [sys.executable, "-m", "balltrain.serving.beside"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is the sweep's
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        url = _line(process)
        announce(f"{url}#/sweep/{quote(name)}" if url else "the page has not started: balltrain serve says why")
        yield
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()  # which ends it
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _line(process: subprocess.Popen[str]) -> str:
    """What it says first; empty where it has ended, or says nothing."""
    assert process.stdout is not None
    timer = threading.Timer(STARTS_WITHIN_S, process.kill)
    timer.start()
    try:
        return process.stdout.readline().strip()
    finally:
        timer.cancel()


def main() -> None:
    """Serve what a line of standard input says, until standard input ends."""
    from balltrain.serving.server import HOST, PORT, serve

    asked = json.loads(sys.stdin.readline())
    with contextlib.suppress(OSError):
        os.nice(NICENESS)

    def end_with_parent() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), 15)

    threading.Thread(target=end_with_parent, daemon=True).start()
    storage = Storage(asked.pop("storage"))
    for port in (PORT, 0):
        try:
            serve(storage, HOST, port, announce=lambda url: print(url, flush=True), **asked)
            return
        except BalltrainError as error:
            if port == 0:
                sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
