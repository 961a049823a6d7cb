"""What was published of a search, beside what this sweep reached: where its file names a reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balltrain.records import columns as c
from balltrain.records.results import Results, plain
from balltrain.reporting.text import stopped_by

FIGURES = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")


def published(results: Results) -> Mapping[str, Any] | None:
    """The reference's `name` and its figures, by the names in FIGURES; None where the sweep has none."""
    found = results.sweep.get("reference")
    return found if isinstance(found, Mapping) and set(FIGURES) <= set(found) else None


def described(results: Results) -> dict[str, Any]:
    """The same figures of the objectives of this sweep; None for those that too few trials leave undefined."""
    return {str(key): plain(value) for key, value in results.ranked[c.OBJECTIVE].describe().items()}


def caution(results: Results) -> str:
    """What makes the figures of both hard to compare; empty where nothing is known to."""
    name = stopped_by(results.sweep)
    if published(results) is None or name is None:
        return ""
    return f"Trials that {name} stopped count by what they reached: mean and quartiles are better without it."
