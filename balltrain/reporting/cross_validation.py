"""What the folds of each configuration say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results

if TYPE_CHECKING:
    import pandas as pd


def cross_validation(results: Results) -> list[dict[str, Any]]:
    """Of each configuration whose folds have all ended: mean and 95 % interval, the best mean first.

    The interval is Student's t over the folds. Folds share training items, so that it is a little narrow
    (Bengio and Grandvalet, JMLR 2004).
    """
    folds = results.sweep.get("folds")
    if not folds:
        return []
    figures = {results.objective_name: c.OBJECTIVE}
    figures |= {name.removeprefix(c.METRIC_PREFIX): name for name in results.metrics}
    found = []
    for _, trials in results.ranked.groupby(results.ranked[c.NUMBER] // folds):
        if len(trials) == folds:
            intervals = {name: _interval(trials[column]) for name, column in figures.items()}
            found.append({"trial_ids": sorted(trials[c.TRIAL_ID]), **intervals})
    sign = 1 if results.mode == "min" else -1
    return sorted(found, key=lambda entry: sign * entry[results.objective_name]["mean"])


def _interval(values: pd.Series) -> dict[str, float]:
    """Mean, and the half width of its 95 % confidence interval."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5
    return {"mean": float(values.mean()), "interval": float(half)}
