"""What earlier sweeps of the same task know: their best configurations, with which a new one begins."""

from __future__ import annotations

from collections.abc import Sequence

from balltrain.errors import UsageError
from balltrain.records.results import Results
from balltrain.records.state import Point
from balltrain.search.space import Space
from balltrain.tasks.base import Trainable

NUM_BEST = 5  # of each sweep


def best_of(sweeps: Sequence[Results], task: Trainable, space: Space) -> list[Point]:
    """The best different configurations of each sweep, its best first, by turns; what a space leaves out is skipped.

    Values that the space does not hold are the middle of their range. Raises UsageError for a sweep of another task
    or objective, or one that has no objective yet.
    """
    found = []
    for results in sweeps:
        _check(results, task)
        points = [space.nearest(results.config(row)) for _, row in results.ranked.head(4 * NUM_BEST).iterrows()]
        found.append(_different(points)[:NUM_BEST])
    by_turns = [points[place] for place in range(NUM_BEST) for points in found if place < len(points)]
    return _different(by_turns)


def _check(results: Results, task: Trainable) -> None:
    had, has = results.sweep.get("task"), task.name
    if had != has:
        raise UsageError(f"--from {results.name} is a sweep of {had}, and this one of {has}: leave it out")
    if (results.objective_name, results.mode) != (task.objective, task.mode):
        raise UsageError(
            f"--from {results.name} has the objective {results.objective_name} ({results.mode}), and this sweep "
            f"{task.objective} ({task.mode}): leave it out"
        )
    if results.ranked.empty:
        raise UsageError(f"--from {results.name} has no trial with an objective: leave it out")


def _different(points: Sequence[Point]) -> list[Point]:
    found: list[Point] = []
    for point in points:
        if point not in found:
            found.append(point)
    return found
