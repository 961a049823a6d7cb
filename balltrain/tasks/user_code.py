"""What comes out of a user's own code, as one line: the file, the line, the method, and the exception."""

from __future__ import annotations

import argparse
import contextlib
import dis
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from balltrain.errors import BalltrainError, UserCodeError

PACKAGE = str(Path(__file__).parents[1]) + os.sep
MODULE = "<module>"  # what Python calls the top of a file in a traceback
MAX_MESSAGE = 500  # characters
RAISE = dis.opmap["RAISE_VARARGS"]
AT_IMPORT = 'put what a script alone does under `if __name__ == "__main__":`'

_files: set[str] = set()  # that hold users' code, as tracebacks name them


@dataclass(frozen=True)
class _Frame:
    code: CodeType
    line: int
    raises: bool  # it holds the statement `raise` that was run

    @property
    def file(self) -> str:
        return self.code.co_filename

    @property
    def is_users(self) -> bool:
        return self.file in _files

    @property
    def is_balltrains(self) -> bool:
        return self.file.startswith(PACKAGE) and not self.is_users


def is_users_code(file: str) -> None:
    """Have what `file` raises told as a user's: `file` is the name that its text was compiled under."""
    _files.add(file)


@contextlib.contextmanager
def told_as_users() -> Iterator[None]:
    """In the block, an exception that comes out of a user's code is raised as a UserCodeError that says where.

    So are SystemExit, and a KeyboardInterrupt that the code itself raises. BalltrainErrors pass as they are.
    """
    try:
        yield
    except BaseException as error:
        found = users_error(error)
        if found is None:
            raise
        raise found from error


def users_error(error: BaseException) -> UserCodeError | None:
    """What is told of an exception; None where it is not of a user's code."""
    if isinstance(error, BalltrainError):
        return None
    frames = list(_frames(error))
    last = max((number for number, frame in enumerate(frames) if frame.is_users), default=None)
    if isinstance(error, SyntaxError) and error.filename in _files:  # of a text that could not be compiled
        text = f"{Path(str(error.filename)).name}, line {error.lineno}, fails: {described(error)}"
    elif last is None or _is_asked_for(error, frames):
        return None
    else:
        text = _told(error, frames, last)
    found = UserCodeError(text)
    found.kinds = tuple(cls.__name__ for cls in type(error).__mro__)
    return found


def described(error: BaseException) -> str:
    """The kind of an exception and its message, in one line."""
    try:
        message = " ".join(str(error).split())[:MAX_MESSAGE]
    except Exception:  # a user's class of exceptions may fail at that too
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextlib.contextmanager
def exits_as_errors() -> Iterator[None]:
    """In the block `os._exit` in a user's code raises SystemExit, as does a wrong argument of its argparse.

    The one would end the process without a word; the other prints the usage of a command that nobody has typed.
    """
    leave, complain, process = os._exit, argparse.ArgumentParser.error, os.getpid()

    def exit_(status: int) -> Any:
        if os.getpid() == process and sys._getframe(1).f_code.co_filename in _files:
            raise SystemExit(status)
        leave(status)

    def error(parser: argparse.ArgumentParser, message: str) -> Any:
        raise SystemExit(message)

    os._exit = exit_
    argparse.ArgumentParser.error = error  # type: ignore[method-assign,assignment]  # put back below
    try:
        yield
    finally:
        os._exit = leave
        argparse.ArgumentParser.error = complain  # type: ignore[method-assign]


def _frames(error: BaseException) -> Iterator[_Frame]:
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        raises = traceback.tb_lasti >= 0 and code.co_code[traceback.tb_lasti] == RAISE
        yield _Frame(code, traceback.tb_lineno, raises)
        traceback = traceback.tb_next


def _is_asked_for(error: BaseException, frames: list[_Frame]) -> bool:
    """Whether it only met a user's code: Ctrl-C, or a signal by which Ray or a batch system ends a process."""
    if isinstance(error, KeyboardInterrupt):
        return not (frames[-1].is_users and frames[-1].raises)
    # of this module are those below, which stand in place of the ends of a process
    by_us = frames[-1].is_balltrains and frames[-1].file != __file__
    return isinstance(error, SystemExit) and (by_us or f"{os.sep}ray{os.sep}" in frames[-1].file)


def _told(error: BaseException, frames: list[_Frame], last: int) -> str:
    first = last
    for number in range(last, -1, -1):
        if frames[number].is_balltrains:
            break
        if frames[number].is_users:
            first = number
    called = [frame.code.co_name for frame in frames[first : last + 1] if frame.is_users]
    names = [name for name in called if not name.startswith("<") or name == MODULE] or called[-1:]
    where = f"{Path(frames[last].file).name}, line {frames[last].line}"
    if names[-1] != MODULE:
        of = "" if names[0] == names[-1] else " (at import)" if names[0] == MODULE else f" (of {names[0]})"
        where += f", in {names[-1]}{of}"
    if isinstance(error, SystemExit):
        hint = f": {AT_IMPORT}" if names[0] == MODULE else ""
        return f"{where}, ends the process ({described(error)}){hint}"
    return f"{where}{', fails' if names[-1] == MODULE else ''}: {described(error)}"
