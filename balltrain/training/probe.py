"""What a training will cost, from a few batches of it."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from balltrain.data.cache import Dataset
from balltrain.tasks.base import Task
from balltrain.training.loop import fit
from balltrain.training.rows import EpochRow

NUM_BATCHES = 5


@dataclass(frozen=True)
class Probe:
    """Of one worker on one device; checkpoint_bytes are those of one trial's checkpoint folder."""

    epoch_seconds: float
    checkpoint_bytes: int
    num_params: int


class _Enough(Exception):
    """Raised through the epoch loop."""


def probe(task: Task, hp: Any, dataset: Dataset, device: torch.device) -> Probe:
    """Two epochs of the loop itself on a few batches: the first warms up, the second is timed and scaled."""
    train, val = dataset.splits["train"], dataset.splits["val"]
    few = {"train": train[: NUM_BATCHES * hp.batch_size], "val": val[: task.evaluation_batch]}
    small = dataclasses.replace(dataset, splits={**dataset.splits, **few})
    rows: list[EpochRow] = []
    second_epoch = last_batch = 0.0

    def report(row: EpochRow) -> None:
        nonlocal second_epoch
        rows.append(row)
        if len(rows) == 2:
            raise _Enough
        second_epoch = time.perf_counter()

    def on_batch(epoch: int, batch: int, num_batches: int) -> None:
        nonlocal last_batch
        last_batch = time.perf_counter()

    hp = hp.model_copy(update={"epochs": max(2, hp.epochs)})
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(_Enough):
        folder = Path(name)
        try:
            fit(task, hp, small, seed=0, folder=folder, report=report, device=device, on_batch=on_batch)
        finally:
            checkpoint_bytes = sum(file.stat().st_size for file in folder.iterdir())
    training = last_batch - second_epoch
    validation = rows[1]["seconds"] - training
    seconds = training * len(train) / len(few["train"]) + validation * len(val) / len(few["val"])
    return Probe(seconds, checkpoint_bytes, rows[1]["num_params"])
