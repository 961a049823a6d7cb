"""A bound on a figure of a trial, as a user writes it: `num_params <= 1e6`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from balltrain.errors import UsageError

EXAMPLE = '"num_params <= 1e6", or "accuracy >= 0.8 from epoch 5"'
HOLDS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
FORM = re.compile(r"\s*([^\s<>=!]+)\s*([<>]=?)\s*([^\s<>=]+)(?:\s+from\s+epoch\s+(\d+))?\s*")


@dataclass(frozen=True)
class Constraint:
    """`figure sign bound`, from an epoch on: a trial breaks it at the first epoch whose figure is out of bounds."""

    figure: str
    sign: str
    bound: float
    from_epoch: int = 1

    @classmethod
    def parsed(cls, text: Any) -> Constraint:
        """Raises UsageError that quotes what is none."""
        found = FORM.fullmatch(text) if isinstance(text, str) else None
        try:
            bound = float(found[3]) if found else math.nan
        except ValueError:
            bound = math.nan
        if found is None or not math.isfinite(bound):
            raise UsageError(f"the constraint {text!r} is none: write FIGURE <= NUMBER, such as {EXAMPLE}")
        if found[4] == "0":
            raise UsageError(f"the constraint {text!r} is from epoch 0 on, but epochs count from 1")
        return cls(found[1], found[2], bound, int(found[4] or 1))

    def __str__(self) -> str:
        since = f" from epoch {self.from_epoch}" if self.from_epoch > 1 else ""
        return f"{self.figure} {self.sign} {self.bound:.12g}{since}"

    def holds(self, value: float) -> bool:
        """NaN keeps no bound."""
        return HOLDS[self.sign](value, self.bound)

    def broken_by(self, value: float) -> str:
        """What to say of a value that is out of bounds."""
        return f"{self.figure} is {value:.6g}, which breaks {self}"
