"""Knobs: fields of configuration objects that say all that is known of an option, once.

Python's arguments, the command line's options and their help, what `sweep.json` records, and what a resume compares
are all read off these fields. Adding a knob is one field, and its use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Real
from typing import Any

from balltrain.errors import UsageError


class Panel(StrEnum):
    """The groups of options in `--help`, in their order there."""

    SEARCH = "Search"
    BUDGET = "Budget"
    STOPPING = "Early stopping"
    AFTER = "After the search"
    MODEL = "Model"
    DATA = "Data"
    RESOURCES = "Resources"
    TRACKING = "Tracking"
    RUN = "The run"


@dataclass(frozen=True)
class Knob:
    """What is known of one option beside its name, type and default, which are the field's own.

    `default` says in words what None stands for. `record` is where `sweep.json` has the value, a dotted path, the
    field's name unless given. A value that must not change on resume has `mixes`: what a sweep with both would mix.
    `earlier` is the value of sweeps that were begun before there was such a knob. `flag` is the option's name where
    it is not that of the field. `repeated` options are KEY=VALUE texts, a mapping in Python, or a list of
    mappings where one text may hold several; or plain texts. `minimum` is checked
    as it is typed, `envvar` is read where nothing is; the object itself sees to both for Python. Where `is_option` is
    false, the option of another knob stands for it.
    """

    help: str
    panel: Panel
    default: str | None = None
    record: str | None = None
    mixes: str | None = None
    earlier: Any = None
    flag: str | None = None
    metavar: str | None = None
    repeated: bool = False
    minimum: float | None = None
    envvar: str | None = None
    is_option: bool = True


@dataclass(frozen=True)
class KnobField:
    """A knob and the field that it belongs to."""

    field: dataclasses.Field[Any]
    knob: Knob

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def record(self) -> str:
        return self.knob.record or self.name


def knob(default: Any, help: str, panel: Panel, *, says: str | None = None, **more: Any) -> Any:
    """A dataclass field that is a knob. `says` puts a default of None into words; `more` are fields of `Knob`."""
    described = Knob(help, panel, default=says, **more)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={"knob": described})
    return dataclasses.field(default=default, metadata={"knob": described})


def knobs_of(owner: Any) -> Iterator[KnobField]:
    """The knobs of a dataclass or of one of its objects, in the order of its fields."""
    for field in dataclasses.fields(owner):
        if "knob" in field.metadata:
            yield KnobField(field, field.metadata["knob"])


def recorded(owner: Any) -> dict[str, Any]:
    """The values of an object's knobs as `sweep.json` has them."""
    found: dict[str, Any] = {}
    for entry in knobs_of(owner):
        room, _, name = entry.record.rpartition(".")
        value = getattr(owner, entry.name)
        (found.setdefault(room, {}) if room else found)[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def value_in(record: Mapping[str, Any], entry: KnobField) -> Any:
    """A knob's value in a `sweep.json`, that of earlier sweeps where it does not say."""
    found: Any = record
    for part in entry.record.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return _plain(entry.knob.earlier)
        found = found[part]
    return found


def refuse_unknown(names: Mapping[str, Any], known: list[str], what: str) -> None:
    """Raises UsageError for the first of `names` that is not known, with the nearest one that is."""
    import difflib

    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
            raise UsageError(f"{what} has no {name!r}: {hint}")


def require_at_least(value: float | None, minimum: float, what: str) -> None:
    """Raises UsageError that quotes the value and the rule; None passes."""
    if value is not None and not isinstance(value, Real):
        raise UsageError(f"{what} is {value!r}, but must be a number")
    if value is not None and not value >= minimum:
        raise UsageError(f"{what} is {value:g}, but must be at least {minimum:g}")
