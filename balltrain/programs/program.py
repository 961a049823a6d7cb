"""Training code that is not a `Task`: it trains by itself, and says the figures of each epoch."""

from __future__ import annotations

import abc
import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Protocol

from pydantic import BaseModel, ConfigDict, Field, create_model

from balltrain import durable
from balltrain.errors import ReportError, StorageError, UsageError
from balltrain.tasks.checks import ROW_COLUMNS
from balltrain.training.rows import EpochRow

OWN_COLUMNS = ("lr", "train_loss", "val_loss")  # of a row, for figures of these names
RESERVED = sorted(ROW_COLUMNS - {*OWN_COLUMNS, "num_params", "latency_seconds"})
CONFIG = "config.json"  # of a trial's folder, as of a task's checkpoint


class ProgramHyperparameters(BaseModel):
    """What every program has; those of the space and the fixed ones are added to these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    patience: int | None = Field(None, ge=1)

    @classmethod
    def renewed(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Values as an earlier version may have written them, by the names that they have now."""
        return values


@dataclass(frozen=True)
class ProgramAttempt:
    """One run of a trial of a program, on one worker. `reported_epochs` are in the journal already."""

    number: int
    trial_id: str
    attempt: int  # from 1
    config: Mapping[str, Any]
    seed: int
    reported_epochs: int
    folder: Path  # of the trial's checkpoint
    fold: tuple[int, int] | None = None  # number, from 0, and count
    cpus: float = 1.0
    gpus: float = 0.0
    rank: int = 0
    world_size: int = 1


class Program(abc.ABC):
    """What a sweep needs of training code of any kind; `Task` is the other that it knows.

    `metric_names` is empty: figures have the names that they are reported by.
    """

    metric_names: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str]  # in words: function, command

    def __init__(self, name: str, objective: str, mode: Literal["min", "max"]) -> None:
        self.name, self.objective, self.mode = name, objective, mode
        self.Hyperparameters: type[ProgramHyperparameters] = ProgramHyperparameters

    def take(self, values: Mapping[str, list[Any]]) -> None:
        """Have these hyperparameters: by name values that they may have, the first where none is given.

        Their columns are of the types of these values.
        """
        fields: dict[str, Any] = {name: (_type_of(found), found[0]) for name, found in values.items()}
        self.Hyperparameters = create_model("Hyperparameters", __base__=ProgramHyperparameters, **fields)

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What a checkpoint says of how it is found."""

    @abc.abstractmethod
    def run(self, attempt: ProgramAttempt, report: Callable[[EpochRow], None]) -> None:
        """Train until `report` raises or the last epoch has been reported; rows come in order, from epoch 1."""


class ProgramRef(Protocol):
    """Names a program such that any process on any node can load it."""

    @property
    def name(self) -> str: ...
    @property
    def file(self) -> str | None: ...
    @property
    def code_id(self) -> str:
        """Changes with its text."""

    def load(self) -> Program:
        """The program itself. Raises BalltrainError where it cannot be had."""


def save_description(folder: Path, program: Program, config: Mapping[str, Any], seed: int) -> None:
    """`config.json` of a trial's folder. Raises StorageError where it cannot be written."""
    described = {"kind": program.kind, "name": program.name, **program.to_json()}
    content = {"program": described, "hyperparameters": dict(config), "seed": seed}
    try:
        durable.make_folder(folder)
        durable.sync_names(folder, 2)
        durable.replace(folder / CONFIG, json.dumps(content, indent=1).encode())
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from error


def checked_objective(objective: str | None, mode: str | None, what: str) -> tuple[str, Literal["min", "max"]]:
    """Both, of a program. Raises UsageError where they are not given, or are none."""
    if objective is None:
        raise UsageError(
            f'{what} needs an objective, one of the figures that it reports: objective="val_loss" (--objective)'
        )
    if not isinstance(objective, str) or not objective:
        raise UsageError(f"the objective is {objective!r}, but must be the name of a figure")
    if objective in RESERVED:
        _refuse_name(objective)
    if mode not in (None, "min", "max"):
        raise UsageError(f"the mode is {mode!r}, but must be min or max")
    return objective, "max" if mode == "max" else "min"


def row_of(
    epoch: int, figures: Mapping[str, Any], objective: str, *, seconds: float, is_first: bool, what: str
) -> EpochRow:
    """The row of an epoch, of figures as they were reported. `what` reported them, at the head of an error.

    Raises ReportError for a figure that is no number, and where the first row lacks the objective.
    """
    numbers = {str(name): _number(name, value, what) for name, value in figures.items()}
    if is_first and objective not in numbers:
        near = difflib.get_close_matches(objective, numbers, n=1)
        there = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(numbers)) or 'no figures'}"
        raise ReportError(f"{what} has no figure {objective}, which is the objective: {there}")
    own: dict[str, Any] = {name: numbers.pop(name, None) for name in OWN_COLUMNS}
    num_params, latency = numbers.pop("num_params", None), numbers.pop("latency_seconds", None)
    value = own[objective] if objective in own else numbers.get(objective)
    row: dict[str, Any] = {"epoch": epoch, "seconds": seconds, **own, "metrics": numbers, "objective": value}
    row["num_params"] = None if num_params is None or not math.isfinite(num_params) else int(num_params)
    if latency is not None:
        row["latency_seconds"] = latency
    return row  # type: ignore[return-value]  # of a program, some are None


def _number(name: Any, value: Any, what: str) -> float:
    if name in RESERVED:
        _refuse_name(str(name))
    if not isinstance(value, str | bytes):
        value = value.detach() if hasattr(value, "detach") else value
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            pass
    shown = " ".join(repr(value).split())[:60]
    raise ReportError(f"{what}: {name} is {shown}, but figures are single numbers")


def _refuse_name(name: str) -> NoReturn:
    raise ReportError(f"a figure cannot be called {name}, which is a column of balltrain's own: give it another name")


def _type_of(values: list[Any]) -> Any:
    """Of a hyperparameter's column: that of all its values, or any, which is JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        kinds = {float}
    kind: Any = kinds.pop() if len(kinds) == 1 else Any
    if kind not in (bool, int, float, str):
        return Any
    return kind | None if None in values else kind
