"""How much of a space keeps the constraints on what is known before training."""

from __future__ import annotations

from typing import NamedTuple

from balltrain.errors import UsageError
from balltrain.records.figures import NUM_PARAMS
from balltrain.records.state import Point
from balltrain.search.constraints import Constraints, Foresee
from balltrain.search.plan import Plan

NUM_TRIED = 64  # points of the space that say how much of it keeps the constraints


class Feasible(NamedTuple):
    """How many of the points that were tried keep the constraints on what is known before training."""

    num_feasible: int
    num_tried: int


def feasible_part(plan: Plan, foresee: Foresee) -> Feasible | None:
    """Of points all over the space; None where no constraint is on what is known before training.

    Raises UsageError where none of the points keeps the constraints.
    """
    constraints = [each for each in plan.sweep.bounds if each.figure == NUM_PARAMS]
    if not constraints:
        return None
    known = [foresee(plan.configure(plan.space.decode(point))) for point in _points(plan)]
    known = [figures for figures in known if NUM_PARAMS in figures]
    if not known:
        return None
    kept = sum(Constraints(constraints).broken_before(figures) is None for figures in known)
    if not kept:
        sizes = [figures[NUM_PARAMS] for figures in known]
        raise UsageError(
            f"no configuration keeps {' and '.join(map(str, constraints))}: of {len(known)} all over the space "
            f"{NUM_PARAMS} is {min(sizes):.0f} to {max(sizes):.0f}; change the bound, or the space"
        )
    return Feasible(kept, len(known))


def _points(plan: Plan) -> list[Point]:
    """The bounds and options of the space, the ends of all dimensions at once, and even points."""
    from scipy.stats import qmc

    num = len(plan.space.dimensions)
    ends = [plan.space.from_unit_cube([end] * num) for end in (0.0, 1 - 1e-9)]
    if not num:
        return ends[:1]
    even = qmc.Halton(num, rng=0).random(NUM_TRIED).tolist()
    return [*plan.space.corners(), *ends, *(plan.space.from_unit_cube(units) for units in even)]
