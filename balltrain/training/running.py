"""Figures of the batches that a model is trained on, as it is trained on them: without another pass over the split.

They are of weights that still move, with dropout, on augmented items: `balltrain evaluate --split train` has those of
the model after the epoch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from balltrain.tasks.base import Batch, Task, Trainable
from balltrain.tasks.protocols import MeasuresTraining
from balltrain.training.outputs import Arrays, joined, numbers_of
from balltrain.training.rows import TRAIN_PREFIX
from balltrain.training.workers import sum_over_workers

HELD_BYTES = 64 << 20  # of outputs and targets, until their figures are computed: however long the epoch is


def training_names(task: Trainable) -> dict[str, str]:
    """The task's metrics that an epoch of training has too, by the name that they have there: `train_accuracy`.

    None where the task does not say what a training batch's outputs are. A metric of the task's own keeps its name.
    """
    if not isinstance(task, MeasuresTraining):
        return {}
    names = [name for name in task.metric_names if not name.startswith(TRAIN_PREFIX)]
    return {TRAIN_PREFIX + name: name for name in names if TRAIN_PREFIX + name not in task.metric_names}


class RunningFigures:
    """Of one epoch on this worker: the mean over all items of the metrics of `HELD_BYTES` of them at a time."""

    def __init__(self, task: Task, hp: Any, device: torch.device):
        self.task, self.hp, self.device = task, hp, device
        self.names = training_names(task)
        self._returned: Any = None
        self._outputs: list[Arrays] = []
        self._targets: list[Arrays] = []
        self._held_bytes = self._num_items = 0
        self._sums = torch.zeros(len(self.names), dtype=torch.float64)

    @contextlib.contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """While the block runs, what the model returns is at hand for `add`."""
        if not self.names:
            yield
            return

        def keep(module: nn.Module, arguments: Any, returned: Any) -> None:
            self._returned = returned

        hook = model.register_forward_hook(keep)
        try:
            yield
        finally:
            hook.remove()
            self._returned = None

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """A batch that the loss was just computed of; nothing where the model was not called."""
        returned, self._returned = self._returned, None
        if returned is None or not isinstance(self.task, MeasuresTraining):
            return
        outputs = self.task.training_outputs(returned, batch, self.hp)
        if outputs is None:
            return
        self._outputs.append({name: tensor.detach().float() for name, tensor in outputs.items()})
        self._targets.append({name: tensor for name, tensor in batch.items() if name not in self.task.inputs})
        held = [*self._outputs[-1].values(), *self._targets[-1].values()]
        self._held_bytes += sum(tensor.nbytes for tensor in held)
        if self._held_bytes >= HELD_BYTES:
            self._count()

    def figures(self) -> dict[str, float]:
        """Of all workers' batches, by their training names; empty where there were none."""
        self._count()
        totals = torch.cat([self._sums, torch.tensor([self._num_items], dtype=torch.float64)]).to(self.device)
        *sums, num_items = sum_over_workers(totals).tolist()
        return {name: total / num_items for name, total in zip(self.names, sums, strict=True)} if num_items else {}

    def _count(self) -> None:
        """What is held becomes figures. On a GPU this waits for it."""
        if not self._outputs:
            return
        outputs, targets = _on_cpu(self._outputs), _on_cpu(self._targets)
        with torch.inference_mode():
            found = numbers_of(self.task, self.task.metrics(outputs, targets, self.hp, thorough=False))
        num_items = len(next(iter(outputs.values())))
        values = [found.get(name, float("nan")) for name in self.names.values()]
        self._sums += torch.tensor(values, dtype=torch.float64) * num_items
        self._num_items += num_items
        self._outputs, self._targets, self._held_bytes = [], [], 0


def _on_cpu(parts: list[Arrays]) -> Arrays:
    return {name: tensor.cpu() for name, tensor in joined(parts).items()}
