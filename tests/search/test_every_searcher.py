"""What every searcher passes, in sweeps under a virtual clock."""

import math

import numpy as np
import pytest
from ray import tune

from balltrain.records.columns import Status
from balltrain.search.searchers import FREEZE_THAW, SEARCHERS
from balltrain.search.space import Space
from balltrain.testing.curves import Problem
from balltrain.testing.virtual import VirtualSweep, plan_of

NUMBERS = {"x": tune.uniform(-1, 1), "lr": tune.loguniform(1e-4, 1), "n": tune.randint(0, 5), "constant": 7}
STEPS = {**NUMBERS, "step": tune.quniform(0, 1, 0.25), "size": tune.lograndint(4, 513)}
NESTED = {**STEPS, "kind": tune.choice(["a", "b", {"kind": "c", "z": tune.uniform(0, 1)}])}
FINITE = {
    "n": tune.grid_search([1, 2, 3]),
    "step": tune.quniform(0, 1, 0.25),
    "kind": tune.choice(["a", {"kind": "c", "m": tune.randint(0, 2)}]),
}
SPACES = {"grid": FINITE, "optuna-gp": STEPS, "optuna-cmaes": STEPS}
EPOCHS = 4
ONE_POINT = {"grid": {"n": tune.grid_search([3])}, "optuna-cmaes": {"n": tune.randint(3, 4), "m": tune.randint(5, 6)}}


def curve(config):
    worth = (config.get("x", 0) - 0.3) ** 2 + (math.log10(config.get("lr", 0.01)) + 2) ** 2 / 10
    return worth + 0.1 * config["n"] + (config.get("kind") == "b") + 1 / np.arange(1, EPOCHS + 1)


def diverging(config):
    return np.full(EPOCHS, math.nan) if config["n"] < 2 else curve(config)


@pytest.mark.parametrize("name", [*SEARCHERS, FREEZE_THAW])
class TestEverySearcher:
    @pytest.fixture
    def sweep(self, name):
        space, trials = SPACES.get(name, NESTED), 13 if name == "optuna-gp" else 26  # its proposals take 0.3 s

        def make(lines=(), curve=curve, space=space, **options):
            problem = Problem("bowl", space, EPOCHS, curve)
            plan = plan_of(problem, **{"searcher": name, "trials": trials, **options})
            return VirtualSweep(problem, plan, workers=1, lines=lines)

        return make

    def test_a_sweep_ends_and_finds_what_is_better_than_most(self, sweep):
        state = sweep().run().state
        assert {t.status for t in state.searched} <= {Status.COMPLETED, Status.STOPPED}
        assert state.best.objective <= np.median([t.objective for t in state.searched])

    def test_what_it_proposes_lies_in_the_space(self, sweep, name):
        space = Space(SPACES.get(name, NESTED))
        for trial in sweep().run().state.searched:
            config = space.decode(trial.point)
            for dimension in space.dimensions:
                assert dimension.active(trial.point) == (dimension.label in trial.point)
                if dimension.label in trial.point:
                    value = trial.point[dimension.label]
                    assert dimension.clean(value) == value
                    assert dimension.low <= value <= dimension.high - (dimension.kind == "choice")
            assert ("z" in config or "m" in config) == (config.get("kind") == "c")

    def test_the_same_seed_proposes_the_same_and_another_one_not(self, sweep, name):
        first, again, other = ([t.point for t in sweep(seed=seed).run().state.searched] for seed in (0, 0, 1))
        assert first == again
        assert (first == other) == (name == "grid")

    def test_a_sweep_that_was_killed_goes_on_as_one_that_ran_through(self, sweep):
        whole = sweep().run()
        for epochs in (5, 31):
            resumed = sweep(sweep().run(epochs).lines).run()
            assert outcome(resumed.state) == outcome(whole.state)

    def test_it_goes_on_after_failures(self, sweep):
        state = sweep(curve=diverging).run().state
        assert state.best is not None
        assert any(t.status == Status.FAILED for t in state.searched)
        resumed = sweep(sweep(curve=diverging).run(9).lines, curve=diverging).run()
        assert outcome(resumed.state) == outcome(state)

    def test_it_proposes_while_nothing_has_ended(self, sweep):
        controller = sweep().controller
        controller.concurrency = 8
        attempts = [controller.next_attempt() for _ in range(8)]
        assert len({str(attempt.config) for attempt in attempts}) == 8

    def test_a_space_of_one_point_is_tried_once(self, sweep, name):
        state = sweep(space=ONE_POINT.get(name, {"n": tune.randint(3, 4)}), trials=3).run().state
        assert [t.config["n"] for t in state.searched] == [3] * (1 if name == "grid" else 3)
        assert sum(t.epochs for t in state.searched) == EPOCHS


def outcome(state):
    return [(t.config, t.status, t.seed, t.rows) for t in state.trials.values()]
