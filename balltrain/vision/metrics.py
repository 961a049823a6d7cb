"""Figures of a classifier on a whole split. `probabilities` are (items, classes), `label` (items,) whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

NUM_BINS = 15  # of the calibration error, as in Guo et al.


def interval(num_right: int, num_items: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a proportion: it holds the true one in at least `level` of all samples.

    Biometrika 26 (1934), 404-413.
    """
    from scipy.stats import binomtest

    found = binomtest(num_right, num_items).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def calibration_error(probabilities: Tensor, label: Tensor) -> float:
    """Expected calibration error (Guo et al., arXiv 1706.04599), from 0 to 1.

    Items fall by the probability of their likeliest class into 15 bins of equal width, each without its lower and
    with its upper bound. Mean over the items of the distance, in their bin, of its mean probability from its
    accuracy.
    """
    confidence, predicted = probabilities.double().max(dim=1)
    bins = (confidence * NUM_BINS).ceil().long() - 1
    excess = torch.zeros(NUM_BINS, dtype=torch.float64)
    # of float32 rounding a probability may be a little above 1
    excess.index_add_(0, bins.clamp(0, NUM_BINS - 1), confidence - (predicted == label).double())
    return float(excess.abs().sum() / len(label))


def confusion_matrix(predicted: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """(classes, classes) counts: row the true class, column the predicted one."""
    return torch.bincount(label * num_classes + predicted, minlength=num_classes**2).view(num_classes, num_classes)


def risk_coverage(confidence: Sequence[float], right: Sequence[bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What leaving out the unsure gives (El-Yaniv and Wiener, JMLR 11 (2010), 1605-1641), by falling thresholds.

    Thresholds (n,), one for each value of the confidence that occurs; the part of the items that is at least as sure,
    (n,), which ends at 1; and the accuracy of these, (n,).
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    falling, hits = np.asarray(confidence)[order], np.cumsum(np.asarray(right, dtype=float)[order])
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # of equal ones: none without the others
    return falling[last], (last + 1) / len(falling), hits[last] / (last + 1)


def combined(logits: list[Tensor], majority: bool) -> Tensor:
    """(items, classes) logarithms of the probabilities that several classifiers' logits give together.

    The mean of their probabilities; or, by majority, each one's vote for its likeliest class, with the mean of the
    probabilities as one vote more: it decides between classes with equally many votes, and nothing else.
    """
    mean = torch.stack([each.softmax(dim=1) for each in logits]).mean(dim=0)
    if majority:
        votes = torch.zeros_like(mean)
        for each in logits:
            votes.scatter_add_(1, each.argmax(dim=1, keepdim=True), torch.ones_like(mean[:, :1]))
        mean = (votes + mean) / (len(logits) + 1)
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
