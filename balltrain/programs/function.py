"""A function that trains, as what is swept: `balltrain.Sweep(train, space, objective="accuracy", mode="max")`."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from balltrain.errors import BalltrainError, UsageError
from balltrain.programs.handle import Trial
from balltrain.programs.program import Program, ProgramAttempt, checked_objective
from balltrain.tasks import run_file, text_id
from balltrain.tasks.cells import MAIN, text_of
from balltrain.tasks.decoding import read_source
from balltrain.tasks.siblings import Texts, texts_beside
from balltrain.tasks.user_code import is_users_code, told_as_users
from balltrain.training.rows import EpochRow


class FunctionProgram(Program):
    """A function of one argument, `trial`."""

    kind = "function"

    def __init__(self, function: Callable[[Trial], Any], ref: FunctionRef):
        super().__init__(ref.name, ref.objective, ref.mode)
        self.function, self.ref = function, ref

    def to_json(self) -> dict[str, Any]:
        ref = self.ref
        return {"module": ref.module, "file": ref.file, "source": ref.source}

    def run(self, attempt: ProgramAttempt, report: Callable[[EpochRow], None]) -> None:
        trial = Trial(attempt, self.objective, self.mode, report)
        self.function(trial)
        if not trial.epoch:
            raise UsageError(
                f"the function {self.name} ended without trial.report(): report the figures of each epoch"
            )


@dataclass(frozen=True)
class FunctionRef:
    """A function by its module, or by the text that defines it, which travels along as that of a task does."""

    name: str
    objective: str
    mode: Literal["min", "max"]
    module: str | None = None
    file: str | None = None
    source: str | None = None
    beside: Texts = ()

    @property
    def code_id(self) -> str:
        return text_id(self.source or "")

    def load(self) -> FunctionProgram:
        """Raises BalltrainError where it cannot be had."""
        if self.source is None:
            function = _imported(self.module or "", self.name)
        else:
            file = Path(self.file or f"<function {self.name}>")
            function = vars(run_file(file, self.source, self.beside))[self.name]
        return FunctionProgram(function, self)


def function_ref(function: FunctionType, objective: str | None, mode: str | None) -> FunctionRef:
    """The reference of a function object.

    Raises UsageError for what is none that other processes can find, BalltrainError where its text cannot be had.
    """
    name = _checked_name(function)
    found = checked_objective(objective, mode, f"the function {name}")
    module = sys.modules.get(function.__module__)
    named = getattr(module, "__file__", None)
    # one with a decorator may have the code of the decorator's file
    typed = not Path(inspect.unwrap(function).__code__.co_filename).is_file()  # at a prompt, or in a notebook's cell
    if named and Path(named).is_file() and not typed:
        if getattr(module, name, None) is not function:
            raise UsageError(f"{named} has another {name}: give the function that has this name there")
        if _is_installed(Path(named)):
            return FunctionRef(name, *found, module=function.__module__)
        return function_in_file(Path(named), name, *found)
    if function.__module__ != MAIN:
        raise BalltrainError(f"the source of the function {name} cannot be read: put it into a Python file")
    if function.__closure__ or function is not inspect.unwrap(function):
        raise UsageError(f"{name} has a decorator, which does not travel from a cell: put both into a Python file")
    text = text_of(function)
    return FunctionRef(name, *found, source=text, beside=texts_beside(Path.cwd(), text))


def function_in_file(file: Path, name: str, objective: str, mode: Literal["min", "max"]) -> FunctionRef:
    """That of a file's text. Raises BalltrainError where the file cannot be read."""
    source = read_source(file)
    beside = texts_beside(file.resolve().parent, source)
    return FunctionRef(name, objective, mode, None, str(file.resolve()), source, beside)


def named_function(text: str, objective: str | None, mode: str | None) -> FunctionRef:
    """That of `module:function`, or of `file.py:function`. Raises UsageError where there is none."""
    place, _, name = text.rpartition(":")
    found = checked_objective(objective, mode, f"the function {name}")
    if place.endswith(".py"):
        ref = function_in_file(Path(place), name, *found)
        function = vars(run_file(Path(place), ref.source or "", ref.beside)).get(name)
        if not isinstance(function, FunctionType):
            raise UsageError(f"{place} has no function {name!r}")
        _checked_name(function)
        return ref
    _checked_name(_imported(place, name))
    return FunctionRef(name, *found, module=place)


def _checked_name(function: Any) -> str:
    """Raises UsageError for what other processes cannot find by its name, or cannot call with a trial."""
    if not isinstance(function, FunctionType):
        raise UsageError(f"{function!r} is no function: define one, `def train(trial): …`")
    name = function.__name__
    if name == "<lambda>" or "<locals>" in function.__qualname__:
        what = "a lambda" if name == "<lambda>" else f"{name}, which is defined inside another function"
        raise UsageError(f"other processes do not find {what}: define a function at the top of a file or a cell")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(f"{name} is a coroutine or a generator: make it a plain function that trains")
    with told_as_users():
        try:
            inspect.signature(function).bind(None)
        except TypeError:
            raise UsageError(
                f"{name}{inspect.signature(function)} is called with a trial alone: make it {name}(trial), and take "
                "the rest from trial.config"
            ) from None
    return name


def _imported(module: str, name: str) -> FunctionType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        with told_as_users():
            found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{module}:{name} cannot be imported: {error}") from error
    if not isinstance(found, FunctionType):
        raise UsageError(f"{module}:{name} is {found!r}, but must be a function")
    is_users_code(str(getattr(sys.modules[module], "__file__", "")))
    return found


def _is_installed(file: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(file.parts))
