"""Figures of a trial that constraints and objectives may name: metrics and losses, and what a trial costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from balltrain.training.rows import EpochRow

NUM_PARAMS = "num_params"  # of the model
EPOCH_SECONDS = "epoch_seconds"  # mean over the trial's epochs so far
LATENCY_SECONDS = "latency_seconds"  # of a prediction of one item, measured after the first epoch
COSTS = (NUM_PARAMS, EPOCH_SECONDS, LATENCY_SECONDS)  # what every task has beside its metrics; less is better
LOSSES = ("val_loss", "train_loss")


def figure_of(name: str, row: EpochRow, before: Sequence[EpochRow] = ()) -> float | None:
    """A figure at the row of an epoch, None where it has none; `before` are the trial's rows before it, or all."""
    if name == EPOCH_SECONDS:
        seconds = [each["seconds"] or 0.0 for each in (*before[: row["epoch"] - 1], row)]
        return sum(seconds) / len(seconds)
    values = cast(dict[str, Any], row)
    if name in (NUM_PARAMS, LATENCY_SECONDS):  # known with the first epoch
        values = cast(dict[str, Any], before[0] if before else row)
    found = values.get(name) if name in (*COSTS, *LOSSES) else None
    if found is None:  # a function may report what it costs by itself
        found = row["metrics"].get(name)
    return None if found is None else float(found)
