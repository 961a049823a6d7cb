"""What a training really got: so that a hyperparameter without effect can be told from one that has some."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from balltrain.data.batches import Batches
from balltrain.data.cache import Dataset
from balltrain.tasks.base import Task
from balltrain.training.schedules import learning_rate

PROBE_SEED = 0


def digest_of(hp: Any, model: nn.Module, optimizer: torch.optim.Optimizer, steps_per_epoch: int) -> str:
    """12 hex digits, equal for trainings that got the same.

    That is model, optimiser, learning rates, clipping, patience, precision and the number of starts.

    Of the model its modules as torch prints them (dropout, momentum of batch norm), and its parameters' names and
    shapes; of the optimiser its class and its groups' hyperparameters; the learning rate at the start of each epoch;
    the steps in one.
    """
    got = {
        "model": repr(model),
        "parameters": [(name, list(p.shape), p.requires_grad) for name, p in model.named_parameters()],
        "optimizer": type(optimizer).__name__,
        "groups": [
            {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
        ],
        "learning_rates": [learning_rate(hp, epoch * steps_per_epoch, steps_per_epoch) for epoch in range(hp.epochs)],
        "steps_per_epoch": steps_per_epoch,
        "clip_norm": hp.clip_norm,
        "patience": hp.patience,
        "precision": hp.precision,
        "restarts": hp.restarts,
    }
    return hashlib.sha256(json.dumps(got, sort_keys=True, default=str).encode()).hexdigest()[:12]


@torch.no_grad()
def first_loss(
    task: Task, hp: Any, dataset: Dataset, batches: Batches, precision: AbstractContextManager[Any]
) -> float:
    """The training loss of the first batch that a fresh model sees, with a seed that all trials share.

    With the trial's own seed it would differ between any two trials, and tell nothing of their hyperparameters.
    Leaves torch's random state changed. On several workers it is the loss of this worker's share.
    """
    torch.manual_seed(PROBE_SEED)
    model = task.build_model(hp, dataset.facts).to(batches.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    task.load_weights(model, hp)
    model.train()
    batch, _ = next(batches.shuffled(PROBE_SEED, epoch=1))
    augmented = task.augment(batch, hp)
    with precision:
        return float(task.loss(model, augmented, hp))
