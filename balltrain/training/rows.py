"""What a training says of an epoch: the row that is reported, journalled and read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

TRAIN_PREFIX = "train_"  # of a metric's name, where it is of the training batches: running over the epoch


class EpochRow(TypedDict):
    """One epoch. Numbers may be NaN or infinite in the row that fails a trial: the journal has None there."""

    epoch: int  # from 1
    seconds: float  # of training and validation
    lr: float  # learning rate of the epoch's last batch
    train_loss: float  # mean over the epoch, while the weights moved
    val_loss: float  # after the epoch, on the validation split
    metrics: dict[str, float]  # by the task's metric_names, and those of the training batches
    objective: float  # what the task's `objective` names: one of the values above
    num_params: int

    # of epoch 1: whether hyperparameters had an effect can be told from it
    digest: NotRequired[str]  # of what optimiser and model really got
    first_loss: NotRequired[float]  # of the first batch, with a seed that all trials share
    start: NotRequired[int]  # number of the initialisation that was trained, from 0, where there was a choice

    latency_seconds: NotRequired[float]  # of a prediction of one item; where the sweep asks for it

    # added later
    node: NotRequired[str]  # the host that trained it; by the trial
    decision: NotRequired[str]  # a records.columns.Decision; by the controller, in the journal


def objective_of(objective: str, row: Mapping[str, Any]) -> float:
    """The value in a row, its `objective` aside, of what a task calls its objective. Missing counts as NaN."""
    value = row[objective] if objective in row else row["metrics"].get(objective)
    return float("nan") if value is None else float(value)
