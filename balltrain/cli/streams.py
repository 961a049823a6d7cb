"""Standard output and error as they are: closed, full, in an encoding that lacks letters, or for JSON alone."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from balltrain.errors import BalltrainError

_kept: list[Any] = []  # standard output, while it is for JSON alone; None where it is closed
_left: list[TextIO] = []  # those of them that are files of their own


class StdoutError(BalltrainError):
    """Standard output takes nothing more: it is full, or nobody reads it."""

    def __init__(self, error: OSError):
        super().__init__(f"cannot write to standard output: {error.strerror or error}; what was computed is kept")
        self.nobody_reads = error.errno == errno.EPIPE  # `balltrain results | head`


@contextlib.contextmanager
def prepared_streams() -> Iterator[None]:
    """In the block no letter ends a command, and standard output raises StdoutError where it takes nothing more.

    Where one of the three streams is closed, no file that is opened later stands in for it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")
    before = sys.stdout
    if before is not None:
        sys.stdout = _Guarded(before)
    try:
        yield
        if before is not None:
            sys.stdout.flush()
    finally:
        sys.stdout = before


@contextlib.contextmanager
def json_alone(wanted: bool) -> Iterator[None]:
    """In the block, where it is wanted, `print_json` alone writes to standard output; all else goes to the error.

    That is what a task prints, what its libraries and their processes write, and what is written at the exit.
    """
    if not wanted:
        yield
        return
    _kept.append(_taken_over(sys.stdout))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
            if _kept[-1] is not None:
                _kept[-1].flush()
    finally:
        _kept.pop()


def json_stream() -> Any:
    """Where JSON is printed. Raises BalltrainError where standard output is closed."""
    found = _kept[-1] if _kept else sys.stdout
    if found is None:
        raise BalltrainError("standard output is closed, and --json prints there: open it, or leave out --json")
    return found


def leave_stdout() -> None:
    """What was printed and could not be written goes to nowhere, at the exit too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, *_left):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or no file
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Guarded:
    """A stream whose errors are told from those of other files."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise StdoutError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise StdoutError(error) from error


def _taken_over(stdout: Any) -> Any:
    """Standard output by another number, while 1 is that of standard error: for what writes past Python too."""
    try:
        is_first = stdout.fileno() == 1
    except (AttributeError, OSError, ValueError):  # closed, or no file, as in a notebook
        is_first = False
    if not is_first:
        return stdout
    stdout.flush()
    _left.append(open(os.dup(1), "w", encoding=stdout.encoding, errors="replace"))  # noqa: SIM115 - until the exit
    os.dup2(2, 1)
    return _Guarded(_left[-1])
