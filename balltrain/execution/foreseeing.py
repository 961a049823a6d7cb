"""What is known of a configuration before it trains: the number of parameters, where a constraint asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balltrain.data.cache import Dataset
from balltrain.records.figures import NUM_PARAMS
from balltrain.search.constraints import Foresee
from balltrain.search.feasible import Feasible, feasible_part
from balltrain.search.plan import Plan
from balltrain.tasks import TaskRef
from balltrain.tasks.base import resolve


def foresight(plan: Plan, dataset: Dataset | None) -> Foresee:
    """Figures of a configuration: none of a program, which tells its own, nor where nothing asks for them."""
    asked = any(bound.figure == NUM_PARAMS for bound in plan.sweep.bounds)
    if not asked or dataset is None or not isinstance(plan.ref, TaskRef):
        return lambda config: {}
    task, facts = plan.ref.load(), dataset.facts

    def foresee(config: Mapping[str, Any]) -> Mapping[str, float]:
        from balltrain.training.size import num_params_of

        try:
            return {NUM_PARAMS: num_params_of(task, resolve(task, config), facts)}
        except Exception:  # a user's code refuses the configuration: its trial says so, as its own failure
            return {}

    return foresee


def check_constraints(plan: Plan, dataset: Dataset | None) -> Feasible | None:
    """How much of the space keeps what is known before training; None where no constraint is on that.

    Raises UsageError where none of it does.
    """
    return feasible_part(plan, foresight(plan, dataset))
