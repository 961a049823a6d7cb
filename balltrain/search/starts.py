"""Configurations that a sweep begins with: what a user guesses, and what the task has by default."""

from __future__ import annotations

import json
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
    refuse_unknown(start, sorted(space.names()), "the space")
    rest = space.decode(space.nearest({**defaults, **start}))
    point = space.encode({**rest, **start})
    if point is not None and _holds(space.decode(point), start):
        return point
    for name, value in start.items():
        alone = space.encode({**rest, name: value})
        if alone is None or not _holds(space.decode(alone), {name: value}):
            raise UsageError(f"the start {name}={value!r} lies outside the space: {_remedy(name, space.to_json())}")
    raise UsageError(f"the start {dict(start)} lies outside the space, which has no such combination")


def _remedy(name: str, described: Mapping[str, Any]) -> str:
    """What to type in place of a value of this hyperparameter, or of another."""
    if name not in described:
        return f"it is an option's, so give {name} a value of that option, and the choice that option"
    return f"give {name} {_in_words(described[name])}"


def _in_words(described: Any) -> str:
    """What a part of a space allows, from `Space.to_json`."""
    if isinstance(described, list):
        return f"[{', '.join(map(_in_words, described))}]"
    if not isinstance(described, Mapping):
        return json.dumps(described)
    if "choice" in described:
        return f"one of {', '.join(map(_in_words, described['choice']))}"
    kind = next((kind for kind in ("float", "logfloat", "int", "logint") if kind in described), None)
    if kind is None:
        return f"{{{', '.join(f'{name}: {_in_words(value)}' for name, value in described.items())}}}"
    low, high = described[kind]
    if step := described.get("step"):
        return f"a multiple of {step:g} from {low:g} to {high:g}"
    return f"a whole number from {low} to {high - 1}" if "int" in kind else f"a value from {low} to {high}"


def _holds(config: Mapping[str, Any], start: Mapping[str, Any]) -> bool:
    return all(name in config and _plain(config[name]) == _plain(value) for name, value in start.items())


def _plain(value: Any) -> Any:
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
