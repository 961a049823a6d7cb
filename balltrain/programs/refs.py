"""From training code as a user gives it, to a reference that travels."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from balltrain.programs.command_program import command_ref
from balltrain.programs.commands import Command
from balltrain.programs.function import function_ref
from balltrain.programs.program import ProgramRef


def program_ref(given: Any, objective: str | None, mode: str | None) -> ProgramRef | None:
    """The reference of a function or a `Command`; None for what is neither, such as a task.

    Raises UsageError where it cannot be swept, or has no objective.
    """
    if isinstance(given, FunctionType):
        return function_ref(given, objective, mode)
    return command_ref(given, objective, mode) if isinstance(given, Command) else None
