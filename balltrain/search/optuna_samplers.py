"""Optuna's samplers as searchers: rebuilt of what is known for each proposal, and seeded by its number.

A failed trial counts as the worst that was seen: Optuna would forget it, and propose its neighbours again.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from balltrain.errors import BalltrainError, UsageError
from balltrain.records.state import Point
from balltrain.search.space import Dimension, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


class _Told:
    """What is known of all trials, in the order that they ended in; those that run come last."""

    def __init__(self, space: Space, mode: str, seed: int):
        self.space, self.seed, self.sign = space, seed, 1.0 if mode == "min" else -1.0
        self._points: dict[int, Point] = {}
        self._ended: dict[int, float | None] = {}

    def add(self, number: int, point: Point) -> None:
        self._points[number] = dict(point)

    def tell(self, number: int, objective: float | None) -> None:
        finite = objective is not None and math.isfinite(objective)
        self._ended[number] = self.sign * objective if finite and objective is not None else None

    def _losses(self) -> list[tuple[Point, float]]:
        """Of the trials that ended, the lower the better; nothing while none has been finite."""
        finite = [loss for loss in self._ended.values() if loss is not None]
        if not finite:
            return []
        return [(self._points[n], max(finite) if loss is None else loss) for n, loss in self._ended.items()]

    def _running(self) -> list[Point]:
        return [point for number, point in self._points.items() if number not in self._ended]

    def _seed(self, number: int) -> int:
        return int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]) >> 1


class OptunaSearcher(_Told):
    """By one of Optuna's samplers. Subclasses say which, and what of a space it does not know.

    Raises UsageError for such a space.
    """

    name: ClassVar[str]
    num_random: ClassVar[int] = 10  # Optuna's own
    knows_nested: ClassVar[bool] = True
    num_objectives = 1

    def __init__(self, space: Space, mode: str, seed: int):
        super().__init__(space, mode, seed)
        nested = next((d for d in space.dimensions if d.condition), None)
        if nested is not None and not self.knows_nested:
            raise UsageError(
                f"{self.name} searches no nested spaces, but {nested.label} counts for one option of "
                f"{nested.condition[-1][0]} only: use optuna-tpe, hyperopt or freeze-thaw"
            )
        self._distributions = {d.label: _distribution(d) for d in space.dimensions}

    def sampler(self, seed: int) -> BaseSampler:
        raise NotImplementedError

    def suggest(self, number: int) -> Point:
        import optuna
        from optuna.study import StudyDirection
        from optuna.trial import TrialState

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is experimental
            directions = [StudyDirection.MINIMIZE] * self.num_objectives
            study = optuna.create_study(sampler=self.sampler(self._seed(number)), directions=directions)
            study.add_trials([self._trial(point, TrialState.COMPLETE, losses) for point, losses in self._known()])
            study.add_trials([self._trial(point, TrialState.RUNNING) for point in self._running()])
            trial, point = study.ask(), Point()
            for dimension in self.space.dimensions:
                if dimension.active(point):
                    point[dimension.label] = _suggested(trial, dimension)
        self.add(number, point)
        return dict(point)

    def _known(self) -> list[tuple[Point, list[float]]]:
        """Losses of the trials that ended, one for each objective."""
        return [(point, [loss]) for point, loss in self._losses()]

    def _trial(self, point: Point, state: Any, losses: list[float] | None = None) -> FrozenTrial:
        import optuna

        return optuna.trial.create_trial(
            state=state,
            values=losses,
            params=dict(point),
            distributions={label: self._distributions[label] for label in point},
        )


class OptunaTpe(OptunaSearcher):
    """Multivariate TPE (Falkner et al., ICML 2018); what depends on a choice is a group of its own."""

    name = "optuna-tpe"

    def sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


class OptunaGp(OptunaSearcher):
    """A Gaussian process, and the logarithm of its expected improvement."""

    name, knows_nested = "optuna-gp", False

    def sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed)


class OptunaCmaes(_Told):
    """CMA-ES (Hansen 2016) by the package that Optuna's sampler runs, in the unit cube, with Optuna's settings.

    Optuna keeps its state in a study; here it follows from the trials that ended, in that order, so many of them
    a generation. Raises UsageError for a space with choices, which have no order.
    """

    name, num_random = "optuna-cmaes", 1

    def __init__(self, space: Space, mode: str, seed: int):
        super().__init__(space, mode, seed)
        if importlib.util.find_spec("cmaes") is None:
            raise BalltrainError("optuna-cmaes needs the package cmaes: pip install 'balltrain[cmaes]'")
        choice = next((d for d in space.dimensions if d.kind == "choice"), None)
        if choice is not None:
            raise UsageError(
                f"optuna-cmaes searches only numbers, but {choice.label} is a choice: use optuna-tpe, hyperopt or "
                "freeze-thaw"
            )
        if len(space.dimensions) < 2:
            raise UsageError(
                f"optuna-cmaes needs 2 dimensions, but the space has {len(space.dimensions)}: use another searcher"
            )

    def suggest(self, number: int) -> Point:
        from cmaes import CMA

        dimensions = self.space.dimensions
        num = len(dimensions)
        bounds = np.array([[0.0, 1.0]] * num)
        cma = CMA(mean=np.full(num, 0.5), sigma=1 / 6, bounds=bounds, seed=self.seed, n_max_resampling=10 * num)
        losses = self._losses()
        size = cma.population_size
        for start in range(0, len(losses) - size + 1, size):
            generation = losses[start : start + size]
            cma.tell([(np.array([d.to_unit(p[d.label]) for d in dimensions]), loss) for p, loss in generation])
        cma._rng.seed(self._seed(number) % 2**32)  # Optuna's sampler does the same
        point = self.space.from_unit_cube(np.clip(cma.ask(), 0.0, 1 - 1e-9).tolist())
        self.add(number, point)
        return dict(point)


def _distribution(dimension: Dimension) -> BaseDistribution:
    """Steps are taken afterwards: Optuna's are counted from the lower bound."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.kind == "choice":
        return CategoricalDistribution(list(range(int(dimension.high))))
    if dimension.kind == "int":
        high = int(dimension.high) - (0 if dimension.step else 1)
        return IntDistribution(int(dimension.low), high, log=dimension.log)
    return FloatDistribution(float(dimension.low), float(dimension.high), log=dimension.log)


def _suggested(trial: Any, dimension: Dimension) -> float | int:
    distribution: Any = _distribution(dimension)
    if dimension.kind == "choice":
        return int(trial.suggest_categorical(dimension.label, list(distribution.choices)))
    suggest = trial.suggest_int if dimension.kind == "int" else trial.suggest_float
    return dimension.clean(suggest(dimension.label, distribution.low, distribution.high, log=dimension.log))
