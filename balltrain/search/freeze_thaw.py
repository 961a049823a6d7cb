"""Freeze-thaw search: what to try and what goes on are one decision, by one model of all curves.

A trial pauses at milestones. What runs next is the paused trial or the new configuration with the largest
probability to beat the best value seen by a random margin, at a random number of epochs from where it stands, as in
ifBO (Rakotoarison et al., arXiv 2404.16795). A Gaussian process (`gaussian_process.py`) predicts the normal scores of
the values' ranks, so that neither a unit nor an outlier matters. A second one says where trials fail (`survival.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri, stdtr

from balltrain.records.columns import Status
from balltrain.records.state import Point, Trial
from balltrain.search.cube import Array, Cube
from balltrain.search.gaussian_process import CurveProcess, Posterior, Values, refit_at
from balltrain.search.space import Space
from balltrain.search.survival import Survival
from balltrain.search.twins import Twins

MILESTONES = (1 / 13, 1 / 5, 2 / 5, 5 / 8, 1.0)  # of the epochs of a trial; fine ones are slow at the start
SHARE = 0.3  # of the epochs of all trials in full, that are trained in all
NUM_EVEN = 8  # even points of the space that are tried first
NUM_RANDOM, NUM_NEAR = 400, 200  # candidates, anywhere and near the best trials
NUM_BEST = 5  # trials, and candidates, near which more candidates are drawn
TAILS = 4.0  # degrees of freedom
WARY = 2.0  # power of the probability to survive: a trial that fails tells nothing of how good others are
MARGINS = (-3.0, 0.0)  # powers of ten, of a standard score
MAX_PAUSED = 30  # trials that keep their checkpoints: the least promising beyond are out
MAX_FITTED, MAX_SEEN = 200, 400  # values that parameters are fitted to, and that a decision is conditioned on
MAX_PENDING = 100  # of the trials that run, the last ones: a thousand at a time are as many values

Seen = tuple[int, int, float]  # trial, epoch, value


@dataclass
class Curve:
    """What the model sees of a trial's finite values, of which the larger are the better."""

    x: Array
    begin: list[float] = field(default_factory=list)  # values up to the first milestone
    at_milestones: list[tuple[int, float]] = field(default_factory=list)  # epochs and values
    last: tuple[int, float] | None = None
    best: tuple[int, float] | None = None

    @property
    def stands_at(self) -> int:
        return self.last[0] if self.last else 0

    @property
    def best_value(self) -> float:
        return self.best[1] if self.best else -math.inf

    def seen(self) -> list[tuple[int, float]]:
        """At its milestones, the last and the best."""
        return sorted({*self.at_milestones, *(row for row in (self.last, self.best) if row)})


class FreezeThaw:
    """Decisions follow from the seed and from what was observed, in order: a resumed sweep makes the same ones.

    `first` are the points of the first trials: the best of those that are not the space's mere middle is trained to
    its end before others go on. As many trials are started as the sweep has, and the search trains three tenths of
    the epochs that all of them in full would take, hardly more than ASHA does.
    """

    def __init__(
        self, space: Space, mode: str, seed: int, epochs: int, trials: int, first: Sequence[Point] = ()
    ) -> None:
        self.space, self.seed, self.epochs, self.num_trials = space, seed, epochs, trials
        self.milestones = tuple(sorted({max(1, math.ceil(part * epochs - 1e-9)) for part in MILESTONES}))
        self.budget = max(trials * epochs * SHARE, trials * self.milestones[0] + epochs)  # one at least in full
        self._sign, self._first = 1.0 if mode == "max" else -1.0, list(first)
        middle = space.from_unit_cube([0.5] * len(space.dimensions))  # what defaults are that nobody has chosen
        self._known_good = {n for n, point in enumerate(first) if point != middle}
        self._cube = Cube(space)
        self._process, self._survival = CurveProcess(self._cube.dimension_of), Survival(self._cube)
        self._twins = Twins()
        self._curves: dict[int, Curve] = {}
        self._at_milestones: list[Seen] = []  # in the order of reports: what the parameters are fitted to
        self._num_fitted = self._num_rows = 0
        self._last: tuple[object, Point | Trial] | None = None  # the last decision, and what it was made on

    def observe(self, trial: Trial, epoch: int, objective: float | None) -> None:
        """A row was reported, of an objective or of none that is finite. Each row comes once, a trial's in order."""
        self._num_rows += 1
        if objective is None:
            return self.failed(trial)
        curve, value = self._curve_of(trial), self._sign * objective
        curve.last = epoch, value
        if value > curve.best_value:
            curve.best = curve.last
        if epoch in self.milestones:
            curve.at_milestones.append(curve.last)
            self._at_milestones.append((trial.order, epoch, value))
        if epoch <= self.milestones[0]:
            curve.begin.append(value)
        if epoch == self.milestones[0]:
            self._survival.observe(trial.order, curve.x, True)
            self._twins.observe(trial.order, curve.x, tuple(curve.begin))

    def failed(self, trial: Trial) -> None:
        """A trial ended by an error."""
        self._survival.observe(trial.order, self._curve_of(trial).x, False)

    def decide(self, trials: Sequence[Trial], arriving: Trial | None = None) -> Point | Trial | None:
        """The paused trial that goes on, the point of a new one, or None where there is nothing to run.

        `trials` are all of the search, in order. `arriving` has reached a milestone, and counts as paused.
        """
        to_come = max(0, self.num_trials - len(trials))
        own = [t for t in trials if t.same_as is None]
        paused = [t for t in own if t.status == Status.PAUSED or t is arriving]
        paused = [t for t in paused if t.order not in self._twins.trials]
        running = [t for t in own if t.status in (Status.RUNNING, Status.INTERRUPTED) and t is not arriving]
        if self._num_rows + self.milestones[0] * to_come >= self.budget:
            paused = []  # what is left belongs to the trials to come
        if not (to_come or paused):
            return None
        known = (len(trials), self._num_rows, [t.order for t in paused], [t.order for t in running])
        if self._last is None or self._last[0] != known:
            self._last = known, self._decide(trials, paused, running, to_come > 0)
        return self._last[1]

    def out(self, trials: Sequence[Trial], chosen: Point | Trial) -> list[Trial]:
        """Paused trials that are given up, because more have paused than checkpoints are kept; `chosen` goes on."""
        paused = [t for t in trials if t.status == Status.PAUSED and t.same_as is None and t is not chosen]
        if len(paused) <= MAX_PAUSED:
            return []
        posterior, _ = self._after_all_seen([])
        x = np.array([self._curves[t.order].x for t in paused])
        values = Values(x, np.ones(len(paused)), np.array([t.order for t in paused]))
        mean, sd = posterior.at(values)
        worth = np.where([t.order in self._twins.trials for t in paused], -math.inf, mean + sd)
        order = np.argsort(worth, kind="stable")
        return [paused[n] for n in sorted(order[: len(paused) - MAX_PAUSED])]

    def _decide(
        self, trials: Sequence[Trial], paused: list[Trial], running: list[Trial], may_start: bool
    ) -> Point | Trial:
        number, leader = len(trials), self._leader(len(trials), paused, running)
        if leader is not None:
            return leader
        if may_start and (number < len(self._first) + NUM_EVEN or not self._at_milestones):
            return self.first(number)
        random = np.random.default_rng([self.seed, number, self._num_rows, len(running)])
        posterior, best = self._after_all_seen(running)
        horizon = math.exp(random.uniform(math.log(self.milestones[0]), math.log(self.epochs)))
        threshold = best + 10 ** random.uniform(*MARGINS)
        thaw = self._best_paused(posterior, paused, horizon, threshold)
        start = self._best_new(posterior, trials, horizon, threshold, random) if may_start else None
        if start is None or (thaw is not None and thaw[0] >= start[0]):
            assert thaw is not None  # there is one of the two
            return thaw[1]
        return start[1]

    def _leader(self, begun: int, paused: list[Trial], running: list[Trial]) -> Trial | None:
        """Of the trials known to be good before, the best at its first milestone: it goes to its end before others.

        A task's own defaults are hard to beat, and one whole curve tells how those of others go on.
        """
        to_begin = any(begun <= n < self.num_trials for n in self._known_good)
        if to_begin or any(t.order in self._known_good for t in running):
            return None
        if any(curve.stands_at >= self.epochs for n, curve in self._curves.items() if n in self._known_good):
            return None
        found = [(self._curves[t.order], t) for t in paused if t.order in self._known_good]
        found.sort(key=lambda pair: (-pair[0].stands_at, -pair[0].best_value, pair[1].order))
        return found[0][1] if found else None

    def first(self, number: int) -> Point:
        """Of a trial that begins before anything is known."""
        return self._first[number] if number < len(self._first) else self._even(number)

    def _even(self, number: int) -> Point:
        """Of a Sobol sequence that the seed scrambles."""
        from scipy.stats import qmc

        dimensions = len(self.space.dimensions)
        sequence = qmc.Sobol(max(1, dimensions), rng=np.random.default_rng(self.seed))
        if number:
            sequence.fast_forward(number)
        return self.space.from_unit_cube(sequence.random(1)[0][:dimensions].tolist())

    def _best_paused(
        self, posterior: Posterior, paused: list[Trial], horizon: float, threshold: float
    ) -> tuple[float, Trial] | None:
        """The most promising, and the logarithm of its promise."""
        if not paused:
            return None
        curves = [self._curves[t.order] for t in paused]
        at = np.minimum(self.epochs, np.array([curve.stands_at for curve in curves]) + horizon)
        values = Values(np.array([curve.x for curve in curves]), self._time(at), np.array([t.order for t in paused]))
        promise = _log_promise(posterior, values, threshold)
        return float(promise.max()), paused[int(promise.argmax())]

    def _best_new(
        self,
        posterior: Posterior,
        trials: Sequence[Trial],
        horizon: float,
        threshold: float,
        random: np.random.Generator,
    ) -> tuple[float, Point]:
        """The most promising of many candidates, then of some near the best of these."""
        best = sorted(self._curves, key=lambda n: (-self._curves[n].best_value, n))[:NUM_BEST]
        known = np.array([self._cube.units(trials[n].point or {}) for n in best])
        units = np.concatenate(
            [random.random((NUM_RANDOM, self._cube.num)), self._cube.near(known, NUM_NEAR, random)]
        )
        order = self._promises(posterior, units, horizon, threshold).argsort(kind="stable")[::-1]
        units = np.concatenate([units[order[:1]], self._cube.near(units[order[:NUM_BEST]], NUM_NEAR, random)])
        promise = self._promises(posterior, units, horizon, threshold)
        tried = {_key(t.point or {}) for t in trials}
        for n in promise.argsort(kind="stable")[::-1].tolist():
            point = self.space.from_unit_cube(units[n].tolist())
            if _key(point) not in tried:
                return float(promise[n]), point
        return -math.inf, self.space.from_unit_cube(units[0].tolist())

    def _promises(self, posterior: Posterior, units: Array, horizon: float, threshold: float) -> Array:
        """Their logarithms (n,), of new trials at `units` (n, dimensions)."""
        x = self._cube.rounded(units)
        values = Values(x, self._time(np.full(len(x), min(self.epochs, horizon))), np.full(len(x), -1))
        promise = _log_promise(posterior, values, threshold)
        return promise + WARY * self._survival.log_probability(x) + self._twins.log_probability_of_none(x)

    def _after_all_seen(self, running: list[Trial]) -> tuple[Posterior, float]:
        """The posterior, with running trials expected at their next milestone, and the score of the best value."""
        n = refit_at(self._num_fitted, len(self._at_milestones))
        if n != self._num_fitted:
            self._num_fitted = n
            values, raw = self._values(_some(self._at_milestones[:n], MAX_FITTED))
            scores = _scores(raw)
            self._process.fit(values, scores - scores.mean())
        seen, raw = self._values(_some(self._all_seen(), MAX_SEEN))
        scores = _scores(raw)
        pending = None
        if running:
            running = running[-MAX_PENDING:]
            curves = [self._curve_of(t) for t in running]
            at = [next((m for m in self.milestones if m > curve.stands_at), self.epochs) for curve in curves]
            x, numbers = np.array([curve.x for curve in curves]), np.array([t.order for t in running])
            pending = Values(x, self._time(np.array(at, dtype=float)), numbers)
        mean = scores.mean()
        return self._process.condition(seen, scores - mean, pending), float(scores.max() - mean)

    def _all_seen(self) -> list[Seen]:
        return [(number, *row) for number, curve in sorted(self._curves.items()) for row in curve.seen()]

    def _values(self, rows: list[Seen]) -> tuple[Values, Array]:
        numbers, epochs, raw = zip(*rows, strict=True)
        x = np.array([self._curves[n].x for n in numbers])
        return Values(x, self._time(np.array(epochs, dtype=float)), np.array(numbers)), np.array(raw)

    def _time(self, epochs: Array) -> Array:
        """From 0 at the first epoch to 1 at the last."""
        return np.asarray(np.log(epochs) / math.log(max(2, self.epochs)))

    def _curve_of(self, trial: Trial) -> Curve:
        if trial.order not in self._curves:
            self._curves[trial.order] = Curve(self._cube.coordinates(trial.point or {}))
        return self._curves[trial.order]


def _log_promise(posterior: Posterior, values: Values, threshold: float) -> Array:
    """Of the probability to exceed the threshold. Tails are Student's: a model is never sure to e^-50 of anything."""
    mean, sd = posterior.at(values)
    return np.asarray(np.log(stdtr(TAILS, (mean - threshold) / sd)))


def _key(point: Point) -> tuple[tuple[str, float | int], ...]:
    return tuple(sorted(point.items()))


def _some(rows: list[Seen], most: int) -> list[Seen]:
    """At most so many: half of them the best, the others spread evenly over the rest."""
    if len(rows) <= most:
        return rows
    order = np.argsort([-value for _, _, value in rows], kind="stable")
    rest = order[most // 2 :]
    chosen = [*order[: most // 2], *rest[np.linspace(0, len(rest) - 1, most - most // 2).astype(int)]]
    return [rows[i] for i in sorted(chosen)]


def _scores(raw: Array) -> Array:
    """Normal scores of ranks; equal values share their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(raw) - 0.5) / len(raw)))
