"""What every searcher passes, balltrain's own and those of plug-ins, in sweeps under a virtual clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from ray import tune

from balltrain.records.columns import Status
from balltrain.records.journal import Line
from balltrain.search.space import Space
from balltrain.testing.curves import Problem
from balltrain.testing.virtual import VirtualSweep, outcome, plan_of

EPOCHS = 4
NUMBERS = {"x": tune.uniform(-1, 1), "lr": tune.loguniform(1e-4, 1), "n": tune.randint(0, 5), "constant": 7}
STEPS = {**NUMBERS, "step": tune.quniform(0, 1, 0.25), "size": tune.lograndint(4, 513)}
NESTED = {**STEPS, "kind": tune.choice(["a", "b", {"kind": "c", "z": tune.uniform(0, 1)}])}


class SearcherConformance:
    """Tests of one searcher, for pytest. Subclass it by a name that begins with Test, and say which.

    Attributes:
        searcher: Its name, as `--searcher` takes it.
        space: What it searches. One that knows no choices, or no nested ones, has a space without.
        one_point: A space of a single point.
        trials: Of a sweep; fewer where a proposal takes long.
        follows_seed: Whether another seed makes it propose otherwise.
        repeats: Whether it goes on proposing when it has proposed all that there is.

    Example:
        >>> class TestHalton(SearcherConformance):
        ...     searcher = "halton"
    """

    searcher: ClassVar[str]
    space: ClassVar[Mapping[str, Any]] = NESTED
    one_point: ClassVar[Mapping[str, Any]] = {"n": tune.randint(3, 4)}
    trials: ClassVar[int] = 26
    follows_seed: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    def sweep(
        self,
        lines: Iterable[Line] = (),
        curve: Any = None,
        space: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> VirtualSweep:
        """A sweep by the searcher, which has not begun, or goes on with a journal's lines."""
        problem = Problem("bowl", space or self.space, EPOCHS, curve or bowl)
        plan = plan_of(problem, **{"searcher": self.searcher, "trials": self.trials, **options})
        return VirtualSweep(problem, plan, workers=1, lines=lines)

    def test_a_sweep_ends_and_finds_what_is_better_than_most(self) -> None:
        state = self.sweep().run().state
        assert {t.status for t in state.searched} <= {Status.COMPLETED, Status.STOPPED}
        objectives = [t.objective for t in state.searched if t.objective is not None]
        assert state.best is not None
        assert state.best.objective == min(objectives) <= np.median(objectives)

    def test_what_it_proposes_lies_in_the_space(self) -> None:
        space = Space(self.space)
        for trial in self.sweep().run().state.searched:
            assert trial.point is not None
            for dimension in space.dimensions:
                assert dimension.active(trial.point) == (dimension.label in trial.point)
                if dimension.label in trial.point:
                    value = trial.point[dimension.label]
                    assert dimension.clean(value) == value
                    assert dimension.low <= value <= dimension.high - (dimension.kind == "choice")
            config = space.decode(trial.point)
            assert ("z" in config or "m" in config) == (config.get("kind") == "c")

    def test_the_same_seed_proposes_the_same_and_another_one_not(self) -> None:
        first, again, other = ([t.point for t in self.sweep(seed=n).run().state.searched] for n in (0, 0, 1))
        assert first == again
        assert (first != other) == self.follows_seed

    def test_a_sweep_that_was_killed_goes_on_as_one_that_ran_through(self) -> None:
        whole = self.sweep().run()
        for epochs in (5, 31):
            resumed = self.sweep(self.sweep().run(epochs).lines).run()
            assert outcome(resumed.state) == outcome(whole.state)

    def test_it_goes_on_after_failures(self) -> None:
        state = self.sweep(curve=diverging).run().state
        assert state.best is not None
        assert any(t.status == Status.FAILED for t in state.searched)
        resumed = self.sweep(self.sweep(curve=diverging).run(9).lines, curve=diverging).run()
        assert outcome(resumed.state) == outcome(state)

    def test_it_proposes_while_nothing_has_ended(self) -> None:
        controller = self.sweep().controller
        controller.concurrency = 8
        attempts = [controller.next_attempt() for _ in range(8)]
        assert len({str(attempt.config) for attempt in attempts if attempt is not None}) == 8

    def test_a_space_of_one_point_is_tried_once(self) -> None:
        state = self.sweep(space=self.one_point, trials=3).run().state
        assert [t.config["n"] for t in state.searched] == [3] * (3 if self.repeats else 1)
        assert sum(t.epochs for t in state.searched) == EPOCHS


def bowl(config: Mapping[str, Any]) -> np.ndarray:
    """Losses (EPOCHS,) of a configuration of the spaces above, best near x = 0.3 and lr = 0.01."""
    worth = (config.get("x", 0) - 0.3) ** 2 + (math.log10(config.get("lr", 0.01)) + 2) ** 2 / 10
    found = worth + 0.1 * config["n"] + (config.get("kind") == "b") + 1 / np.arange(1, EPOCHS + 1)
    return np.asarray(found)


def diverging(config: Mapping[str, Any]) -> np.ndarray:
    """As `bowl`; two fifths of the space fail."""
    return np.full(EPOCHS, math.nan) if config["n"] < 2 else bowl(config)
