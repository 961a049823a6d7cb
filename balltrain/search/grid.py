"""A grid: every combination of what a space lists, once each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice

from balltrain.errors import UsageError
from balltrain.records.state import Point
from balltrain.search.space import Dimension, Space

MAX_POINTS = 100_000  # each of them a training


class GridSearcher:
    """The combinations in the order of nested loops, the space's first dimension outermost; the seed changes nothing.

    Raises UsageError for a space with a continuous dimension, which has no values to go through.
    """

    def __init__(self, space: Space, mode: str, seed: int):
        self.points = grid_points(space)

    def suggest(self, number: int) -> Point:
        return dict(self.points[number])

    def add(self, number: int, point: Point) -> None:
        pass

    def tell(self, number: int, objective: float | None) -> None:
        pass


def grid_points(space: Space) -> list[Point]:
    """All points of a space. Raises UsageError where there is no end of them, or more than `MAX_POINTS`."""
    values = {dimension.label: _values(dimension) for dimension in space.dimensions}
    found = list(islice(_points(space.dimensions, values, {}), MAX_POINTS + 1))
    if len(found) > MAX_POINTS:
        raise UsageError(f"the grid has more than {MAX_POINTS} points: list fewer values, or use another searcher")
    return found


def _points(
    dimensions: Sequence[Dimension], values: dict[str, Sequence[float | int]], begun: Point
) -> Iterator[Point]:
    if not dimensions:
        yield begun
        return
    first, rest = dimensions[0], dimensions[1:]
    if not first.active(begun):
        yield from _points(rest, values, begun)
        return
    for value in values[first.label]:
        yield from _points(rest, values, {**begun, first.label: value})


def _values(dimension: Dimension) -> Sequence[float | int]:
    """In order; a range that was written downwards is gone through downwards."""
    found: Sequence[float | int]
    if dimension.kind == "choice":
        return range(int(dimension.high))
    if dimension.step:
        first, last = math.ceil(dimension.low / dimension.step), math.floor(dimension.high / dimension.step)
        count = min(last - first + 1, MAX_POINTS + 1)
        found = [dimension.clean((first + n) * dimension.step) for n in range(count)]
    elif dimension.kind == "int":
        found = range(int(dimension.low), int(dimension.high))
    else:
        raise UsageError(
            f"{dimension.label} is continuous, which the searcher grid cannot go through: "
            "list its values by tune.grid_search([…]), or use another searcher"
        )
    return found[::-1] if dimension.falling else found
