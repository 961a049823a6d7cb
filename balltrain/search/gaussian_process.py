"""A Gaussian process over configurations and epochs: what the curves seen say about those that are not.

The covariance of two values, of configurations x and x' at times t and t', is

    signal² matern(x, x') (shared + (1 - shared) time(t, t'))    what configurations near each other have in common
    + trial² [same trial] (shared + (1 - shared) time(t, t'))    what one training has of its own, such as its seed
    + curve² time(t, t')                                         what all curves have in common
    + noise² [same value]

with a Matérn kernel 5/2 that has a length for each dimension, and a squared exponential over the logarithm of the
epoch, as freeze-thaw Bayesian optimisation has them (Swersky et al., arXiv 1406.3896), but with learned parts.
Parameters maximise the posterior, with wide normal priors on their logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

JITTER = 1e-6
# of the logarithms: mean and standard deviation
PRIOR_LENGTH_SD = 1.0
PRIORS = {
    "signal": (0.0, 0.5),
    "shared": (0.0, 1.5),  # of its logit
    "trial": (math.log(0.2), 0.8),
    "curve": (math.log(0.5), 0.8),
    "time": (math.log(0.4), 0.5),
    "noise": (math.log(0.1), 0.8),
}
MAX_STEPS = 30  # of L-BFGS
REFIT = 1.15  # parameters are fitted again once so many times the values are known


def refit_at(fitted: int, known: int) -> int:
    """The number of values to fit to: a function of how many are known, however far one has come before."""
    n = fitted
    while max(4, n + 1, math.ceil(n * REFIT)) <= known:
        n = max(4, n + 1, math.ceil(n * REFIT))
    return n


@dataclass(frozen=True)
class Values:
    """Where curves were seen, or are asked for, one a row.

    `x` (n, columns) are coordinates in the unit cube, `time` (n,) logarithms of epochs from 0 to 1, `trial` (n,)
    numbers, of which negative ones are trials that nothing is known of.
    """

    x: Array
    time: Array
    trial: Ids

    def __len__(self) -> int:
        return len(self.time)

    def and_then(self, other: Values) -> Values:
        return Values(
            np.concatenate([self.x, other.x]),
            np.concatenate([self.time, other.time]),
            np.concatenate([self.trial, other.trial]),
        )


class CurveProcess:
    """`dimension_of` (columns,) says which dimension a column of `Values.x` belongs to: they share a length.

    `priors` are means and standard deviations of the logarithms of all but the lengths, as in `PRIORS`.
    """

    def __init__(self, dimension_of: Ids, priors: Mapping[str, tuple[float, float]] = PRIORS):
        self.dimension_of = dimension_of
        self.num_dimensions = int(dimension_of.max()) + 1 if len(dimension_of) else 0
        length = (math.log(0.5 * math.sqrt(max(1, self.num_dimensions))), PRIOR_LENGTH_SD)
        prior = np.array([length] * self.num_dimensions + [priors[name] for name in PRIORS])
        self._mean, self._sd = prior[:, 0], prior[:, 1]
        self.parameters: Array = self._mean.copy()

    def fit(self, values: Values, targets: Array) -> None:
        """Set the parameters. Begins at their priors' means, so that they are a function of what is given."""
        from scipy.optimize import minimize

        found = minimize(
            self._loss,
            self._mean,
            args=(values, targets),
            jac=True,
            method="L-BFGS-B",
            bounds=[(m - 3 * s, m + 3 * s) for m, s in zip(self._mean, self._sd, strict=True)],
            options={"maxiter": MAX_STEPS},
        )
        self.parameters = found.x

    def condition(self, seen: Values, targets: Array, pending: Values | None = None) -> Posterior:
        """What is known after `targets` (n,); `pending` will be seen, and counts as if it were as expected."""
        return Posterior(self, seen, targets, pending)

    def covariance(self, a: Values, b: Values) -> Array:
        """(n, m), without noise."""
        p = self._named()
        root = np.sqrt(5 * self._squares(a.x, b.x))
        found = (root / 3 + 1) * root + 1
        found *= np.exp(np.negative(root, out=root), out=root)
        found *= p["signal"] ** 2
        if b.trial.max(initial=-1) >= 0:
            found += p["trial"] ** 2 * ((a.trial[:, None] == b.trial[None]) & (a.trial[:, None] >= 0))
        times = b.time[:1] if (b.time == b.time[:1]).all() else b.time  # candidates are all asked for at one time
        time = np.exp(-0.5 * ((a.time[:, None] - times[None]) / p["time"]) ** 2)
        found *= p["shared"] + (1 - p["shared"]) * time
        found += p["curve"] ** 2 * time
        return found

    def variance(self) -> float:
        """Of any one value of a trial that nothing is known of, without noise."""
        p = self._named()
        return p["signal"] ** 2 + p["trial"] ** 2 + p["curve"] ** 2

    @property
    def noise(self) -> float:
        return self._named()["noise"]

    def _named(self) -> dict[str, float]:
        found = dict(zip(PRIORS, np.exp(self.parameters[self.num_dimensions :]).tolist(), strict=True))
        found["shared"] = found["shared"] / (1 + found["shared"])
        return found

    def _scaled(self, x: Array) -> Array:
        return np.asarray(x / np.exp(self.parameters[: self.num_dimensions])[self.dimension_of])

    def _squares(self, a: Array, b: Array) -> Array:
        a, b = self._scaled(a), self._scaled(b)
        found = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        return np.asarray(np.maximum(found, 0.0, out=found))

    def _loss(self, parameters: Array, values: Values, targets: Array) -> tuple[float, Array]:
        """Negative logarithm of the posterior, and its gradient."""
        from scipy.linalg import cho_solve, cholesky

        self.parameters = parameters
        p, n = self._named(), len(values)
        root = np.sqrt(5 * self._squares(values.x, values.x))
        decay = np.exp(-root)
        matern = (1 + root + root**2 / 3) * decay
        apart = (values.time[:, None] - values.time[None]) ** 2 / p["time"] ** 2
        time = np.exp(-0.5 * apart)
        same = (values.trial[:, None] == values.trial[None]).astype(float)
        over_time = p["shared"] + (1 - p["shared"]) * time
        by_x, by_trial = p["signal"] ** 2 * matern, p["trial"] ** 2 * same
        covariance = (by_x + by_trial) * over_time + p["curve"] ** 2 * time
        covariance[np.diag_indices(n)] += p["noise"] ** 2 + JITTER
        lower = cholesky(covariance, lower=True, check_finite=False)
        inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
        alpha = inverse @ targets
        apart_from_prior = (parameters - self._mean) / self._sd
        loss = 0.5 * targets @ alpha + np.log(np.diag(lower)).sum() + 0.5 * apart_from_prior @ apart_from_prior

        weight = inverse - np.outer(alpha, alpha)  # twice the loss's derivative by the covariance
        gradient = np.empty(len(parameters))
        inner = weight * over_time * p["signal"] ** 2 * (5 / 3) * (1 + root) * decay
        scaled = self._scaled(values.x)
        columns = 2 * (inner.sum(1) @ scaled**2) - 2 * (scaled * (inner @ scaled)).sum(0)
        gradient[: self.num_dimensions] = np.bincount(self.dimension_of, columns, self.num_dimensions) / 2
        by_time = (by_x + by_trial) * (1 - p["shared"]) + p["curve"] ** 2
        gradient[self.num_dimensions :] = [
            (weight * by_x * over_time).sum(),
            0.5 * (weight * (by_x + by_trial) * (1 - time)).sum() * p["shared"] * (1 - p["shared"]),
            (weight * by_trial * over_time).sum(),
            (weight * time).sum() * p["curve"] ** 2,
            0.5 * (weight * by_time * time * apart).sum(),
            np.trace(weight) * p["noise"] ** 2,
        ]
        return float(loss), gradient + apart_from_prior / self._sd


class Posterior:
    """Of the process at any values, given those seen."""

    def __init__(self, process: CurveProcess, seen: Values, targets: Array, pending: Values | None):
        from scipy.linalg import cholesky, solve_triangular

        self._process, self._known = process, seen if pending is None else seen.and_then(pending)
        covariance = process.covariance(self._known, self._known)
        covariance[np.diag_indices(len(self._known))] += process.noise**2 + JITTER
        self._lower = cholesky(covariance, lower=True, check_finite=False, overwrite_a=True)
        n = len(seen)
        # in these coordinates a value that is as expected is zero
        self._white = np.zeros(len(self._known))
        self._white[:n] = solve_triangular(self._lower[:n, :n], targets, lower=True, check_finite=False)

    def at(self, values: Values) -> tuple[Array, Array]:
        """Means and standard deviations (m,), without noise."""
        from scipy.linalg import solve_triangular

        cross = self._process.covariance(self._known, values)
        half = solve_triangular(self._lower, cross, lower=True, check_finite=False, overwrite_b=True)
        variance = self._process.variance() - (half**2).sum(0)
        return self._white @ half, np.sqrt(np.maximum(variance, 1e-9))
