"""What numpy and torch hold, as JSON has it: numbers, texts, lists and dicts of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from balltrain.errors import UsageError

ARRAYS = ("numpy", "torch")


def plain(value: Any) -> Any:
    """The same value, with scalars and arrays of numpy and torch as Python's numbers and lists, at any depth.

    Tuples stay tuples; what is no number, list or dict is returned as it is.
    """
    if type(value).__module__.partition(".")[0] in ARRAYS and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(inner) for inner in value)
    return value


def strict(value: Any) -> Any:
    """As `plain`, and with None in place of NaN and infinity, which JSON does not have."""
    value = plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: strict(inner) for key, inner in value.items()}
    return [strict(inner) for inner in value] if isinstance(value, list | tuple) else value


def plain_facts(facts: Any) -> dict[str, Any]:
    """What `prepare` returned, as JSON. Raises UsageError by its key for what JSON does not have."""
    if facts is None:
        return {}
    if not isinstance(facts, Mapping):
        raise UsageError(f"prepare returned {_shown(facts)}: return the data's facts as a dict, such as {{}}")
    found = {}
    for key, value in facts.items():
        found[str(key)] = plain(value)
        refuse_no_json(found[str(key)], f"prepare: the fact {key}")
    return found


def refuse_no_json(value: Any, what: str) -> None:
    """Raises UsageError that names the part of a value that JSON does not have; `what` is what the value is."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str | int | float | bool | None):
                raise UsageError(f"{what} has the key {key!r}, but must have texts or numbers as keys")
            refuse_no_json(inner, f"{what}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            refuse_no_json(inner, f"{what}[{number}]")
    elif not isinstance(value, str | int | float | bool | None):
        raise UsageError(f"{what} is {_shown(value)}, but must be of numbers, texts, lists and dicts: {_hint(value)}")


def _shown(value: Any) -> str:
    shown = repr(value)
    return f"a {type(value).__name__}" if len(shown) > 60 or "\n" in shown else shown


def _hint(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return "make it a sorted list"
    try:
        json.dumps(str(value))
    except Exception:
        return "leave it out"
    return "give its name, or str() of it"
