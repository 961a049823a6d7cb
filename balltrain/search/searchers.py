"""Searchers: what to try next, a function of the seed, the trial's number and what is known of the others.

None keeps a random state of its own, so that a resumed sweep proposes what an uninterrupted one would.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from balltrain.errors import UsageError
from balltrain.knobs import Panel, knob
from balltrain.records.state import Point
from balltrain.search.grid import GridSearcher
from balltrain.search.optuna_samplers import OptunaCmaes, OptunaGp, OptunaTpe
from balltrain.search.plugins import CheckedSearcher, Registry
from balltrain.search.space import Space

BRATLEY_FOX = "bratley-fox"
SOBOL_NUMBERS = ("scipy", BRATLEY_FOX)


class Searcher(Protocol):
    """Proposes points and is told how they went. Trials are told of in any order, also before a resume."""

    def suggest(self, number: int) -> Point:
        """The point of a new trial, which counts as running until `tell`."""

    def add(self, number: int, point: Point) -> None:
        """A trial proposed in an earlier run of the sweep."""

    def tell(self, number: int, objective: Any) -> None:
        """The trial ended, at its best objective, a number; None where it failed.

        Searchers of `front_searchers.py` are told a tuple: the values of all objectives, the less the better.
        """


@dataclass(frozen=True, kw_only=True)
class Sobol:
    """Which points of a Sobol sequence the searcher sobol takes."""

    sobol_start: int = knob(
        0, "Index of the first Sobol point.", Panel.SEARCH, mixes="another start of the Sobol sequence", earlier=0
    )
    sobol_scramble: bool = knob(
        True,
        "Scramble the Sobol sequence by the seed, or take it as it is.",
        Panel.SEARCH,
        mixes="another scrambling of the Sobol sequence",
        earlier=True,
    )
    sobol_numbers: str = knob(
        "scipy",
        f"Direction numbers of the Sobol sequence: {' or '.join(SOBOL_NUMBERS)}, which is not scrambled.",
        Panel.SEARCH,
        mixes="other numbers of the Sobol sequence",
        earlier="scipy",
    )

    def __post_init__(self) -> None:
        if self.sobol_numbers not in SOBOL_NUMBERS:
            raise UsageError(
                f"unknown Sobol numbers {self.sobol_numbers!r}: choose one of {', '.join(SOBOL_NUMBERS)}"
            )
        if self.sobol_numbers == BRATLEY_FOX:
            object.__setattr__(self, "sobol_scramble", False)  # a repeated search is of the sequence as it is
        if not 0 <= self.sobol_start < MAX_SOBOL_POINTS:
            raise UsageError(f"the Sobol points begin at {self.sobol_start}, but {sobol_range(1)}")


def build_searcher(name: str, space: Space, mode: str, seed: int, options: Sobol | None = None) -> Searcher:
    """`options` are those of a searcher that has some.

    Raises UsageError for an unknown name, with those known, and for a plug-in that is no searcher.
    """
    if name == "sobol":
        return SEARCHERS.make(name, space, mode, seed, options or Sobol())
    made = SEARCHERS.make(name, space, mode, seed)
    return CheckedSearcher(name, made, space) if SEARCHERS.is_plugin(name) else made


class HyperOptSearcher:
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), by hyperopt; the first 20 are random.

    hyperopt is called directly, because Ray's HyperOptSearch can be told neither a trial that it did not
    propose in this process nor, in spaces with nested choices, a point to begin with.
    """

    num_random = 20
    # of more trials than `most` the latest are modelled, and of the others the best and those that run: each hundred
    # costs a proposal milliseconds, and TPE forgets the oldest anyway, all but the best 25. The latest are fewer than
    # `most`, so that the last of ten thousand trials costs what the first thousand cost in the mean
    most, most_latest, most_of_best = 800, 500, 25

    def __init__(self, space: Space, mode: str, seed: int):
        import hyperopt

        self.space, self.sign, self.seed = space, 1.0 if mode == "min" else -1.0, seed
        self.domain = hyperopt.Domain(lambda config: 0.0, _to_hyperopt(space))
        self._docs: dict[int, Any] = {}  # of those that are modelled, or may be
        self._count = 0  # of all
        self._running: set[int] = set()
        self._best: list[tuple[float, int]] = []  # losses and numbers, the best first

    def suggest(self, number: int) -> Point:
        from hyperopt import tpe, trials_from_docs

        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]) >> 1
        known = trials_from_docs([self._docs[n] for n in sorted(self._docs)], validate=False)
        (doc,) = tpe.suggest([number], self.domain, known, seed, n_startup_jobs=self.num_random, verbose=False)
        raw = {label: values[0] for label, values in doc["misc"]["vals"].items() if values}
        point: Point = {}
        for dimension in self.space.dimensions:
            if dimension.active(point) and dimension.label in raw:
                point[dimension.label] = dimension.clean(raw[dimension.label])
        self.add(number, point)
        return dict(point)

    def add(self, number: int, point: Point) -> None:
        labels = [dimension.label for dimension in self.space.dimensions]
        misc = {
            "tid": number,
            "cmd": self.domain.cmd,
            "workdir": self.domain.workdir,
            "idxs": {label: [number] if label in point else [] for label in labels},
            "vals": {label: [point[label]] if label in point else [] for label in labels},
        }
        self._docs[number] = {"tid": number, "misc": misc, "result": {"status": "new"}, **_NO_EXPERIMENT}
        self._running.add(number)
        self._count += 1
        for earlier in list(self._docs) if self._count == self.most + 1 else (number - self.most_latest,):
            self._forget(earlier)

    def tell(self, number: int, objective: float | None) -> None:
        from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK

        if number not in self._running:  # told already, with another of its folds
            return
        doc = self._docs[number]
        doc["state"] = JOB_STATE_DONE
        self._running.discard(number)
        if objective is None or not math.isfinite(objective):
            # A loss of NaN would count as a good one, and a trial in hyperopt's error state not at all: its
            # neighbours would be proposed again and again. Without a loss it counts as infinitely bad.
            doc["result"] = {"status": STATUS_FAIL}
        else:
            doc["result"] = {"status": STATUS_OK, "loss": self.sign * objective}
            bisect.insort(self._best, (self.sign * objective, number))
            for _, worse in self._best[self.most_of_best :]:
                del self._best[-1]
                self._forget(worse)
        self._forget(number)

    def _forget(self, number: int) -> None:
        """Of a trial that is neither of the latest, nor running, nor of the best: it will be none of them again."""
        is_late = self._count <= self.most or number >= self._count - self.most_latest
        if not (is_late or number in self._running or any(number == best for _, best in self._best)):
            self._docs.pop(number, None)


class SobolSearcher:
    """Sobol points (Sobol' 1967), which fill the space evenly, best in powers of two.

    They are scipy.stats.qmc's, or with `sobol_numbers` bratley-fox those of the package sobol_seq. `sobol_start` is
    the sequence's index of the first. Scrambled (Owen 1998) they differ by the seed, and none is special; as they
    are, the seed changes nothing, and index 0 is the corner where each dimension has its lower bound or first option.
    A range written downwards is gone through downwards. Raises UsageError for more dimensions than there are
    direction numbers for.
    """

    def __init__(self, space: Space, mode: str, seed: int, options: Sobol):
        self.space = space
        count = len(space.dimensions)
        self._point = (_bratley_fox if options.sobol_numbers == BRATLEY_FOX else _scipy)(count, seed, options)

    def suggest(self, number: int) -> Point:
        dimensions = self.space.dimensions
        coordinates = zip(self._point(number), dimensions, strict=True)
        return self.space.from_unit_cube([1 - u if d.falling else u for u, d in coordinates])

    def add(self, number: int, point: Point) -> None:
        pass

    def tell(self, number: int, objective: float | None) -> None:
        pass


class RandomSearcher:
    """Independent uniform points: the baseline (Bergstra and Bengio, JMLR 2012)."""

    def __init__(self, space: Space, mode: str, seed: int):
        self.space, self.seed = space, seed

    def suggest(self, number: int) -> Point:
        random = np.random.default_rng([self.seed, number])
        return self.space.from_unit_cube(random.random(len(self.space.dimensions)).tolist())

    def add(self, number: int, point: Point) -> None:
        pass

    def tell(self, number: int, objective: float | None) -> None:
        pass


MAX_SOBOL_POINTS = 2**30  # scipy's, with the 30 bits a coordinate that it has unless told otherwise
FREEZE_THAW = "freeze-thaw"  # decides on what goes on too: freeze_thaw.py
GRID = "grid"
SEARCHERS: Registry[Searcher] = Registry(
    "searcher",
    "balltrain.searchers",
    {
        "hyperopt": HyperOptSearcher,
        "sobol": SobolSearcher,
        "random": RandomSearcher,
        GRID: GridSearcher,
        "optuna-tpe": OptunaTpe,
        "optuna-gp": OptunaGp,
        "optuna-cmaes": OptunaCmaes,
    },
    arguments=("space", "mode", "seed"),
    methods=("suggest", "add", "tell"),
    apart=(FREEZE_THAW,),
)
IN_ORDER = ("sobol", GRID)  # go through points that are given: they learn nothing, and begin at the first


def _scipy(count: int, seed: int, options: Sobol) -> Callable[[int], Sequence[float]]:
    """The coordinates of each point of scipy's sequence, from its start on."""
    from scipy.stats import qmc

    _check_dimensions(count, qmc.Sobol.MAXDIM)
    sequence = qmc.Sobol(count, scramble=options.sobol_scramble, rng=np.random.default_rng(seed))
    if options.sobol_start:
        sequence.fast_forward(options.sobol_start)
    points: list[Sequence[float]] = []

    def point(number: int) -> Sequence[float]:
        while len(points) <= number:
            points.append(sequence.random(1)[0].tolist())
        return points[number]

    return point


def _bratley_fox(count: int, seed: int, options: Sobol) -> Callable[[int], Sequence[float]]:
    """As `_scipy`, of Bratley and Fox's sequence, which no seed changes."""
    from balltrain.search.bratley_fox import MAX_DIMENSIONS, BratleyFoxSequence

    _check_dimensions(count, MAX_DIMENSIONS, f" with the numbers {BRATLEY_FOX}")
    sequence = BratleyFoxSequence(count)
    return lambda number: sequence.point(options.sobol_start + number)


def _check_dimensions(count: int, most: int, which: str = "") -> None:
    if not 1 <= count <= most:
        raise UsageError(f"the space has {count} dimensions, but a Sobol search{which} needs 1 to {most}")


def sobol_range(trials: int) -> str:
    """The rule for the first of so many points, in words."""
    return f"with {trials} of them that must be from 0 to {MAX_SOBOL_POINTS - trials}"


# what hyperopt's documents have besides, for the databases that it may be run on
_NO_EXPERIMENT = {"state": 0, "spec": None, "exp_key": None, "owner": None, "version": 0}
_NO_EXPERIMENT |= {"book_time": None, "refresh_time": None}


def _to_hyperopt(space: Space) -> dict[str, Any]:
    """The dimensions as hyperopt's; those that depend on a choice are nested in its options."""
    from hyperopt import hp

    def nest(condition: tuple[tuple[str, int], ...]) -> dict[str, Any]:
        return {d.label: to_node(d) for d in space.dimensions if d.condition == condition}

    def to_node(d: Any) -> Any:
        match d.kind, d.log:
            case "choice", _:
                options = range(int(d.high))
                return hp.choice(d.label, [{"": n, **nest((*d.condition, (d.label, n)))} for n in options])
            case "float", False:
                return hp.uniform(d.label, d.low, d.high)
            case "float", True:
                return hp.loguniform(d.label, math.log(d.low), math.log(d.high))
            case "int", False:
                return hp.uniform(d.label, d.low, d.high)  # `Dimension.clean` takes the floor
            case _:
                return hp.loguniform(d.label, math.log(d.low), math.log(d.high))

    return nest(())
