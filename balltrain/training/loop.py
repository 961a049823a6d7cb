"""The one epoch loop, for all tasks: trains, validates, saves, reports, once an epoch."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from balltrain.data.batches import Batches
from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Task
from balltrain.training import checkpoint
from balltrain.training.digest import digest_of, first_loss
from balltrain.training.rows import EpochRow, FirstEpoch, objective_of
from balltrain.training.schedules import build_optimizer, learning_rate
from balltrain.training.workers import gather_rows, rank_and_world, replicate, share_buffers, sum_over_workers

START_BATCHES = 20  # that each of several initialisations trains; the latter half decides


class NonFiniteObjective(BalltrainError):
    """The loss or the objective became NaN or infinite, or is missing. The trial has failed; going on is vain."""


@dataclass
class Progress:
    """Where a training stands; with the model and the optimiser, all that is carried from epoch to epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best_objective: float = math.nan
    rows: list[EpochRow] = field(default_factory=list)  # of all epochs, to be reported again where a report was lost

    def improves(self, objective: float, mode: str) -> bool:
        if math.isnan(self.best_objective):
            return True
        return objective < self.best_objective if mode == "min" else objective > self.best_objective


def fit(
    task: Task,
    hp: Any,
    dataset: Dataset,
    *,
    seed: int,
    folder: Path,
    report: Callable[[EpochRow], None],
    device: torch.device,
    reported_epochs: int = 0,
    on_batch: Callable[[int, int, int], None] | None = None,
) -> Progress:
    """Train until `hp.epochs`, until `hp.patience` runs out, or until `report` raises.

    Goes on after the last epoch saved in `folder`, with the numbers that an uninterrupted training gives:
    every epoch draws from torch's random state seeded by (seed, epoch). Each row is reported after its epoch
    is saved; rows up to `reported_epochs` have been reported before and are not again. `on_batch` is told
    epoch, batch and number of batches. Raises NonFiniteObjective after reporting the row that shows it.

    With `hp.restarts` the model is the best of so many initialisations, as new: its first epoch is whole.
    """
    if len(dataset.splits["train"]) == 0 or len(dataset.splits["val"]) == 0:
        raise BalltrainError(f"{len(dataset)} items are too few to split into train, val and test: at least 3 groups")
    rank, world = rank_and_world()
    train = Batches(dataset, "train", hp.batch_size, device, rank=rank, world=world, drop_last=hp.drop_last)
    begins = not checkpoint.has_state(folder)
    start = _best_start(task, hp, dataset, train, seed) if begins and hp.restarts > 1 else 0
    model, optimizer = _build(task, hp, dataset, device, seed, start, load_weights=begins)
    progress = _restore(folder, model, optimizer, task.objective)
    for saved in progress.rows[reported_epochs:]:
        report(saved)
    replica = replicate(model, device, sync_batch_norm=hp.sync_batch_norm)
    val = _evaluation_batches(task, dataset, "val", device)
    num_params = sum(parameter.numel() for parameter in model.parameters())

    while progress.epoch < hp.epochs and not _out_of_patience(progress, hp):
        epoch = progress.epoch + 1
        got = _what_it_got(task, hp, dataset, model, optimizer, train, start) if epoch == 1 else {}
        began = time.perf_counter()
        train_loss, lr = _train_epoch(task, hp, replica, optimizer, train, seed, epoch, on_batch)
        share_buffers(model)
        metrics = _evaluate(task, hp, model, val)
        val_loss = metrics.pop("loss", math.nan)
        _check_names(task, metrics)
        figures = {"train_loss": train_loss, "val_loss": val_loss, "metrics": metrics}
        objective = objective_of(task.objective, figures)
        row: EpochRow = {
            "epoch": epoch,
            "seconds": time.perf_counter() - began,
            "lr": lr,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "metrics": metrics,
            "objective": objective,
            "num_params": num_params,
            **got,
        }
        if not (math.isfinite(objective) and math.isfinite(train_loss)):
            report(row)
            raise NonFiniteObjective(
                f"epoch {epoch}: {task.objective} is {objective:g} and train_loss {train_loss:g}; "
                "the learning rate may be too high"
            )
        if progress.improves(objective, task.mode):
            progress.best_epoch, progress.best_objective = epoch, objective
            if rank == 0:
                checkpoint.save_best(folder, model, epoch, objective)
        progress.epoch = epoch
        progress.rows.append(row)
        if rank == 0:
            _save(folder, model, optimizer, progress)
        report(row)
    return progress


def evaluate(
    task: Task, hp: Any, model: nn.Module, dataset: Dataset, split: str, device: torch.device
) -> dict[str, float]:
    """The thorough figures of a split, `loss` among them. Raises BalltrainError where the split is empty."""
    outputs, targets = outputs_of(task, hp, model, dataset, split, device)
    return figures_of(task, hp, outputs, targets)


def outputs_of(
    task: Task, hp: Any, model: nn.Module, dataset: Dataset, split: str, device: torch.device
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The thorough outputs for a split and the arrays that they are compared with, on the CPU, row by row.

    Raises BalltrainError where the split is empty.
    """
    batches = _evaluation_batches(task, dataset, split, device)
    if len(batches.rows) == 0:
        raise BalltrainError(f"the {split} split of these {len(dataset)} items is empty")
    return _outputs(task, hp, model, batches, thorough=True)


@torch.inference_mode()
def figures_of(task: Task, hp: Any, outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, float]:
    """The thorough figures of what `outputs_of` returned."""
    return {name: float(value) for name, value in task.metrics(outputs, targets, hp, thorough=True).items()}


def _what_it_got(
    task: Task,
    hp: Any,
    dataset: Dataset,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Batches,
    start: int,
) -> FirstEpoch:
    """Values of the first row that tell whether hyperparameters had an effect. An epoch seeds itself after this."""
    loss = first_loss(task, hp, dataset, train, _autocast(hp, train.device))
    digest = digest_of(hp, model, optimizer, train.num_training_batches())
    got: FirstEpoch = {"digest": digest, "first_loss": loss}
    return {**got, "start": start} if hp.restarts > 1 else got


def _build(
    task: Task, hp: Any, dataset: Dataset, device: torch.device, seed: int, start: int, *, load_weights: bool
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A new model and its optimiser. `start` is the number of the initialisation, from 0."""
    torch.manual_seed(hash((seed, 0, start)) & 0x7FFFFFFF if start else seed)  # the 0 is no epoch's
    model = task.build_model(hp, dataset.facts).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if load_weights:
        task.load_weights(model, hp)
    return model, build_optimizer(hp, model)


def _best_start(task: Task, hp: Any, dataset: Dataset, train: Batches, seed: int) -> int:
    """Of `hp.restarts` initialisations the one with the lowest training loss, the same on every worker.

    All see the same batches, those of the first epoch, with the same draws of dropout and augmentation.
    """
    losses = []
    for start in range(hp.restarts):
        model, optimizer = _build(task, hp, dataset, train.device, seed, start, load_weights=True)
        replica = replicate(model, train.device, sync_batch_norm=hp.sync_batch_norm)
        steps = list(islice(_steps(task, hp, replica, optimizer, train, seed, 1), START_BATCHES))
        shares, sizes, _ = zip(*steps[len(steps) // 2 :], strict=True)
        loss = float(sum_over_workers(torch.stack(shares).sum())) / sum(sizes)
        losses.append(loss if math.isfinite(loss) else math.inf)
    return losses.index(min(losses))


def _train_epoch(
    task: Task,
    hp: Any,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    seed: int,
    epoch: int,
    on_batch: Callable[[int, int, int], None] | None,
) -> tuple[float, float]:
    """Mean training loss of the epoch and the last learning rate."""
    num_batches = batches.num_training_batches()
    # summed on the device: reading a loss back every batch would wait for the GPU
    loss_sum, num_items = torch.zeros((), device=batches.device, dtype=torch.float64), 0
    lr = hp.lr
    steps = _steps(task, hp, model, optimizer, batches, seed, epoch)
    for number, (share, global_size, step_lr) in enumerate(steps, 1):
        loss_sum += share
        num_items += global_size
        lr = step_lr
        if on_batch is not None:
            on_batch(epoch, number, num_batches)
    return float(sum_over_workers(loss_sum)) / max(1, num_items), lr


def _steps(
    task: Task,
    hp: Any,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    seed: int,
    epoch: int,
) -> Iterator[tuple[Tensor, int, float]]:
    """Train an epoch, a batch a step: the sum of this worker's losses, the items of all workers, the rate."""
    rank, world = rank_and_world()
    # one draw of dropout and augmentation an epoch and worker, whatever came before: resuming is exact
    torch.manual_seed(hash((seed, epoch, rank)) & 0x7FFFFFFF)
    model.train()
    num_batches = batches.num_training_batches()
    for number, (batch, global_size) in enumerate(batches.shuffled(seed, epoch)):
        lr = learning_rate(hp, (epoch - 1) * num_batches + number, num_batches)
        for group in optimizer.param_groups:
            group["lr"] = lr
        local_size = len(next(iter(batch.values())))
        augmented = task.augment(batch, hp)  # in full precision: positions in pixels have more than 8 bits
        with _autocast(hp, batches.device):
            loss = task.loss(model, augmented, hp)
        # gradients are averaged over workers, whose shares of the last batch differ: weighted, it is the mean
        (loss * (local_size * world / global_size)).backward()
        if hp.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), hp.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.detach().double() * local_size, global_size, lr


@torch.inference_mode()
def _evaluate(task: Task, hp: Any, model: nn.Module, batches: Batches) -> dict[str, float]:
    metrics = task.metrics(*_outputs(task, hp, model, batches, thorough=False), hp, thorough=False)
    return {name: float(value) for name, value in metrics.items()}


@torch.inference_mode()
def _outputs(
    task: Task, hp: Any, model: nn.Module, batches: Batches, *, thorough: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    model.eval()
    parts: list[dict[str, Tensor]] = []
    for batch, _ in batches.in_order():
        with _autocast(hp, batches.device):
            outputs = (task.predict_thorough if thorough else task.predict)(model, batch, hp)
        parts.append({name: tensor.float().cpu() for name, tensor in outputs.items()})
    outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    outputs = gather_rows(outputs, len(batches.rows))
    arrays = batches.dataset.arrays
    targets = {
        name: torch.from_numpy(array[batches.rows]) for name, array in arrays.items() if name not in task.inputs
    }
    return outputs, targets


def _check_names(task: Task, metrics: dict[str, float]) -> None:
    """The results' columns follow from `metric_names`: what is not in it would get lost."""
    if set(metrics) != set(task.metric_names):
        raise BalltrainError(
            f"task {task.name} returned the metrics {sorted(metrics)}, but its metric_names are "
            f"{sorted(task.metric_names)}, without loss: make them agree"
        )


def _evaluation_batches(task: Task, dataset: Dataset, split: str, device: torch.device) -> Batches:
    rank, world = rank_and_world()
    size = -(-task.evaluation_batch // world) * world
    return Batches(dataset, split, size, device, rank=rank, world=world)


def _autocast(hp: Any, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The precision that `hp.precision` asks for, where the device computes in it; float32 elsewhere."""
    if device.type == "cuda" and hp.precision != "float32" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    if device.type == "cpu" and hp.precision == "bfloat16" and _cpu_has_bfloat16():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def _cpu_has_bfloat16() -> bool:
    """Whether in instructions: emulated, it would be slower than float32. torch has no public word for it yet."""
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def _out_of_patience(progress: Progress, hp: Any) -> bool:
    return hp.patience is not None and progress.epoch - progress.best_epoch >= hp.patience


def _save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": vars(progress)}
    checkpoint.save_state(folder, state)


def _restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, objective: str) -> Progress:
    state = checkpoint.load_state(folder)
    if state is None:
        return Progress()
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    progress = Progress(**state["progress"])
    for row in progress.rows:  # rows of earlier versions have no objective
        row.setdefault("objective", objective_of(objective, row))
    return progress
