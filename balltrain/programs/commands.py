"""`balltrain.Command`: a program in any language, that a sweep runs as its trials."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from balltrain.errors import UsageError
from balltrain.programs.figure_sources import check_source
from balltrain.programs.placeholders import filled_in, placeholders
from balltrain.tasks import file_being_run

SCRIPTS = (".py", ".sh", ".R", ".r", ".jl", ".pl", ".rb", ".js", ".lua", ".m", ".awk")
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
_OPERATORS = set("|&;<>()`$\n")  # of the shell: what follows is not looked at


@dataclass(frozen=True)
class Command:
    """A program in any language, which a sweep runs once a trial: `Sweep(Command("./train.sh {lr}"), space, …)`.

    `{lr}` becomes the value of the hyperparameter, quoted as the shell needs it; `{config_file}` is a JSON file with
    all of them; `{trial_dir}`, `{epochs}`, `{seed}` and others are the trial's. Its figures are found in what it
    prints or writes, unless `figures` names a file or a pattern. docs/commands.md has all of it.

    Args:
        command: What `/bin/sh` runs.
        figures: A file (`results.csv`), a regular expression with a named group a figure, or `report`, `json`,
            `lines`. None finds them.
        folder: Where it runs: that of the sweep file, or else the current one, unless given.

    Raises:
        UsageError: `figures` is none of these. Whether the program is there is checked by the sweep.

    Example:
        >>> balltrain.Command("echo val_loss: {lr}").name
        'echo'
    """

    command: str
    figures: str | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.command, str) or not self.command.strip():
            raise UsageError(
                f"the command is {self.command!r}, but must be a text, such as 'python train.py --lr {{lr}}'"
            )
        file = file_being_run()
        folder = Path(self.folder).expanduser() if self.folder is not None else file.parent if file else Path()
        object.__setattr__(self, "folder", str(folder.resolve()))
        check_source(self.figures)

    def check(self) -> None:
        """Look for the program, and its script, on this machine. Raises UsageError where they are not there."""
        folder = Path(self.folder or "")
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder} to run the command in")
        _check_program(self.command, folder)

    @property
    def name(self) -> str:
        """Of the script that it runs, or else of the program: what a sweep of it is called."""
        words = _first_words(self.command)
        script = next((word for word in words if word.endswith(SCRIPTS)), words[0] if words else "command")
        return re.sub(r"\W+", "_", Path(script).stem).strip("_") or "command"


def _first_words(command: str) -> list[str]:
    """Words up to the shell's first operator, with the environment's variables before them left out."""
    filled = filled_in(command, dict.fromkeys(placeholders(command), "0"))
    end = next((at for at, character in enumerate(filled) if character in _OPERATORS), len(filled))
    try:
        words = shlex.split(filled[:end])
    except ValueError:  # a quote that is open at the operator
        return []
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    return words


def _check_program(command: str, folder: Path) -> None:
    """Raises UsageError where the shell would not find the program, or the program its script."""
    words = _first_words(command)
    if not words:
        return
    program, path = words[0], folder / words[0]
    if "/" in program:
        there = os.access(path, os.X_OK)
    else:  # the shell's own among them
        look = ["/bin/sh", "-c", 'command -v -- "$1"', "sh", program]
        there = subprocess.run(look, cwd=folder, stdout=subprocess.DEVNULL).returncode == 0
    if not there:
        if path.is_file():
            hint = f"it is not executable: chmod +x {path}" if "/" in program else f"write ./{program}"
        else:
            near = difflib.get_close_matches(Path(program).name, _names(folder), n=1)
            hint = f"did you mean {near[0]}?" if near else "install it, or give its path"
        raise UsageError(f"the command {program!r} was not found, from {folder}: {hint}")
    for word in words[1:2]:
        if word.endswith(SCRIPTS) and not (folder / word).exists():
            near = difflib.get_close_matches(word, _names(folder), n=1)
            hint = f"did you mean {near[0]}?" if near else "the command runs in that folder"
            raise UsageError(f"there is no {word} in {folder}: {hint}")


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
