"""Where in the space trials fail: divergence says that a region is bad, and nothing about its curves."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr

from balltrain.search.cube import Array, Cube
from balltrain.search.gaussian_process import PRIORS, CurveProcess, Posterior, Values, refit_at

# whether a trial fails is a matter of its configuration, hardly of its own luck
SURE = {"trial": (math.log(0.05), 0.5), "noise": (math.log(0.05), 0.5)}
MAX_TRIALS = 300  # the last ones


class Survival:
    """A Gaussian process of 1 for a trial that came past its first milestone, and of -1 for one that failed."""

    def __init__(self, cube: Cube):
        self._process = CurveProcess(cube.dimension_of, PRIORS | SURE)
        self._x: dict[int, Array] = {}
        self._events: list[tuple[int, bool]] = []  # a trial that came past its milestone may fail later
        self._num_fitted = 0
        self._posterior: Posterior | None = None

    def observe(self, trial: int, x: Array, survived: bool) -> None:
        self._x[trial] = x
        self._events.append((trial, survived))
        self._posterior = None

    def log_probability(self, x: Array) -> Array:
        """(m,) of configurations (m, columns); zeros while no trial has failed."""
        if all(survived for _, survived in self._events):
            return np.zeros(len(x))
        if self._posterior is None:
            n = refit_at(self._num_fitted, len(self._events))
            if n != self._num_fitted:
                self._num_fitted = n
                self._process.fit(*self._labels(self._events[:n]))
            self._posterior = self._process.condition(*self._labels(self._events))
        mean, sd = self._posterior.at(Values(x, np.zeros(len(x)), np.full(len(x), -1)))
        return np.asarray(log_ndtr(mean / np.sqrt(sd**2 + self._process.noise**2)))

    def _labels(self, events: list[tuple[int, bool]]) -> tuple[Values, Array]:
        survived = list(dict(events).items())[-MAX_TRIALS:]
        trials = np.array([trial for trial, _ in survived])
        values = Values(np.array([self._x[n] for n in trials]), np.zeros(len(trials)), trials)
        return values, np.array([1.0 if ok else -1.0 for _, ok in survived])
