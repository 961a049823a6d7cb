"""Naming a task that is a Python object, such that any process on any node can load it."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import BUILT_IN, TaskRef, known_tasks, task_ref
from balltrain.tasks.base import Task
from balltrain.tasks.cells import MAIN, text_of
from balltrain.tasks.checks import check_name
from balltrain.tasks.decoding import read_source
from balltrain.tasks.siblings import texts_beside


def ref_of(task: str | os.PathLike[str] | Task | type[Task]) -> TaskRef:
    """The reference of a task: by its name, else by the text that defines it.

    That is the text of its file, or, of a task in a notebook's cell or at a prompt, of the class and what it uses.
    Raises UsageError for what is no task, BalltrainError where the text cannot be had.
    """
    if isinstance(task, str | os.PathLike):
        return task_ref(os.fspath(task))
    cls = task if isinstance(task, type) else type(task)
    if not issubclass(cls, Task) or cls is Task:
        raise UsageError(f"{task!r} is no task: give a task's name, a Python file, or a subclass of balltrain.Task")
    if known_tasks().get(getattr(cls, "name", ""), "").partition(":")[0] == cls.__module__:
        return TaskRef(cls.name)
    check_name(cls, f"the task {cls.__name__}", BUILT_IN)
    if "<locals>" in cls.__qualname__:
        raise BalltrainError(
            f"the task {cls.__name__} is defined inside a function ({cls.__qualname__}), where no other process "
            "finds it: define it at the top of a cell or a file"
        )
    file = _file_of(cls)
    if file is not None:
        return TaskRef.of_file(cls.name, file, read_source(file))
    if cls.__module__ != MAIN:
        raise BalltrainError(f"the source of the task {cls.__name__} cannot be read: put it into a Python file")
    if not isinstance(task, type) and vars(task):
        raise UsageError(
            f"the {cls.__name__} object has values of its own ({', '.join(vars(task))}), unknown to trials: "
            "make them hyperparameters, or attributes of the class"
        )
    text = text_of(cls)
    return TaskRef(cls.name, None, text, texts_beside(Path.cwd(), text))


def _file_of(cls: type[Task]) -> Path | None:
    """The file that defines a class, None for one that was typed."""
    module = sys.modules.get(cls.__module__)
    named = getattr(module, "__file__", None)
    if named is None or not Path(named).is_file():
        return None
    file = Path(named).resolve()
    typed = [name for name in map(_compiled_as, vars(cls).values()) if name and not Path(name).is_file()]
    return None if typed and cls.__module__ == MAIN else file  # a prompt after a script: `python -i`


def _compiled_as(member: Any) -> str | None:
    return inspect.unwrap(member).__code__.co_filename if inspect.isfunction(member) else None
