"""Errors in the words of who reads them: `--resume` on the command line is `resume=True` in Python."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from balltrain.errors import BalltrainError
from balltrain.knobs import knobs_of
from balltrain.tasks.user_code import told_as_users

P = ParamSpec("P")
R = TypeVar("R")

VALUE = r"\d+(?:\.\d+)?|[A-Z]\b|[A-Z]{2,}\b|off\b|offline\b|runs/[A-Z]+"
OPTION = re.compile(rf"--([a-z][a-z-]*[a-z])(?:[ ]({VALUE}))?")
DATA_FIELD = re.compile(r"--data (?!combination\b)([a-z_][a-z0-9_]*)\b(?!=)")
OF_FUNCTIONS = ("out", "split", "vote", "workers")  # arguments that are no knobs

_typed: ContextVar[bool] = ContextVar("typed", default=False)


@contextlib.contextmanager
def on_command_line() -> Iterator[None]:
    """Within it errors name options as they are typed into a shell."""
    token = _typed.set(True)
    try:
        yield
    finally:
        _typed.reset(token)


def in_python(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose errors name arguments as they are written in Python, unless the command line calls it."""

    @wraps(function)
    def speaking(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with told_as_users():
                return function(*args, **kwargs)
        except BalltrainError as error:
            if not _typed.get() and error.args:
                error.args = (as_arguments(str(error.args[0])), *error.args[1:])
            raise

    return speaking


def as_arguments(message: str) -> str:
    """A message with options as arguments; what is typed into a shell stays as it is."""
    message = DATA_FIELD.sub(r'data["\1"]', message)
    message = message.replace("--set ", "").replace("--skip-bad", 'data={"skip_bad": True}')
    return OPTION.sub(_as_argument, message)


def _as_argument(found: re.Match[str]) -> str:
    option, value = found.groups()
    name = option.replace("-", "_")
    if name not in _switches() | _names():
        return found[0]
    if name in _switches():
        return f"{name}=True" + (f" {value}" if value else "")
    if value is None:
        return name
    return f"{name}={value}" if value[0].isdigit() or len(value) == 1 else f'{name}="{value}"'


@cache
def _names() -> frozenset[str]:
    return frozenset(OF_FUNCTIONS) | {entry.name for owner in _owners() for entry in knobs_of(owner)}


@cache
def _switches() -> frozenset[str]:
    return frozenset(e.name for owner in _owners() for e in knobs_of(owner) if isinstance(e.field.default, bool))


def _owners() -> tuple[type, ...]:
    from balltrain.api.arguments import Data, Run
    from balltrain.execution.resources import Resources
    from balltrain.search.sweep import Sweep
    from balltrain.tracking.mirrors import Tracking

    return Sweep, Run, Data, Resources, Tracking
