"""What a model says of a split, and the figures of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from balltrain.data.batches import Batches
from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Examples, Table, Task, examples_of_losses
from balltrain.tasks.protocols import HasTables, ShowsExamples
from balltrain.training.precision import autocast
from balltrain.training.workers import gather_rows, rank_and_world

Arrays = dict[str, Tensor]  # by name, (items, …) each


def evaluate(
    task: Task, hp: Any, model: nn.Module, dataset: Dataset, split: str, device: torch.device
) -> dict[str, float]:
    """The thorough figures of a split, `loss` among them. Raises BalltrainError where the split is empty."""
    outputs, targets = outputs_of(task, hp, model, dataset, split, device)
    return figures_of(task, hp, outputs, targets)


def outputs_of(
    task: Task, hp: Any, model: nn.Module, dataset: Dataset, split: str, device: torch.device
) -> tuple[Arrays, Arrays]:
    """The thorough outputs for a split and the arrays that they are compared with, on the CPU, row by row.

    Raises BalltrainError where the split is empty.
    """
    batches = evaluation_batches(task, dataset, split, device)
    if len(batches.rows) == 0:
        raise BalltrainError(f"the {split} split of these {len(dataset)} items is empty")
    return _outputs(task, hp, model, batches, thorough=True)


@torch.inference_mode()
def figures_of(task: Task, hp: Any, outputs: Arrays, targets: Arrays) -> dict[str, float]:
    """The thorough figures of what `outputs_of` returned."""
    return numbers_of(task, task.metrics(outputs, targets, hp, thorough=True))


def tables_of(task: Task, outputs: Arrays, targets: Arrays, facts: dict[str, Any]) -> dict[str, Table]:
    """The tables of what `outputs_of` returned; none where the task has none."""
    return task.tables(outputs, targets, facts) if isinstance(task, HasTables) else {}


def examples_of(task: Task, hp: Any, outputs: Arrays, targets: Arrays) -> Examples:
    """The items worth a look: the task's choice, else those with the largest and the smallest loss."""
    if isinstance(task, ShowsExamples):
        return task.examples(outputs, targets, hp)
    loss = []
    for row in range(len(next(iter(outputs.values())))):
        output, target = ({name: t[row : row + 1] for name, t in arrays.items()} for arrays in (outputs, targets))
        figures = task.metrics(output, target, hp, thorough=False)
        if "loss" not in figures:
            raise BalltrainError(f"{task.name}: metrics returned no loss, by which the items to show are chosen")
        loss.append(figures["loss"])
    return examples_of_losses(loss)


def evaluation_batches(task: Task, dataset: Dataset, split: str, device: torch.device) -> Batches:
    """The split's batches, the same number of whole ones on every worker."""
    rank, world = rank_and_world()
    size = -(-task.evaluation_batch // world) * world
    return Batches(dataset, split, size, device, rank=rank, world=world)


@torch.inference_mode()
def validate(task: Task, hp: Any, model: nn.Module, batches: Batches) -> dict[str, float]:
    """The figures of an epoch: those of `metric_names`, and `loss` where `metrics` returns one.

    Raises BalltrainError where `metrics` returns others than the task names, or none of the objective's name.
    """
    outputs, targets = _outputs(task, hp, model, batches, thorough=False)
    figures = numbers_of(task, task.metrics(outputs, targets, hp, thorough=False))
    _check_names(task, figures)
    return figures


def joined(parts: list[Arrays]) -> Arrays:
    """The rows of several batches, one batch after the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.inference_mode()
def _outputs(task: Task, hp: Any, model: nn.Module, batches: Batches, *, thorough: bool) -> tuple[Arrays, Arrays]:
    model.eval()
    parts: list[Arrays] = []
    for batch, _ in batches.in_order():
        with autocast(hp.precision, batches.device):
            outputs = (task.predict_thorough if thorough else task.predict)(model, batch, hp)
        _check_outputs(task, outputs)
        parts.append({name: tensor.float().cpu() for name, tensor in outputs.items()})
    outputs = gather_rows(joined(parts), len(batches.rows))
    arrays = batches.dataset.arrays
    targets = {
        name: torch.from_numpy(array[batches.rows]) for name, array in arrays.items() if name not in task.inputs
    }
    return outputs, targets


def returned(value: Any) -> str:
    """What a method returned, in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return repr(value) if isinstance(value, int | float | str) else f"a {type(value).__name__}"


def _check_outputs(task: Task, outputs: Any) -> None:
    wrong = outputs
    if isinstance(outputs, Mapping) and outputs:
        wrong = next((value for value in outputs.values() if not isinstance(value, Tensor) or not value.dim()), None)
        if wrong is None:
            return
    within = "a dict with " if wrong is not outputs else ""
    raise BalltrainError(
        f'{task.name}: predict returned {within}{returned(wrong)}: return a dict of tensors, such as {{"logits": …}}'
    )


def numbers_of(task: Task, figures_of_split: Any) -> dict[str, float]:
    """What `metrics` returned as numbers. Raises BalltrainError where it is none."""
    if not isinstance(figures_of_split, Mapping):
        what = type(figures_of_split).__name__
        raise BalltrainError(f'{task.name}: metrics returned {what}: return a dict, such as {{"loss": 0.5}}')
    figures = {}
    for name, value in figures_of_split.items():
        try:
            figures[name] = float(value)
        except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several values
            shown = f"a {type(value).__name__}" if hasattr(value, "shape") else repr(value)
            raise BalltrainError(f"{task.name}: metrics returned {name} = {shown}, which is no number") from None
    return figures


def _check_names(task: Task, figures: Mapping[str, float]) -> None:
    """The results' columns follow from `metric_names`: what is not in it would get lost."""
    names = set(figures) - {"loss"}
    unknown = sorted(names - set(task.metric_names))
    misnamed = [name for name in unknown if "loss" in name.lower()]
    if "loss" not in figures and (misnamed or task.objective == "val_loss"):
        hint = f"call {misnamed[0]} loss there" if misnamed else 'return {"loss": …, …}'
        raise BalltrainError(f"{task.name}: metrics returned no loss, which becomes val_loss: {hint}")
    if names != set(task.metric_names):
        raise BalltrainError(
            f"task {task.name} returned the metrics {sorted(names)}, but its metric_names are "
            f"{sorted(task.metric_names)}, without loss: make them agree"
        )
