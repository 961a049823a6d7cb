"""A command as it runs: its output, its end, and that no process of it is left."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

KILL_AFTER_S = 10.0  # of SIGTERM, that a command has to save what it wants to
TRIAL_DIR = "BALLTRAIN_TRIAL_DIR"  # in the environment of all processes of a trial's command
SUPERVISOR = Path(__file__).with_name("supervisor.py")


class Killed(Exception):
    """What watches over the command was killed, from outside."""


class Running:
    """A shell command that runs: `with Running(…) as running`. At the end of the block nothing of it is left.

    It has its folder, its environment and a session of its own; its output and its errors come together, in their
    order. `exit_code` is None until it has ended, 128 + N where signal N has ended it.
    """

    def __init__(
        self, command: str, folder: Path, environment: Mapping[str, str], kill_after_s: float = KILL_AFTER_S
    ):
        self.exit_code: int | None = None
        self._mark, self._kill_after_s = environment.get(TRIAL_DIR), kill_after_s
        self._status, theirs = os.pipe()
        try:
            starter = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SUPERVISOR), str(theirs), str(kill_after_s), command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the sweep's
                pass_fds=(theirs,),
            )
        except BaseException:
            os.close(self._status)
            raise
        finally:
            os.close(theirs)
        assert starter.stdin is not None
        assert starter.stdout is not None
        self._stdin, self._output = starter.stdin, starter.stdout
        starter.wait()  # it leaves the supervisor behind

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            for _ in self.stopped():
                pass
        finally:
            self._output.close()
            os.close(self._status)

    def read(self, wait_s: float) -> bytes:
        """Output that has come, within so many seconds; none where none has, or the command has ended.

        Raises Killed where its supervisor was.
        """
        ready, _, _ = select.select([self._output.fileno(), self._status], [], [], wait_s)
        if self._output.fileno() in ready and (output := os.read(self._output.fileno(), 1 << 16)):
            return output
        if self._status in ready and self.exit_code is None:
            said = os.read(self._status, 16)
            if not said:
                self._kill_marked()
                self.exit_code = 128 + signal.SIGKILL
                raise Killed
            self.exit_code = int(said)
        return b""

    def ask_to_end(self) -> None:
        """Have the command ended: SIGTERM, and SIGKILL to what is left after so many seconds."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def stopped(self) -> Iterator[bytes]:
        """End the command; its last output meanwhile."""
        self.ask_to_end()
        deadline = time.monotonic() + self._kill_after_s + 5.0
        with contextlib.suppress(Killed):
            while self.exit_code is None:
                if output := self.read(0.1):
                    yield output
                if time.monotonic() > deadline:  # a supervisor that hangs
                    self._kill_marked()
                    return

    def _kill_marked(self) -> None:
        if self._mark is not None:
            kill_marked(self._mark)


def kill_marked(mark: str) -> None:
    """Kill what is left on this machine of the command of a trial, by the trial's folder."""
    entry = f"{TRIAL_DIR}={mark}".encode()
    for _ in range(50):  # processes may start others meanwhile
        found = [pid for pid in _processes() if entry in _environment(pid) and pid != os.getpid()]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _processes() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return []  # no Linux


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # another user's, or gone
        return []
