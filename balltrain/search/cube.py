"""Points of a search space as coordinates that a model can measure distances between."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from balltrain.records.state import Point
from balltrain.search.space import Dimension, Space

Array = NDArray[np.float64]
WIDTHS = (0.01, 0.3)  # of a step to a neighbour, drawn from its logarithms


class Cube:
    """A column for a number, from 0 to 1; one for each option of a choice; 0.5 or none where it is not active.

    `dimension_of` (columns,) says which dimension of the space a column belongs to. Two options of a choice are as
    far apart as the two ends of a number.
    """

    def __init__(self, space: Space):
        self.space, self.num = space, len(space.dimensions)
        self._first_column: list[int] = []
        dimension_of: list[int] = []
        for n, dimension in enumerate(space.dimensions):
            self._first_column.append(len(dimension_of))
            dimension_of += [n] * (int(dimension.high) if dimension.kind == "choice" else 1)
        self.dimension_of = np.array(dimension_of, dtype=np.int64)

    def coordinates(self, point: Point) -> Array:
        """(columns,)"""
        x = np.full(len(self.dimension_of), 0.5)
        for dimension, column in zip(self.space.dimensions, self._first_column, strict=True):
            if dimension.kind == "choice":
                x[column : column + int(dimension.high)] = 0.0
                if dimension.label in point:
                    x[column + int(point[dimension.label])] = math.sqrt(0.5)
            elif dimension.label in point:
                x[column] = dimension.to_unit(point[dimension.label])
        return x

    def rounded(self, units: Array) -> Array:
        """`coordinates` (n, columns) of the points that `Space.from_unit_cube` makes of `units` (n, dimensions)."""
        x = np.full((len(units), len(self.dimension_of)), 0.5)
        options: dict[str, Array] = {}  # that choices fell on, -1 where they are not active
        for dimension, column, u in zip(self.space.dimensions, self._first_column, units.T, strict=True):
            active = np.full(len(units), True)
            for label, option in dimension.condition:
                active &= options[label] == option
            if dimension.kind != "choice":
                x[active, column] = _rounded(dimension, u[active])
                continue
            num = int(dimension.high)
            chosen = np.minimum((u * num).astype(np.int64), num - 1)
            options[dimension.label] = chosen = np.where(active, chosen, -1)
            x[:, column : column + num] = math.sqrt(0.5) * (chosen[:, None] == np.arange(num))
        return x

    def units(self, point: Point) -> list[float]:
        """What `Space.from_unit_cube` makes the point of, one number a dimension."""
        return [d.to_unit(point[d.label]) if d.label in point else 0.5 for d in self.space.dimensions]

    def near(self, units: Array, count: int, random: np.random.Generator) -> Array:
        """So many (count, dimensions) near some (n, dimensions), each changed in about half of its dimensions."""
        found = units[random.integers(len(units), size=count)]
        if not self.num:
            return found
        change = random.random(found.shape) < 0.5
        change[np.arange(count), random.integers(self.num, size=count)] = True
        widths = np.exp(random.uniform(math.log(WIDTHS[0]), math.log(WIDTHS[1]), (count, 1)))
        moved = found + widths * random.standard_normal(found.shape)
        for n, dimension in enumerate(self.space.dimensions):
            if dimension.kind == "choice":
                moved[:, n] = random.random(count)
                change[:, n] &= random.random(count) < 0.5
        found = np.abs(np.where(change, moved, found))  # reflected at the bounds, where too many would pile up
        return np.asarray(np.clip(1 - np.abs(1 - found), 0.0, 1 - 1e-9))


def _rounded(dimension: Dimension, u: Array) -> Array:
    """Coordinates (n,) of a number's values at `u` (n,), which differ from these where it has a step or is whole."""
    low, high, log = dimension.low, dimension.high, dimension.log
    if dimension.kind == "float" and not dimension.step:
        return np.minimum(u, 1 - 1e-9) if high > low else np.full(len(u), 0.5)
    ends = (math.log(low), math.log(high)) if log else (low, high)
    values = ends[0] + u * (ends[1] - ends[0])
    values = np.exp(values) if log else values
    if dimension.step:
        values = np.round(values / dimension.step) * dimension.step
    whole = dimension.kind == "int"
    values = np.clip(np.floor(values) if whole else values, low, high - (whole and not dimension.step))
    values = values + 0.5 if whole and not dimension.step else values
    values = np.log(values) if log else values
    return np.clip((values - ends[0]) / (ends[1] - ends[0]), 0.0, 1 - 1e-9) if high > low else np.full(len(u), 0.5)
