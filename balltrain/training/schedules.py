"""Learning rates and optimisers.

A learning rate is a function of the step, and of `plateau` of the objectives so far, which are in a training's rows:
a resumed trial needs to restore nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from balltrain.tasks.base import Hyperparameters

ONECYCLE_START, ONECYCLE_END = 1 / 25, 1e-4 / 25  # of the peak; the values of torch's OneCycleLR


def learning_rate(hp: Hyperparameters, step: int, steps_per_epoch: int, reductions: int = 0) -> float:
    """The rate of a step (from 0) out of `hp.epochs * steps_per_epoch`.

    `step` multiplies by gamma every `step_size` epochs; `cosine` is that of SGDR without restarts (Loshchilov
    and Hutter, arXiv 1608.03983) after a linear warm-up; `onecycle` is Smith and Topin's (arXiv 1708.07120),
    with cosine arms. `plateau` multiplies by gamma at each of `reductions`, which `plateau_reductions` counts.
    """
    total = hp.epochs * steps_per_epoch
    progress = step / max(1, total - 1)
    match hp.schedule:
        case "step":
            return hp.lr * hp.gamma ** (step // steps_per_epoch // hp.step_size)
        case "plateau":
            return hp.lr * hp.gamma**reductions
        case "cosine":
            if progress < hp.warmup:
                return hp.lr * (step + 1) / max(1.0, hp.warmup * total)
            return _cosine(hp.lr, 0.0, (progress - hp.warmup) / (1 - hp.warmup))
        case "onecycle":
            if progress < hp.warmup:
                return _cosine(hp.lr * ONECYCLE_START, hp.lr, progress / hp.warmup)
            return _cosine(hp.lr, hp.lr * ONECYCLE_END, (progress - hp.warmup) / (1 - hp.warmup))
        case _:
            return hp.lr


def plateau_reductions(hp: Hyperparameters, objectives: Sequence[float], mode: str) -> int:
    """How often an objective, of one epoch after the other, has stood still for `step_size` epochs.

    As torch's ReduceLROnPlateau with a threshold of 0: what is not better than the best so far stands still, and
    after a reduction the count begins anew.
    """
    if hp.schedule != "plateau":
        return 0
    best, waited, reductions = math.nan, 0, 0
    for objective in objectives:
        if math.isnan(best) or (objective < best if mode == "min" else objective > best):
            best, waited = objective, 0
            continue
        waited += 1
        if waited == hp.step_size:
            waited, reductions = 0, reductions + 1
    return reductions


def build_optimizer(hp: Hyperparameters, model: nn.Module) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters, on CPUs too."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    match hp.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=hp.lr, weight_decay=hp.weight_decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=hp.lr, weight_decay=hp.weight_decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                parameters, lr=hp.lr, momentum=hp.momentum, weight_decay=hp.weight_decay, fused=True
            )


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
