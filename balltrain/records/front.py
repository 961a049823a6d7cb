"""Several objectives at once: which values no others beat, in what order they count, and how much they cover.

Values are (n, objectives), the less the better. One dominates another where it is no worse in any objective, and
better in one; the front are those that none dominates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def layers_of(values: Values) -> NDArray[np.int64]:
    """(n,) the number of each one's layer, from 0, the front: what is left without the layers before it.

    Equal values share a layer. By efficient non-dominated sorting (Zhang et al., IEEE TEVC 2015).
    """
    found = np.zeros(len(values), np.int64)
    members: list[Values] = []
    counts: list[int] = []
    for at in np.lexsort(values.T[::-1]):  # nothing dominates what comes before it
        value = values[at]
        low, high = 0, len(members)
        while low < high:  # the first layer that has nothing which dominates it
            middle = (low + high) // 2
            if _is_dominated(value, members[middle][: counts[middle]]):
                low = middle + 1
            else:
                high = middle
        if low == len(members):
            members.append(np.empty((4, values.shape[1])))
            counts.append(0)
        if counts[low] == len(members[low]):
            members[low] = np.concatenate([members[low], np.empty_like(members[low])])
        members[low][counts[low]] = value
        counts[low] += 1
        found[at] = low
    return found


def front_of(values: Values) -> NDArray[np.int64]:
    """Places of the front alone, in the order of the values."""
    front: Values = np.empty((0, values.shape[1]))
    found = []
    for at in np.lexsort(values.T[::-1]):  # nothing dominates what comes before it
        if not _is_dominated(values[at], front):
            front = np.concatenate([front, values[at][None]])
            found.append(int(at))
    return np.array(sorted(found), dtype=np.int64)


def spread_order(values: Values, scale: Values | None = None) -> list[int]:
    """Places of values of one layer, so that the first k are spread over it: an epsilon-net.

    The first is that with the best first objective, the next always the one that is farthest from those before it
    (Schmucker et al., arXiv 2106.12639). Distances are of ranks among `scale`, the values themselves unless given:
    neither units nor outliers matter.
    """
    units = _ranks(values, values if scale is None else scale)
    first = int(np.lexsort(values.T[::-1])[0])
    order, away = [first], np.abs(units - units[first]).max(1)
    away[first] = -1.0
    for _ in range(len(values) - 1):
        chosen = int(away.argmax())
        order.append(chosen)
        away = np.minimum(away, np.abs(units - units[chosen]).max(1))
        away[chosen] = -1.0
    return order


def front_order(values: Values) -> list[int]:
    """Places of all values: layer by layer, and each layer as `spread_order` has it."""
    layers = layers_of(values)
    order: list[int] = []
    for layer in range(int(layers.max(initial=-1)) + 1):
        places = np.flatnonzero(layers == layer)
        order += [int(places[n]) for n in spread_order(values[places])]
    return order


def hypervolume(values: Sequence[Sequence[float]] | Values, reference: Sequence[float]) -> float:
    """The volume that values dominate up to a reference, which is worse than what counts: of several the union."""
    points: Values = np.asarray(values, dtype=float).reshape(-1, len(reference))
    bound = np.asarray(reference, dtype=float)
    points = points[(points < bound).all(1)]
    return _volume(np.unique(points, axis=0), bound) if len(points) else 0.0


def _volume(points: Values, bound: Values) -> float:
    """By slices along the last objective (Knowles 2002): exact, and quick for fronts of some hundred values."""
    points = points[np.lexsort(points.T)]  # the last objective first
    if points.shape[1] == 1:
        return float(bound[0] - points[0, 0])
    ends = np.append(points[1:, -1], bound[-1])
    heights = ends - points[:, -1]
    if points.shape[1] == 2:
        best = np.minimum.accumulate(points[:, 0])
        return float(((bound[0] - best) * heights).sum())
    total = 0.0
    below: Values = np.empty((0, points.shape[1] - 1))
    for point, height in zip(points[:, :-1], heights, strict=True):
        if not _is_weakly_dominated(point, below):
            below = np.concatenate([below[~(point <= below).all(1)], point[None]])
        if height > 0:
            total += height * _volume(below, bound[:-1])
    return total


def _is_dominated(value: Any, by: Values) -> bool:
    return bool(((by <= value).all(1) & (by < value).any(1)).any())


def _is_weakly_dominated(value: Any, by: Values) -> bool:
    return bool((by <= value).all(1).any())


def _ranks(values: Values, among: Values) -> Values:
    """Of each value in each objective, from 0 to 1; equal ones share one."""
    found = np.empty_like(values)
    for column in range(values.shape[1]):
        known = np.unique(among[:, column])
        found[:, column] = np.searchsorted(known, values[:, column]) / max(1, len(known) - 1)
    return found
