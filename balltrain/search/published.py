"""Figures that somebody published of a search: shown beside those of a sweep that repeats it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from balltrain.errors import UsageError

QUARTILES = {"q25": "25%", "q50": "50%", "q75": "75%"}  # as pandas names them, and sweep.json


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a published search reached: figures of the objectives of its trials, by the objective of the task.

    `std` is that of a sample, with count - 1 in the denominator; `q25`, `q50` and `q75` are quartiles.

    Raises:
        UsageError: The figures are of no trials, or not in their order.

    Example:
        >>> quartiles = {"min": 0.0032, "q25": 0.0067, "q50": 0.0187, "q75": 0.0474, "max": 0.1561}
        >>> theirs = balltrain.Published(name="detect 3", count=100, mean=0.0349, std=0.0383, **quartiles)
        >>> balltrain.Sweep("detect", {}, reference=theirs).reference.name
        'detect 3'
    """

    name: str
    count: int
    mean: float
    std: float
    min: float
    q25: float
    q50: float
    q75: float
    max: float

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"the reference {self.name} has {self.count} trials, but must have at least 1")
        ordered = [self.min, self.q25, self.q50, self.q75, self.max]
        if ordered != sorted(ordered) or not self.min <= self.mean <= self.max:
            raise UsageError(
                f"the reference {self.name} has {ordered} and the mean {self.mean}: give min, q25, q50, q75 and max "
                "in rising order, and a mean between min and max"
            )

    def to_json(self) -> dict[str, str | float]:
        """By the names of pandas' `describe`: count, mean, std, min, 25%, 50%, 75%, max; and the `name`."""
        return {QUARTILES.get(name, name): value for name, value in dataclasses.asdict(self).items()}
