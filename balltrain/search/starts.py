"""Configurations that a sweep begins with: what a user guesses, and what the task has by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balltrain.errors import UsageError
from balltrain.knobs import refuse_unknown
from balltrain.records.state import Point
from balltrain.search.space import Space


def start_point(start: Mapping[str, Any], defaults: Mapping[str, Any], space: Space) -> Point:
    """The point of a configuration; what it leaves open is the task's default, or the middle of the space.

    Raises UsageError where the space does not hold it.
    """
    described = space.to_json()
    refuse_unknown(start, sorted(space.names()), "the space")
    rest = space.decode(space.nearest({**defaults, **start}))
    point = space.encode({**rest, **start})
    if point is not None and _holds(space.decode(point), start):
        return point
    for name, value in start.items():
        alone = space.encode({**rest, name: value})
        if alone is None or not _holds(space.decode(alone), {name: value}):
            where = described.get(name, "what the other values leave open")
            raise UsageError(f"the start {name}={value!r} lies outside the space, which has {name} in {where}")
    raise UsageError(f"the start {dict(start)} lies outside the space, which has no such combination")


def _holds(config: Mapping[str, Any], start: Mapping[str, Any]) -> bool:
    return all(name in config and _plain(config[name]) == _plain(value) for name, value in start.items())


def _plain(value: Any) -> Any:
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
