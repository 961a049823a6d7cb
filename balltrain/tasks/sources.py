"""Naming a task that is a Python object, such that any process on any node can load it."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef, known_tasks, read_source, task_ref
from balltrain.tasks.base import Task


def ref_of(task: str | Task | type[Task]) -> TaskRef:
    """The reference of a task: by its name, else by the text of the file that defines it.

    Raises UsageError for what is no task, BalltrainError where the text cannot be had.
    """
    if isinstance(task, str):
        return task_ref(task)
    cls = task if isinstance(task, type) else type(task)
    if not issubclass(cls, Task):
        raise UsageError(f"{task!r} is no task: give a task's name, a Python file, or a subclass of balltrain.Task")
    module = sys.modules.get(cls.__module__)
    installed = known_tasks().get(getattr(cls, "name", ""), "").partition(":")[0]
    if installed and installed == cls.__module__:
        return TaskRef(cls.name)
    file = getattr(module, "__file__", None) or inspect.getsourcefile(cls)
    if file is None or not Path(file).is_file():
        raise BalltrainError(f"the source of the task {cls.__name__} cannot be had: put it into a Python file")
    return TaskRef(cls.name, str(Path(file).resolve()), read_source(Path(file)))
