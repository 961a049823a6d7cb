"""How sure a sweep's headline figures are: an interval for each comparison, or why there is none."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from balltrain.records.confirmation import Confirmed
from balltrain.records.results import Results
from balltrain.reporting.cross_validation import cross_validation
from balltrain.reporting.reference import described, published
from balltrain.reporting.significance import resampled
from balltrain.reporting.text import short

TRAINED_ONCE = (
    "It was trained once, so that no interval can be given: --resume --confirm 3 --repeats 5 trains the best again "
    "with new seeds."
)

EACH_ONCE = "Each was trained once, so that no interval can be given."


def of_best(results: Results) -> str:
    """Of the best trial's objective, in a sentence; empty where there is no best."""
    if results.best is None:
        return ""
    entries, winner = results.confirmed
    if winner is not None and winner.interval is not None:
        seeds = len(winner.objectives)
        return f"Over {seeds} new seeds its mean is {short(winner.mean)} ± {short(winner.interval, 2)} (95 %)."
    if results.sweep.get("folds"):
        whole = cross_validation(results)
        if not whole:
            return "No configuration has all its folds yet, so that no interval can be given."
        figure, folds = whole[0][results.objective_name], len(whole[0]["trial_ids"])
        mean, half = short(figure["mean"]), short(figure["interval"], 2)
        return f"The best configuration's mean over {folds} folds is {mean} ± {half} (95 %)."
    if entries:
        return "Not all of the best have been trained again yet, so that no interval can be given."
    return EACH_ONCE if results.goals is not None else TRAINED_ONCE


def ahead(winner: Confirmed, second: Confirmed, mode: str) -> str:
    """By how much a confirmed winner is better than the next, with its 95 % interval; a bootstrap over new seeds.

    Empty where one of them has fewer than two.
    """
    if min(len(winner.objectives), len(second.objectives)) < 2:
        return ""
    random, sign = np.random.default_rng(0), 1.0 if mode == "max" else -1.0
    apart = sign * (resampled(winner.objectives, random) - resampled(second.objectives, random))
    low, high = np.quantile(apart, [0.025, 0.975]).tolist()
    by = sign * float(np.mean(winner.objectives) - np.mean(second.objectives))
    noise = "" if low > 0 else ", which noise may be"
    return f"it is ahead of trial {second.trial_id} by {short(by)}, 95 % from {short(low)} to {short(high)}{noise}"


def against_published(results: Results) -> str:
    """Our mean less the published one, with Welch's 95 % interval; empty without a reference, or with too few."""
    theirs = published(results)
    if theirs is None:
        return ""
    found = _welch(described(results), dict(theirs))
    if found is None:
        return "Too few trials for an interval of the difference from what was published."
    low, middle, high = found
    noise = "beyond noise" if low > 0 or high < 0 else "no more than noise"
    return (
        f"Mean of ours less that of the published: {short(middle)}, 95 % from {short(low)} to {short(high)}, {noise}."
    )


def _welch(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float, float] | None:
    from scipy.stats import t

    needed = [figures[name] for figures in (ours, theirs) for name in ("count", "mean", "std")]
    if any(value is None for value in needed) or min(ours["count"], theirs["count"]) < 2:
        return None
    a, b = (figures["std"] ** 2 / figures["count"] for figures in (ours, theirs))
    if a + b == 0:
        return None
    freedom = (a + b) ** 2 / (a**2 / (ours["count"] - 1) + b**2 / (theirs["count"] - 1))
    half, middle = float(t.ppf(0.975, freedom)) * sqrt(a + b), ours["mean"] - theirs["mean"]
    return middle - half, middle, middle + half
