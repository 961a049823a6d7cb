"""What a training really got: so that a hyperparameter without effect can be told from one that has some."""

from __future__ import annotations

import hashlib
import json

import torch

from balltrain.training.schedules import learning_rate
from balltrain.training.training import Training

PROBE_SEED = 0


def digest_of(training: Training) -> str:
    """12 hex digits, equal for trainings that got the same.

    That is model, optimiser, learning rates, clipping, patience, precision and the number of starts.

    Of the model its modules as torch prints them (dropout, momentum of batch norm), and its parameters' names and
    shapes; of the optimiser its class and its groups' hyperparameters; the learning rate at the start of each epoch;
    the steps in one.
    """
    hp, model, optimizer = training.hp, training.model, training.optimizer
    steps_per_epoch = training.batches.num_training_batches()
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
    if hp.schedule == "plateau":  # whose steps are not known yet
        got["plateau"] = [hp.step_size, hp.gamma]
    return hashlib.sha256(json.dumps(got, sort_keys=True, default=str).encode()).hexdigest()[:12]


@torch.no_grad()
def first_loss(training: Training) -> float:
    """The training loss of the first batch that a fresh model sees, with a seed that all trials share.

    With the trial's own seed it would differ between any two trials, and tell nothing of their hyperparameters.
    Leaves torch's random state changed. On several workers it is the loss of this worker's share.
    """
    model = training.build_model(PROBE_SEED).train()
    batch, _ = next(training.batches.shuffled(PROBE_SEED, epoch=1))
    return float(training.loss(model, batch))
