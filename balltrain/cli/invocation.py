"""What was typed, for the commands that say how to go on and for errors that name it."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field

from balltrain.cli.options import ALIASES
from balltrain.cli.secrets import without_secrets


@dataclass(frozen=True)
class Invocation:
    """The arguments of this run of `balltrain`, the object of typer's context."""

    arguments: list[str]
    began: float = field(default_factory=time.time)  # seconds since 1970: a time budget counts from here

    def has(self, option: str) -> bool:
        return any(argument.split("=")[0] == option for argument in self.arguments)

    def to_go_on(self, option: str, value: str) -> str:
        """The command that resumes; `option` names the run, and is added where it was not typed."""
        arguments = [argument for argument in without_secrets(self.arguments) if argument != "--resume"]
        if not self.has(option):
            arguments += [option, value]
        return f"balltrain {shlex.join([*arguments, '--resume'])}"

    def as_typed(self, message: str) -> str:
        """An error of `--data KEY` by the name of the alias, where that was typed."""
        for alias in ALIASES:
            if self.has(alias.flag):
                message = message.replace(f"--data {alias.key}", alias.flag)
        return message
