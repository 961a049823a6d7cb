"""Which learning rate to train with: the rate rises until the loss diverges, and the loss by the rate tells.

The test is Leslie Smith's (arXiv 1506.01186, section 3.3), with a rate that rises exponentially and a smoothed loss,
as fastai's `lr_find` has it (https://docs.fast.ai/callback.schedule.html). The suggestion follows its rule `steep`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Task
from balltrain.training.loop import training_batches
from balltrain.training.training import Training

LOWEST, HIGHEST = 1e-7, 10.0  # fastai's
MIN_STEPS = 100  # of a small epoch several are gone through
SMOOTHING = 0.98  # of the exponential mean, fastai's
DIVERGED = 4.0  # times the smallest smoothed loss, fastai's
SLOPE_STEPS = 0.1  # part of all steps, over which a slope is taken: that between two steps is noise
MIN_TRIED = 10  # steps, below which nothing can be told


@dataclass(frozen=True)
class FoundRate:
    """Of each step that was trained its rate, its loss and the smoothed loss, and what follows.

    `suggestion` is the rate where the smoothed loss falls fastest, by the logarithm of the rate; None where it
    does not fall. `lowest` is the rate of the smallest smoothed loss, `diverged` whether the test ended before its
    highest rate.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    lowest: float
    diverged: bool

    @property
    def reason(self) -> str:
        """In a sentence, for a user."""
        end = f"it is smallest at {self.lowest:.1e}, and " + (
            f"diverges at {self.rates[-1]:.1e}" if self.diverged else f"has not diverged at {self.rates[-1]:.1e}"
        )
        if self.suggestion is None:
            return f"no rate: the smoothed loss does not fall at any; {end}"
        return f"the smoothed loss falls fastest at {self.suggestion:.1e}; {end}"


def find_rate(task: Task, hp: Any, dataset: Dataset, seed: int, device: torch.device) -> FoundRate:
    """Train a new model over an epoch, or over `MIN_STEPS` batches, with a rate that rises from step to step.

    Raises BalltrainError where the loss is not finite before anything can be told, or there is nothing to train on.
    """
    if len(dataset.splits["train"]) == 0:
        raise BalltrainError(f"{len(dataset)} items are too few to split into train, val and test: at least 3 groups")
    training = _Rising(task, hp, training_batches(task, hp, dataset, device), seed)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    diverged = False
    for share, num_items, rate in training.all_steps():
        loss = float(share) / num_items
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        corrected = mean / (1 - SMOOTHING ** (len(losses) + 1))
        if not math.isfinite(corrected) or (smoothed and corrected > DIVERGED * min(smoothed) and min(smoothed) > 0):
            diverged = True
            break
        rates.append(rate)
        losses.append(loss)
        smoothed.append(corrected)
    if len(rates) < MIN_TRIED:
        raise BalltrainError(
            f"the loss diverged after {len(rates)} batches, at a rate of {rate:.1e}: nothing can be told of rates; "
            "look at the task's loss, or at --set precision=float32"
        )
    return FoundRate(rates, losses, smoothed, steepest(rates, smoothed), rates[int(np.argmin(smoothed))], diverged)


def steepest(rates: list[float], smoothed: list[float]) -> float | None:
    """The rate in the middle of the stretch over which the smoothed loss falls fastest; None where it falls nowhere.

    Stretches end before the smallest smoothed loss: after it the loss rises, or falls by chance.
    """
    logs, values = np.log(rates), np.asarray(smoothed)
    length = max(3, round(SLOPE_STEPS * len(rates)))
    end = max(length, int(values.argmin()) + 1)
    slopes = [
        float(np.polyfit(logs[start : start + length], values[start : start + length], 1)[0])
        for start in range(end - length + 1)
    ]
    at = int(np.argmin(slopes))
    return rates[at + length // 2] if slopes[at] < 0 else None


class _Rising(Training):
    """A training whose rate rises exponentially, whatever its schedule is."""

    @property
    def num_steps(self) -> int:
        return max(MIN_STEPS, self.batches.num_training_batches())

    def rate(self, step: int) -> float:
        return float(LOWEST * (HIGHEST / LOWEST) ** (step / (self.num_steps - 1)))

    def all_steps(self) -> Iterator[tuple[Tensor, int, float]]:
        return islice(chain.from_iterable(self.steps(epoch) for epoch in count(1)), self.num_steps)
