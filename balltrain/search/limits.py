"""What a sweep may use up, and when it is good enough: budgets of time and of devices, a target, patience."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from numbers import Real
from typing import Any, NamedTuple

from balltrain.errors import UsageError
from balltrain.knobs import Panel, knob, require_at_least

MOST_TRIALS = 10_000  # of a sweep that something else ends
DEFAULT_TRIALS = 100  # of one that nothing else does
UNIT_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)?")


class Allowance(NamedTuple):
    """One budget that a sweep has: its name in words, and its size in seconds of what it counts."""

    words: str
    kind: str  # a field of records.usage.Used
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What ends a search before its trials are used up. Each may be given with or without a number of trials."""

    time_budget: str | float | None = knob(
        None,
        "Time that the whole sweep may take, such as 90m or 1h30m.",
        Panel.BUDGET,
        says="none",
        metavar="DURATION",
        record="budget.seconds",
    )
    gpu_hours: float | None = knob(
        None, "GPU-hours that all trials may use together.", Panel.BUDGET, says="none", record="budget.gpu_hours"
    )
    cpu_hours: float | None = knob(
        None, "CPU-hours that all trials may use together.", Panel.BUDGET, says="none", record="budget.cpu_hours"
    )
    until: float | None = knob(
        None,
        "Objective that is good enough: the search ends once a trial reaches it.",
        Panel.BUDGET,
        says="none",
        record="budget.until",
    )
    stop_when_flat: int | None = knob(
        None,
        "Number of trials in a row without a new best, after which the search ends.",
        Panel.BUDGET,
        says="none",
        metavar="TRIALS",
        record="budget.flat_trials",
    )

    def __post_init__(self) -> None:
        if self.time_budget is not None:
            object.__setattr__(self, "time_budget", seconds_of(self.time_budget))
        for hours, what in ((self.gpu_hours, "GPU-hours"), (self.cpu_hours, "CPU-hours")):
            require_at_least(hours, 0, f"the number of {what}")
            if hours is not None and not 0 < hours < math.inf:
                raise UsageError(f"the number of {what} is {hours:g}, but must be more than 0")
        require_at_least(self.stop_when_flat, 1, "the number of trials without a better best")
        require_at_least(self.until, -math.inf, "the objective that is good enough")  # a number, and not NaN
        if self.until is not None and math.isinf(self.until):
            raise UsageError(f"the objective that is good enough is {self.until}, but must be finite")

    @property
    def is_limited(self) -> bool:
        """Whether something beside the number of trials ends the search."""
        values = (self.time_budget, self.gpu_hours, self.cpu_hours, self.until, self.stop_when_flat)
        return any(value is not None for value in values)

    @property
    def has_end(self) -> bool:
        """Whether it ends at some time, however many trials there are; a target may never be reached."""
        return any(True for _ in self.budgets) or self.stop_when_flat is not None

    @property
    def budgets(self) -> Iterator[Allowance]:
        """Those of time and of devices."""
        if self.time_budget is not None:
            yield Allowance("time budget", "wall", float(self.time_budget))
        if self.gpu_hours is not None:
            yield Allowance("GPU-hours", "gpu", self.gpu_hours * 3600)
        if self.cpu_hours is not None:
            yield Allowance("CPU-hours", "cpu", self.cpu_hours * 3600)


def seconds_of(given: Any, what: str = "the time budget") -> float:
    """A duration in seconds: a number, a timedelta, or a text such as 45s, 90m, 1.5h or 1d12h.

    Raises UsageError that quotes what is none.
    """
    if isinstance(given, timedelta):
        seconds = given.total_seconds()
    elif isinstance(given, str):
        seconds = _parsed(given)
    elif isinstance(given, Real) and not isinstance(given, bool):
        seconds = float(given)
    else:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"{what} is {given!r}, but must be a duration such as 45s, 90m, 2h or 1d12h")
    return seconds


def _parsed(text: str) -> float:
    total, position, text = 0.0, 0, text.strip()
    while position < len(text):
        found = DURATION.match(text, position)
        if found is None or (found[2] or "s") not in UNIT_SECONDS:
            return math.nan
        if found[2] is None and (position or found.end() < len(text)):
            return math.nan  # 1h30: of what?
        total += float(found[1]) * UNIT_SECONDS[found[2] or "s"]
        position = found.end()
    return total
