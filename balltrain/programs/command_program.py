"""A command, as what is swept: `balltrain.Sweep(balltrain.Command("./train.sh {lr}"), space, objective=…)`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from balltrain.errors import UsageError
from balltrain.programs.command_run import CommandTrial, run_command
from balltrain.programs.commands import Command
from balltrain.programs.figures import Figures
from balltrain.programs.handle import FILES
from balltrain.programs.packed import PackedFolder
from balltrain.programs.placeholders import check_placeholders
from balltrain.programs.program import (
    RESERVED,
    Program,
    ProgramAttempt,
    ProgramHyperparameters,
    checked_objective,
    row_of,
)
from balltrain.tasks import text_id
from balltrain.training.rows import EpochRow

STATE = "command.json"  # in a trial's folder


class CommandProgram(Program):
    """A command, in a folder of this machine."""

    kind = "command"

    def __init__(self, ref: CommandRef, folder: Path):
        super().__init__(ref.name, ref.objective, ref.mode)
        self.command, self.folder = ref.command, folder

    @property
    def own_hyperparameters(self) -> list[str]:
        """Those that the sweep has told it of."""
        return [name for name in self.Hyperparameters.model_fields if name not in ProgramHyperparameters.model_fields]

    def check(self, searched: Iterable[str], fixed: Iterable[str], *, folds: bool, workers: int) -> None:
        """Raises UsageError where it cannot run, or would not see a hyperparameter."""
        if workers > 1:
            raise UsageError(
                f"the command {self.name} starts its workers itself: leave out --workers-per-trial, and give a trial "
                "what they need by --cpus-per-trial or --gpus-per-trial"
            )
        self.command.check()
        check_placeholders(
            self.command.command, searched, (name for name in fixed if name != "patience"), folds=folds
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self.command)

    def run(self, attempt: ProgramAttempt, report: Callable[[EpochRow], None]) -> None:
        rows = _Rows(self, attempt, report)
        trial = CommandTrial(
            command=self.command.command,
            figures=self.command.figures,
            folder=self.folder,
            trial_dir=(attempt.folder / FILES).resolve(),
            objective=self.objective,
            config=attempt.config,
            trial_id=attempt.trial_id,
            seed=attempt.seed,
            epochs=attempt.config["epochs"],
            resumed=attempt.attempt > 1,
            state_file=attempt.folder / STATE,
            cpus=attempt.cpus,
            gpus=attempt.gpus,
            fold=attempt.fold,
        )
        with contextlib.suppress(_OutOfPatience):
            run_command(trial, rows.add, _print)


class _OutOfPatience(Exception):
    """So many epochs had no better objective."""


class _Rows:
    """Makes rows of a command's figures."""

    def __init__(self, program: CommandProgram, attempt: ProgramAttempt, report: Callable[[EpochRow], None]):
        self.program, self.attempt, self.report = program, attempt, report
        self.best: tuple[float, int] | None = None  # the smaller the better, and its epoch

    def add(self, epoch: int, figures: Figures, seconds: float) -> None:
        program = self.program
        own = {name: value for name, value in figures.items() if name not in RESERVED}
        # a validation may come every few epochs
        row = row_of(epoch, own, program.objective, seconds=seconds, is_first=False, what="the command")
        if row["objective"] is not None:
            value = row["objective"] if program.mode == "min" else -row["objective"]
            self.best = min(self.best or (value, epoch), (value, epoch))
        if epoch > self.attempt.reported_epochs:
            self.report(row)
        patience = self.attempt.config.get("patience")
        if patience is not None and self.best is not None and epoch - self.best[1] >= patience:
            raise _OutOfPatience


@dataclass(frozen=True)
class CommandRef:
    """A command, for any process on any node. `packed` is its folder, for those that do not share it."""

    command: Command
    objective: str
    mode: Literal["min", "max"]
    packed: PackedFolder | None = None

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def file(self) -> str | None:
        return None

    @property
    def code_id(self) -> str:
        return text_id(self.command.command)

    def load(self) -> CommandProgram:
        """Raises BalltrainError where its folder cannot be had."""
        folder = Path(self.command.folder or "") if self.packed is None else self.packed.settled()
        return CommandProgram(self, folder)

    def travelling(self, leave_out: Path) -> CommandRef:
        """With its folder, but for the results in `leave_out`. Raises BalltrainError where that is too large."""
        return dataclasses.replace(self, packed=PackedFolder.of(Path(self.command.folder or ""), leave_out))


def command_ref(command: Command, objective: str | None, mode: str | None) -> CommandRef:
    """Raises UsageError without an objective."""
    return CommandRef(command, *checked_objective(objective, mode, f"the command {command.name}"))


def _print(output: bytes) -> None:
    """As if this process had printed it: a sweep keeps what its trials print."""
    with contextlib.suppress(OSError):
        os.write(2, output)  # standard output of a dry run is its plan
