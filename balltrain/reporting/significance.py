"""Whether one sweep's winner is better than another's beyond noise: a bootstrap over their confirmations."""

from __future__ import annotations

from typing import Any

import numpy as np

from balltrain.records.results import Results
from balltrain.reporting.text import short

NUM_RESAMPLES = 10_000


def difference(one: Results, other: Results) -> dict[str, Any] | None:
    """Of the winners' means over new seeds, `one` less `other`, with its 95 % interval; None where seeds are missing.

    `better` is the name of the sweep whose winner is better beyond noise, None where the interval holds 0.
    """
    (_, a), (_, b) = one.confirmed, other.confirmed
    if a is None or b is None or min(len(a.objectives), len(b.objectives)) < 2:
        return None
    random = np.random.default_rng(0)
    apart = resampled(a.objectives, random) - resampled(b.objectives, random)
    low, high = np.quantile(apart, [0.025, 0.975]).tolist()
    smaller, larger = (one, other) if one.mode == "min" else (other, one)
    better = smaller.name if high < 0 else larger.name if low > 0 else None
    return {
        "sweeps": [one.name, other.name],
        "trials": [a.trial_id, b.trial_id],
        "seeds": [len(a.objectives), len(b.objectives)],
        "difference": float(np.mean(a.objectives) - np.mean(b.objectives)),
        "interval": [low, high],
        "better": better,
    }


def significance(one: Results, other: Results) -> str:
    """The same in a sentence; where it cannot be said, what is missing."""
    found = difference(one, other)
    if found is None:
        lacking = " and ".join(sweep.name for sweep in (one, other) if _lacks(sweep))
        return (
            f"Whether the winners differ beyond noise cannot be said: the best of {lacking} must be trained again "
            "with new seeds, by --resume --confirm 3 --repeats 5."
        )
    low, high = found["interval"]
    seeds = " and ".join(str(n) for n in found["seeds"])
    told = f"{short(found['difference'])}, 95 % from {short(low)} to {short(high)}, by {seeds} new seeds"
    if found["better"] is None:
        return f"The winners of {one.name} and {other.name} do not differ beyond noise ({told})."
    return f"The winner of {found['better']} is better beyond noise ({one.name} less {other.name}: {told})."


def resampled(objectives: list[float], random: np.random.Generator) -> np.ndarray:
    """(NUM_RESAMPLES,) means of resamples; drawn apart by what so few of them are too near to each other."""
    values, count = np.asarray(objectives), len(objectives)
    means = values[random.integers(count, size=(NUM_RESAMPLES, count))].mean(1)
    return np.asarray(values.mean() + (means - values.mean()) * np.sqrt(count / (count - 1)))


def _lacks(sweep: Results) -> bool:
    _, winner = sweep.confirmed
    return winner is None or len(winner.objectives) < 2
