"""The arguments that the functions of the API share, and what the command line makes options of."""

from __future__ import annotations

import dataclasses
import numbers
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from balltrain.errors import BalltrainError, UsageError
from balltrain.knobs import KnobField, Panel, knob, knobs_of, refuse_unknown
from balltrain.tasks.plain import plain

if TYPE_CHECKING:
    from balltrain.tasks.base import DataRequest

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which data a task learns from."""

    source: str | os.PathLike[str] | None = knob(
        None,
        "File or folder with real data in the task's public format.",
        Panel.DATA,
        says="built-in, or downloaded",
        metavar="PATH",
    )
    size: int | None = knob(None, "Take the first N items, or generate N.", Panel.DATA, says="all, or the task's")
    data: Mapping[str, Any] = knob(
        {},
        "Option of the task's data, such as categories=person,car for coco. Repeatable.",
        Panel.DATA,
        metavar="KEY=VALUE",
        repeated=True,
    )
    data_dir: str | os.PathLike[str] | None = knob(
        None, "Folder where decoded data is kept.", Panel.DATA, says="the user's cache folder", metavar="DIR"
    )

    def request(self, seed: int) -> DataRequest:
        """Raises UsageError for a size below 1, BalltrainError for a source that is not there."""
        from balltrain.tasks.base import DataRequest  # torch, which `--help` does without

        if self.size is not None and self.size < 1:
            raise UsageError(f"--size is {self.size}, but must be at least 1")
        source = None if self.source is None else Path(self.source)
        if source is not None and not source.exists():
            raise BalltrainError(f"--source {source}: there is no such file or folder")
        # a link stays one: what lies beside it is not what lies beside its target
        return DataRequest(os.path.abspath(source) if source else None, self.size, seed, dict(self.data))

    @property
    def folder(self) -> Path | None:
        """Where decoded data is kept; None for the default."""
        return None if self.data_dir is None else Path(self.data_dir)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a sweep is called, and where it is kept."""

    name: str | None = knob(
        None, "Name of the sweep, and of its folder.", Panel.RUN, says="TASK-TIME", metavar="NAME"
    )
    storage: str | os.PathLike[str] | None = knob(
        None,
        "Folder or URI (s3://bucket/prefix) of the sweeps.",
        Panel.RUN,
        says="runs",
        metavar="URI",
        envvar="BALLTRAIN_STORAGE",
    )
    resume: bool = knob(False, "Go on with a sweep that was interrupted or killed.", Panel.RUN)

    def checked_name(self, what: str) -> str:
        """The name, or one of the task and the time. Raises UsageError where it cannot be a folder's."""
        if self.resume and self.name is None:
            raise UsageError("--resume needs the sweep's name: --name NAME (balltrain results lists them)")
        name = self.name if self.name is not None else time_stamped(what)
        if not name or name in (".", "..") or "/" in name or name.startswith("-"):
            raise UsageError(f"--name {name!r} cannot be a folder's name")
        return name

    @property
    def uri(self) -> str:
        """Of the storage: that given, else that of the environment, else the folder `runs`."""
        return storage_uri(self.storage)


def storage_uri(storage: str | os.PathLike[str] | None) -> str:
    """The storage that is meant where none is given: BALLTRAIN_STORAGE, else the folder `runs`."""
    return str(storage) if storage is not None else os.environ.get("BALLTRAIN_STORAGE", "runs")


def time_stamped(what: str) -> str:
    """A name that no earlier run has."""
    return f"{what}-{time.strftime('%Y%m%d-%H%M%S')}"


def taken(owner: Callable[..., T], options: dict[str, Any]) -> T:
    """An object of the dataclass `owner` from those of the options that are its knobs, which are removed.

    None leaves the default. Raises UsageError for a value of another kind.
    """
    return owner(**taken_knobs(owner, options))


def taken_knobs(owner: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that are knobs of the dataclass `owner`, and not None; they are removed.

    Raises UsageError for a value of another kind.
    """
    given = {entry: options.pop(entry.name, None) for entry in knobs_of(owner)}
    return {entry.name: _of_its_kind(entry, value) for entry, value in given.items() if value is not None}


def refuse_rest(options: Mapping[str, Any], function: str, *owners: type, more: Sequence[str] = ()) -> None:
    """Raises UsageError for an argument that neither an owner nor `more` has, with the nearest that there is."""
    known = [*more, *(entry.name for owner in owners for entry in knobs_of(owner))]
    refuse_unknown(options, known, f"balltrain.{function}()")


# by the word in a field's annotation: what is said of it, and what it takes
KINDS: dict[str, tuple[str, type]] = {
    "bool": ("bool", bool),
    "int": ("int", numbers.Integral),
    "float": ("float", numbers.Real),
    "str": ("str", str),
    "PathLike": ("Path", os.PathLike),
    "Sequence": ("list", Sequence),
    "Mapping": ("dict", Mapping),
}


def kinds_of(field: dataclasses.Field[Any]) -> list[tuple[str, type]]:
    """What a field takes: each kind in a word, and its type."""
    words = re.findall(r"\w+", re.sub(r"\[.*?\]", "", str(field.type)))
    return [KINDS[word] for word in words if word in KINDS]


def _of_its_kind(entry: KnobField, value: Any) -> Any:
    """The value, numbers of numpy as Python's own: they go into JSON."""
    kinds = kinds_of(entry.field)
    flag_for_number = isinstance(value, bool) and not any(kind is bool for _, kind in kinds)
    if flag_for_number or not any(isinstance(value, kind) for _, kind in kinds):
        allowed = " or ".join(word for word, _ in kinds)
        raise UsageError(f"--{entry.name.replace('_', '-')} is {value!r}, but must be of the type {allowed}")
    return plain(value)
