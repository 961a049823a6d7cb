"""Trials that turn out to be what another one is: their configurations differ, and their curves do not.

So it is where a hyperparameter has no effect, or is rounded. A twin is worth no epoch more, and what lies as near
to a known configuration as twins have lain is hardly worth a trial.
"""

from __future__ import annotations

import numpy as np

from balltrain.search.cube import Array

MIN_EPOCHS = 3  # that tell a curve from another: few values may be equal by chance


class Twins:
    """`x` (columns,) are coordinates of configurations."""

    def __init__(self) -> None:
        self._first_with: dict[tuple[float, ...], int] = {}
        self._x: list[Array] = []
        self._apart: list[tuple[float, bool]] = []  # of each trial: how far the nearest before was, and if a twin
        self.trials: set[int] = set()

    def observe(self, trial: int, x: Array, values: tuple[float, ...]) -> None:
        """A trial has come to its first milestone with these values, one an epoch."""
        nearest = float(self._nearest(x[None])[0]) if self._x else np.inf
        self._x.append(x)
        if len(values) < MIN_EPOCHS or len(set(values)) == 1:  # one that does not learn is like others anywhere
            return
        is_twin = values in self._first_with
        self._first_with.setdefault(values, trial)
        self._apart.append((nearest, is_twin))
        if is_twin:
            self.trials.add(trial)

    def log_probability_of_none(self, x: Array) -> Array:
        """(m,) of configurations (m, columns): that one is no twin, by how far twins and others were from theirs."""
        if not self.trials:
            return np.zeros(len(x))
        distances = np.array([distance for distance, _ in self._apart])
        is_twin = np.array([twin for _, twin in self._apart])
        at = self._nearest(x)[:, None]
        twins = (distances[is_twin][None] >= at).sum(1)
        others = (distances[~is_twin][None] <= at).sum(1)
        return np.asarray(np.log1p(-twins / (twins + others + 1.0)))

    def _nearest(self, x: Array) -> Array:
        known = np.array(self._x)
        squares = (x**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * x @ known.T
        return np.asarray(np.sqrt(np.maximum(squares.min(1), 0.0)))
