"""The one epoch loop, for all tasks: trains, validates, saves, reports, once an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from balltrain.data.batches import Batches
from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Hyperparameters, Task
from balltrain.tasks.protocols import OrdersBatches
from balltrain.training import checkpoint
from balltrain.training.digest import digest_of, first_loss
from balltrain.training.latency import latency_of
from balltrain.training.outputs import evaluation_batches
from balltrain.training.rows import EpochRow, objective_of
from balltrain.training.schedules import plateau_reductions
from balltrain.training.training import OnBatch, Training
from balltrain.training.workers import rank_and_world, share_buffers, sum_over_workers

START_BATCHES = 20  # that each of several initialisations trains; the latter half decides


class NonFiniteObjective(BalltrainError):
    """The loss or the objective became NaN or infinite. The trial has failed; going on is vain."""


@dataclass
class Progress:
    """How far a training came; with `Training.state`, all that is carried from epoch to epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best_objective: float = math.nan
    smallest_loss: float = math.nan  # in validation; of tasks that keep its weights
    rows: list[EpochRow] = field(default_factory=list)  # of all epochs, to be reported again where a report was lost

    def improves(self, objective: float, mode: str) -> bool:
        if math.isnan(self.best_objective):
            return True
        return objective < self.best_objective if mode == "min" else objective > self.best_objective

    def goes_on(self, hp: Hyperparameters) -> bool:
        """Whether there is another epoch: neither the last one is done nor patience at its end."""
        patient = hp.patience is None or self.epoch - self.best_epoch < hp.patience
        return self.epoch < hp.epochs and patient


def fit(
    task: Task,
    hp: Hyperparameters,
    dataset: Dataset,
    *,
    seed: int,
    folder: Path,
    report: Callable[[EpochRow], None],
    device: torch.device,
    reported_epochs: int = 0,
    on_batch: OnBatch | None = None,
    measures_latency: bool = False,
) -> Progress:
    """Train until `hp.epochs`, until `hp.patience` runs out, or until `report` raises.

    Goes on after the last epoch saved in `folder`, with the numbers that an uninterrupted training gives:
    every epoch draws from torch's random state seeded by (seed, epoch). Each row is reported after its epoch
    is saved; rows up to `reported_epochs` have been reported before and are not again. `on_batch` is told
    epoch, batch and number of batches. Raises NonFiniteObjective after reporting the row that shows it.

    With `measures_latency` the first row has the seconds that a prediction takes.
    With `hp.restarts` the model is the best of so many initialisations, as new: its first epoch is whole.
    """
    if len(dataset.splits["train"]) == 0 or len(dataset.splits["val"]) == 0:
        raise BalltrainError(f"{len(dataset)} items are too few to split into train, val and test: at least 3 groups")
    batches = training_batches(task, hp, dataset, device)
    training, progress = _begin(task, hp, batches, seed, folder)
    for saved in progress.rows[reported_epochs:]:
        report(saved)
    validation = evaluation_batches(task, dataset, "val", device)
    while progress.goes_on(hp):
        training.reductions = plateau_reductions(hp, [row["objective"] for row in progress.rows], task.mode)
        row = _train_epoch(training, validation, progress.epoch + 1, on_batch)
        if (reason := _not_finite(task, row)) is not None:
            report(row)
            raise NonFiniteObjective(reason)
        if measures_latency and row["epoch"] == 1:
            row["latency_seconds"] = latency_of(task, hp, training.model, validation)
        _keep(training, progress, row, folder)
        report(row)
    return progress


def training_batches(task: Task, hp: Hyperparameters, dataset: Dataset, device: torch.device) -> Batches:
    """This worker's, of the training split."""
    rank, world = rank_and_world()
    order = task.batch_order(dataset.arrays, hp) if isinstance(task, OrdersBatches) else None
    return Batches(
        dataset, "train", hp.batch_size, device, rank=rank, world=world, drop_last=hp.drop_last, order_by=order
    )


def _begin(task: Task, hp: Hyperparameters, batches: Batches, seed: int, folder: Path) -> tuple[Training, Progress]:
    """Where the training in `folder` stands, or a new one."""
    state = checkpoint.load_state(folder)
    if state is None:
        start = _best_start(task, hp, batches, seed) if hp.restarts > 1 else 0
        return Training(task, hp, batches, seed, start=start), Progress()
    progress = Progress(**state.pop("progress"))
    for row in progress.rows:  # rows of earlier versions have no objective
        row.setdefault("objective", objective_of(task.objective, row))
    if progress.rows and math.isnan(progress.smallest_loss):  # begun by an earlier version: those weights are gone
        progress.smallest_loss = min(row["val_loss"] for row in progress.rows)
    return Training(task, hp, batches, seed, state=state), progress


def _best_start(task: Task, hp: Hyperparameters, batches: Batches, seed: int) -> int:
    """Of `hp.restarts` initialisations the one with the lowest training loss, the same on every worker.

    All see the same batches, those of the first epoch, with the same draws of dropout and augmentation.
    """
    losses = []
    for start in range(hp.restarts):
        training = Training(task, hp, batches, seed, start=start)
        steps = list(islice(training.steps(epoch=1), START_BATCHES))
        shares, sizes, _ = zip(*steps[len(steps) // 2 :], strict=True)
        loss = float(sum_over_workers(torch.stack(shares).sum())) / sum(sizes)
        losses.append(loss if math.isfinite(loss) else math.inf)
    return losses.index(min(losses))


def _train_epoch(training: Training, validation: Batches, epoch: int, on_batch: OnBatch | None) -> EpochRow:
    # an epoch seeds itself after this
    got = (digest_of(training), first_loss(training)) if epoch == 1 else None
    began = time.perf_counter()
    train_loss, lr, train_metrics = training.train_epoch(epoch, on_batch)
    share_buffers(training.model)
    metrics = training.validate(validation)
    figures: dict[str, Any] = {
        "train_loss": train_loss,
        "val_loss": metrics.pop("loss", math.nan),
        "metrics": {**metrics, **train_metrics},
    }
    row: EpochRow = {
        "epoch": epoch,
        "seconds": time.perf_counter() - began,
        "lr": lr,
        "train_loss": train_loss,
        "val_loss": figures["val_loss"],
        "metrics": figures["metrics"],
        "objective": objective_of(training.task.objective, figures),
        "num_params": training.num_params,
    }
    if got is not None:
        row["digest"], row["first_loss"] = got
        if training.hp.restarts > 1:
            row["start"] = training.start
    return row


def _not_finite(task: Task, row: EpochRow) -> str | None:
    """What is wrong with a row whose objective or training loss is no finite number; None for all others."""
    objective, train_loss, val_loss = row["objective"], row["train_loss"], row["val_loss"]
    if math.isfinite(objective) and math.isfinite(train_loss):
        return None
    what = f"epoch {row['epoch']}: {task.objective} is {objective:g} and train_loss {train_loss:g}"
    if math.isfinite(train_loss) and math.isfinite(val_loss):
        return f"{what}; the losses are finite, so look at how metrics computes {task.objective}"
    return f"{what}; the learning rate may be too high"


def _keep(training: Training, progress: Progress, row: EpochRow, folder: Path) -> None:
    """Save the epoch: the state always, the weights where it is the best or has the smallest loss. Rank 0 writes."""
    rank, _ = rank_and_world()
    if progress.improves(row["objective"], training.task.mode):
        progress.best_epoch, progress.best_objective = row["epoch"], row["objective"]
        if rank == 0:
            checkpoint.save_best(folder, training.model, row["epoch"], row["objective"])
    smallest = math.inf if math.isnan(progress.smallest_loss) else progress.smallest_loss
    if training.task.keeps_smallest_loss and row["val_loss"] < smallest:
        progress.smallest_loss = row["val_loss"]
        if rank == 0:
            checkpoint.save_smallest_loss(folder, training.model, row["epoch"], row["val_loss"])
    progress.epoch = row["epoch"]
    progress.rows.append(row)
    if rank == 0:
        checkpoint.save_state(folder, {**training.state(), "progress": vars(progress)})
