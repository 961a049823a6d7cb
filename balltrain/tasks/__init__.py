"""Finding a task: built-in, installed as a plug-in, or in a user's own file."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.decoding import read_source
from balltrain.tasks.siblings import Texts, activate, imported_anew, texts_beside
from balltrain.tasks.user_code import exits_as_errors, is_users_code, told_as_users

if TYPE_CHECKING:
    from balltrain.tasks.base import Task

# `module:attribute`, imported when asked for: torch takes a second, `balltrain --help` has half of one
BUILT_IN = {
    "coco": "balltrain.tasks.coco.task:task",
    "detect": "balltrain.tasks.detect.task:task",
    "forecast": "balltrain.tasks.forecast.task:task",
    "catdogs": "balltrain.tasks.catdogs.task:task",
    "cifar10": "balltrain.tasks.cifar10.task:task",
}
PLUGIN_GROUP = "balltrain.tasks"


@dataclass(frozen=True)
class TaskRef:
    """Names a task such that any process on any node can load it.

    The text of a user's file travels along, because the file itself exists on the user's machine alone, and so do
    the texts of the files beside it that it imports. A task of a notebook has a text and no file.
    """

    name: str
    file: str | None = None
    source: str | None = None
    beside: Texts = ()

    @classmethod
    def of_file(cls, name: str, path: Path, source: str) -> TaskRef:
        """That of a file's task, with what the file imports from beside it."""
        return cls(name, str(path.resolve()), source, texts_beside(path.resolve().parent, source))

    @property
    def code_id(self) -> str:
        """Changes with the text of a user's file; the built-in tasks have `data_version` instead."""
        return text_id(self.source or "")

    def load(self) -> Task:
        """The task itself. Raises UsageError where there is none of that name, BalltrainError where it breaks."""
        if self.source is not None:
            file = self.file or f"<task {self.name}>"
            return only_task(run_file(Path(file), self.source, self.beside), file, self.name)
        return _import(self.name, known_tasks())


def text_id(text: str) -> str:
    """Changes with the text; empty where there is none."""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def known_tasks() -> dict[str, str]:
    """Name to `module:attribute` of the built-in tasks and of the plug-ins that are installed."""
    return BUILT_IN | {point.name: point.value for point in entry_points(group=PLUGIN_GROUP)}


def task_ref(name_or_file: str) -> TaskRef:
    """The reference for what a user typed: a task's name, or the path of a Python file with a task.

    Raises UsageError where it is neither, BalltrainError where the file cannot be read or run.
    """
    tasks = known_tasks()
    if name_or_file in tasks:
        return TaskRef(name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".py":
        near = difflib.get_close_matches(name_or_file, tasks, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"unknown task {name_or_file!r}: {hint}choose one of {', '.join(tasks)}, or a Python file")
    source = read_source(path)
    ref = TaskRef.of_file("", path, source)
    return dataclasses.replace(ref, name=only_task(run_file(path, source, ref.beside), name_or_file).name)


_modules: dict[tuple[Path, str, Texts], types.ModuleType] = {}
_being_run: list[Path] = []


def file_being_run() -> Path | None:
    """The user's file that this process is running for its task, if it is."""
    return _being_run[-1] if _being_run else None


def run_file(path: Path, source: str, beside: Texts = ()) -> types.ModuleType:
    """The module that the text of a user's file makes, run once in a process for each version of the text.

    Imports find the files in `beside`. Raises BalltrainError naming the line where the file breaks.
    """
    path = path.resolve()
    key = path, source, beside
    if key in _modules:
        activate(path.parent, beside)
        return _modules[key]
    name = f"balltrain_user_{path.stem}_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pydantic look their own module up
    is_users_code(str(path))
    _being_run.append(path)
    try:
        with told_as_users(), exits_as_errors(), imported_anew(path.parent, beside):
            exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    finally:
        _being_run.pop()
    _modules[key] = module
    return module


def only_task(module: types.ModuleType, file: str, name: str | None = None) -> Task:
    """The one task of a user's file: a `Task` in a variable, or the one subclass that the file defines.

    Of several the one that is called `name`, or that the others are bases of. Raises UsageError where there is none
    or several, or something is wrong with it.
    """
    from balltrain.tasks.checks import check_task

    with told_as_users():  # it makes an object of a class, and reads attributes that may be properties
        return check_task(_found_task(module, file, name), file, BUILT_IN)


def _found_task(module: types.ModuleType, file: str, name: str | None) -> Task:
    from balltrain.tasks.base import Task

    found: list[Any] = list({id(value): value for value in vars(module).values() if isinstance(value, Task)}.values())
    if not found:
        classes = {value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Task)}
        found = [cls for cls in classes if cls.__module__ == module.__name__]
        if len(found) > 1 and name is not None:
            found = [cls for cls in found if getattr(cls, "name", None) == name]
        bases = {base for cls in found for base in cls.__mro__[1:]}
        found = [cls() for cls in found if cls not in bases]
    elif len(found) > 1 and name is not None:
        found = [task for task in found if getattr(task, "name", None) == name]
    if len(found) != 1:
        raise UsageError(f"{file} has {len(found)} tasks: define exactly one subclass of balltrain.Task")
    task: Task = found[0]
    return task


def _import(name: str, tasks: Mapping[str, str]) -> Task:
    if name not in tasks:
        raise UsageError(f"unknown task {name!r}: choose one of {', '.join(tasks)}")
    from balltrain.tasks.base import Task
    from balltrain.tasks.checks import check_task

    module, _, attribute = tasks[name].partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute or "task")
    except (ImportError, AttributeError) as error:
        raise BalltrainError(f"task {name} ({tasks[name]}) cannot be imported: {error}") from error
    task = found() if isinstance(found, type) and issubclass(found, Task) else found
    if name not in BUILT_IN:
        is_users_code(str(getattr(sys.modules[type(task).__module__], "__file__", "")))
    if not isinstance(task, Task):
        raise UsageError(f"{tasks[name]} of the plug-in {name} is {task!r}: make it a balltrain.Task")
    return check_task(task, tasks[name])
