"""Sweep files: those that come with balltrain, and those of users."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from balltrain.errors import UsageError
from balltrain.search.sweep import Sweep
from balltrain.tasks import TaskRef, only_task, run_file, task_ref
from balltrain.tasks.decoding import read_source

if TYPE_CHECKING:
    from balltrain.programs.program import ProgramRef  # whose torch completion does without

INSTALLED_SWEEPS = Path(__file__).parents[1] / "sweeps"  # in a wheel
CHECKOUT_SWEEPS = Path(__file__).parents[2] / "sweeps"  # in a clone


def find_sweep(name_or_file: str) -> tuple[Sweep, TaskRef | ProgramRef]:
    """The sweep for what a user typed: a Python file, or the name of one in `sweeps/`.

    Raises UsageError where there is none, or the file holds no sweep.
    """
    from balltrain.programs.refs import program_ref

    path = Path(name_or_file)
    if path.suffix != ".py":
        path = _shipped(name_or_file)
    ref = TaskRef.of_file("", path, read_source(path))
    module = run_file(path, ref.source or "", ref.beside)
    sweeps = [value for value in vars(module).values() if isinstance(value, Sweep)]
    if len(sweeps) != 1:
        raise UsageError(f"{path} has {len(sweeps)} sweeps: define exactly one, `sweep = balltrain.Sweep(…)`")
    (sweep,) = sweeps
    if isinstance(sweep.task, str):
        return sweep, task_ref(sweep.task)
    if (program := program_ref(sweep.task, sweep.objective, sweep.mode)) is not None:
        return sweep, program
    return sweep, dataclasses.replace(ref, name=only_task(module, str(path)).name)


def shipped_sweeps() -> list[str]:
    """Names of the sweep files that come with balltrain."""
    return sorted(path.stem for path in _folder().glob("*.py"))


def _shipped(name: str) -> Path:
    if name not in shipped_sweeps():
        near = difflib.get_close_matches(name, shipped_sweeps(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"no sweep of {name!r}: {hint}choose one of {', '.join(shipped_sweeps())}, or a Python file")
    return _folder() / f"{name}.py"


def _folder() -> Path:
    return INSTALLED_SWEEPS if INSTALLED_SWEEPS.is_dir() else CHECKOUT_SWEEPS
