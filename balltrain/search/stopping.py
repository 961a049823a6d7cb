"""When a trial is stopped early: a function of the rows reported so far, so that replaying them rebuilds it."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from balltrain.errors import UsageError
from balltrain.knobs import Panel, knob, require_at_least
from balltrain.search.plugins import CheckedRule, Registry

OWN = ("asha", "none")


class StoppingRule(Protocol):
    """Decides on rows as they come. Those of an earlier run are told again before a resume, trial by trial."""

    def goes_on(self, trial_id: str, epoch: int, objective: float) -> bool:
        """Record a finite objective at an epoch, and decide. The same row twice changes nothing."""

    def rungs(self) -> Mapping[int, Mapping[str, float]]:
        """Epochs at which it decides, to the objectives recorded there by trial; empty where it has none."""


@dataclass(frozen=True, kw_only=True)
class Asha:
    """Asynchronous successive halving: rungs at epochs grace, grace x reduction_factor, …"""

    grace: int | None = knob(
        None,
        "Epochs before ASHA may stop a trial.",
        Panel.STOPPING,
        says="a tenth of the epochs",
        record="scheduler.grace",
        mixes="another grace period",
    )
    reduction_factor: float = knob(
        3,
        "Number of trials at a rung of which ASHA keeps one.",
        Panel.STOPPING,
        record="scheduler.reduction_factor",
        mixes="another reduction factor",
    )

    def __post_init__(self) -> None:
        require_at_least(self.grace, 1, "the grace period in epochs")
        require_at_least(self.reduction_factor, 2, "the reduction factor")


def build_stopping(name: str, mode: str, epochs: int, grace: int, reduction_factor: float) -> StoppingRule:
    """The rule of that name, which knows of no trial yet.

    Raises UsageError for an unknown name, with those known, for values that make no rungs, and for a plug-in that
    is no rule.
    """
    if reduction_factor < 2:
        raise UsageError(f"the reduction factor is {reduction_factor:g}, but must be at least 2")
    if not 1 <= grace <= epochs:
        raise UsageError(f"the grace period is {grace} epochs, but must be from 1 to the {epochs} of a trial")
    made = SCHEDULERS.make(name, mode, epochs, grace, reduction_factor)
    return CheckedRule(name, made) if SCHEDULERS.is_plugin(name) else made


class Stopping:
    """Asynchronous successive halving (Li et al., arXiv 1810.05934), stopping variant, with the epoch as resource.

    A trial that reaches a rung (epoch `grace`, `grace * reduction_factor`, …) goes on if it is among the best
    1 / reduction_factor that have reached it, decision by decision as Ray Tune's AsyncHyperBandScheduler: the value
    that it must reach is interpolated between those before it, and the first at a rung always goes on.
    By the name `none` it has no rungs, and stops nothing.
    """

    def __init__(self, name: str, mode: str, epochs: int, grace: int, reduction_factor: float):
        self._sign, self._factor = 1.0 if mode == "max" else -1.0, reduction_factor
        # the last epoch may be a rung too: it ends a trial, whatever is decided there
        count = int(math.log((epochs + 1) / grace) / math.log(reduction_factor) + 1) if name == "asha" else 0
        # the highest first; signed objectives by trial, where the larger is the better
        self._rungs: list[tuple[float, dict[str, float]]] = [
            (grace * reduction_factor**k, {}) for k in reversed(range(count))
        ]
        self._sorted: list[list[float]] = [[] for _ in range(count)]  # the values of each

    def goes_on(self, trial_id: str, epoch: int, objective: float) -> bool:
        """Record a finite objective at an epoch, and decide. The same row twice changes nothing."""
        for (milestone, recorded), values in zip(self._rungs, self._sorted, strict=True):
            if epoch < milestone or trial_id in recorded:
                continue
            value = self._sign * objective
            needed = percentile(values, (1 - 1 / self._factor) * 100) if values else -math.inf
            recorded[trial_id] = value
            bisect.insort(values, value)
            return value >= needed
        return True

    def rungs(self) -> dict[int, dict[str, float]]:
        """Epoch of each rung to the objectives recorded there by trial."""
        return {int(epoch): {t: self._sign * v for t, v in values.items()} for epoch, values in self._rungs}


SCHEDULERS: Registry[StoppingRule] = Registry(
    "scheduler",
    "balltrain.schedulers",
    {name: functools.partial(Stopping, name) for name in OWN},
    arguments=("mode", "epochs", "grace", "reduction_factor"),
    methods=("goes_on", "rungs"),
)


def percentile(values: list[float], percent: float) -> float:
    """What numpy's `percentile` gives of sorted values, to the last bit, without looking at all of them."""
    place = (len(values) - 1) * (percent / 100)
    below = math.floor(place)
    if below >= len(values) - 1:
        return values[-1]
    first, second, share = values[below], values[below + 1], place - below
    if share < 0.5:
        return first + (second - first) * share
    return second - (second - first) * (1 - share)
