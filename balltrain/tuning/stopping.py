"""When a trial is stopped early: a function of the rows reported so far, so that replaying them rebuilds it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from balltrain.errors import UsageError

SCHEDULERS = ("asha", "none")


class Stopping:
    """Asynchronous successive halving (Li et al., arXiv 1810.05934), by Ray Tune, with the epoch as resource.

    A trial that reaches a rung (epoch `grace`, `grace * reduction_factor`, …) goes on if it is among the best
    1 / reduction_factor that have reached it. Ray's scheduler is fed directly, without its trials: they know
    nothing of an earlier run of the sweep. Raises UsageError for values that make no rungs.
    """

    def __init__(self, name: str, mode: str, epochs: int, grace: int, reduction_factor: float):
        if name not in SCHEDULERS:
            raise UsageError(f"unknown scheduler {name!r}: choose one of {', '.join(SCHEDULERS)}")
        if reduction_factor < 2:
            raise UsageError(f"the reduction factor is {reduction_factor:g}, but must be at least 2")
        if not 1 <= grace <= epochs:
            raise UsageError(f"the grace period is {grace} epochs, but must be from 1 to the {epochs} of a trial")
        self._scheduler: Any = None
        self._trials: dict[str, Any] = {}
        if name == "asha":
            from ray.tune.schedulers import AsyncHyperBandScheduler

            self._scheduler = AsyncHyperBandScheduler(
                time_attr="epoch",
                metric="objective",
                mode=mode,
                max_t=epochs + 1,  # the last epoch is the trial's own affair, not a stop
                grace_period=grace,
                reduction_factor=reduction_factor,
            )

    def goes_on(self, trial_id: str, epoch: int, objective: float) -> bool:
        """Record a finite objective at an epoch, and decide. The same row twice changes nothing."""
        if self._scheduler is None:
            return True
        if trial_id not in self._trials:
            self._trials[trial_id] = SimpleNamespace(trial_id=trial_id)
            self._scheduler.on_trial_add(None, self._trials[trial_id])
        row = {"epoch": epoch, "objective": objective}
        return self._scheduler.on_trial_result(None, self._trials[trial_id], row) != "STOP"

    def rungs(self) -> dict[int, dict[str, float]]:
        """Epoch of each rung to the objectives recorded there by trial."""
        if self._scheduler is None:
            return {}
        sign = self._scheduler._metric_op
        (bracket,) = self._scheduler._brackets
        return {int(epoch): {t: sign * v for t, v in values.items()} for epoch, values in bracket._rungs}
