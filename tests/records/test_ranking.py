"""Whoever asks, which trials compare, in which order and which is the best is the same: the state that a sweep keeps
while it runs, the state that is made of its journal again, and the tables as they are read.

On random sweeps by the real controller: failures, kills and interruptions, folds, configurations that come twice,
second stages, confirmations, constraints, objectives to be made small or large, and many that are equal.
"""

import json
import math
from collections import Counter
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest
from ray import tune

from balltrain.records.columns import Status
from balltrain.records.results import load_results
from balltrain.records.state import SweepState
from balltrain.records.tables import write_tables
from balltrain.reporting.query import select
from balltrain.reporting.snapshot import num_planned, snapshot_of, snapshot_of_results
from balltrain.search.policy import Cause

FINE = {"lr": tune.loguniform(1e-5, 1e-1), "batch_size": tune.choice([8, 16])}
COARSE = {"lr": tune.choice([1e-4, 1e-3, 1e-2]), "batch_size": tune.choice([8, 16])}  # comes twice


@pytest.fixture
def random_plan(make_toy_plan):
    """The plan of a sweep that `random` chooses: its stages, its budget, its direction."""

    def make(random, searcher="random"):
        folds = random.choice([None, None, None, 2, 3]) if searcher == "random" else None
        after = {"confirm": random.choice([0, 2, 3]), "continue_best": random.choice([0, 1, 3])} if not folds else {}
        if searcher != "random":  # where all that went on failed, none with a checkpoint may be left
            after["continue_best"] = 0
        epochs = random.randint(1, 6)
        plan = make_toy_plan(
            space=random.choice([FINE, COARSE]),
            trials=random.randint(1, 12),
            epochs=epochs,
            grace=1 if searcher == "random" else None,
            searcher=searcher,
            scheduler="none" if folds or searcher != "random" else random.choice(["asha", "none"]),
            folds=folds,
            repeats=random.randint(2, 3),
            keep_checkpoints=random.choice([1, 2, 5]),
            seed=random.randint(0, 99),
            continue_epochs=epochs + 2 if after.get("continue_best") else None,
            constraints=random.choice([(), (), ("error <= 0.9",)]),
            **after,
        )
        if random.random() < 0.5:
            larger = type("Larger", (type(plan.task),), {"objective": "error", "mode": "max"})
            plan = replace(plan, task=larger())
        return plan

    return make


class RandomSweep:
    """A sweep in which `random` decides what becomes of each attempt. Killed and resumed now and then."""

    def __init__(self, plan, simulate, random):
        self.plan, self.simulate, self.random = plan, simulate, random
        self.resumes = 0
        self.begin([])

    def begin(self, lines):
        self.sim = self.simulate(self.plan, json.loads(json.dumps(lines)), concurrency=self.random.randint(1, 4))
        self.sim.state.sweep["placement"] = {"concurrency": self.sim.controller.concurrency}
        self.running = {}  # number to its last epoch

    @property
    def controller(self):
        return self.sim.controller

    def step(self):
        """What happens next; False once the sweep has ended, and is not resumed any more."""
        while attempt := self.controller.next_attempt():
            self.running[attempt.number] = attempt.reported_epochs
        killed = self.random.random() < 0.02
        if killed or not self.running:
            if not killed and self.controller.done and not (self.controller.error or self.controller.interrupted):
                return False
            self.resumes += 1
            self.begin(self.sim.lines)
            return self.resumes < 8
        number = self.random.choice(list(self.running))
        match self.random.choices(["row", "nan", "patience", "error", "Ctrl-C"], [80, 4, 4, 8, 1])[0]:
            case "error":
                del self.running[number]
                self.controller.fail(number, self.random.choice(list(Cause)), "boom")
            case "patience" if self.running[number]:
                del self.running[number]
                self.controller.complete(number)
            case "Ctrl-C":
                self.controller.interrupted = True
            case what:
                self.running[number] += 1
                if (
                    self.controller.report(number, self.row(number, math.nan if what == "nan" else None))
                    != "continue"
                ):
                    del self.running[number]
        return True

    def row(self, number, objective):
        values = [0.0, 0.25, 0.5, self.random.random()] if objective is None else [objective]
        value = self.random.choice(values)
        row = self.sim.row(SimpleNamespace(config=self.sim.state.trials[number].config), self.running[number], 1.0)
        other = self.random.random()
        larger = self.plan.task.mode == "max"
        row |= {"val_loss": other if larger else value, "metrics": {"error": value if larger else other}}
        return row | {"objective": value}


SEEDS = [*((seed, "random") for seed in range(60)), *((seed, "freeze-thaw") for seed in range(15))]


@pytest.mark.parametrize(("seed", "searcher"), SEEDS)
def test_state_and_tables_agree_on_any_journal(random_plan, simulate, tmp_path, seed, searcher):
    random = Random(seed)
    sweep = RandomSweep(random_plan(random, searcher), simulate, random)
    going, steps = True, 0
    while going:
        going = sweep.step()
        steps += 1
        if not going or steps % 40 == 0:
            check(sweep.sim.state, tmp_path / "toy-sweep", sweep.plan, random)
            check(
                SweepState.replay(json.loads(json.dumps(sweep.sim.lines))), tmp_path / "toy-sweep", sweep.plan, random
            )


def test_the_random_sweeps_have_all_that_makes_a_difference(random_plan, simulate):
    """So that the test before is of what its name says."""
    seen = Counter()
    for seed, searcher in SEEDS:
        random = Random(seed)
        sweep = RandomSweep(random_plan(random, searcher), simulate, random)
        while sweep.step():
            seen.update({f"{trial.status} on the way" for trial in sweep.sim.state.trials.values()})
        state, trials = sweep.sim.state, sweep.sim.state.trials.values()
        ranked = [trial.objective for trial in state.ranked()]
        seen.update(state.mode for _ in ranked[:1])
        seen.update({"tie"} if len(set(ranked)) < len(ranked) else ())
        seen.update({"winner"} if state.confirmations()[1] else ())
        seen.update({"winner not first"} if state.best and state.best not in state.ranked()[:1] else ())
        for name in ("same_as", "confirms", "continued_after", "fold"):
            seen[name] += any(getattr(trial, name) is not None for trial in trials)
        seen["failed after the search"] += any(t.status == Status.FAILED and t.continued_after for t in trials)
        seen["resumed"] += sweep.resumes > 0
    wanted = {"min", "max", "tie", "winner", "winner not first", "same_as", "confirms", "continued_after", "fold"}
    wanted |= {"failed after the search", "resumed", *(f"{status} on the way" for status in Status)}
    assert {name for name in wanted if seen[name] < 3} == set()


def check(state, folder, plan, random):
    folder.mkdir(exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(state.sweep))
    write_tables(state, plan.task, folder)
    results = load_results(folder.parent, folder.name)
    trials, sign = list(state.trials.values()), 1 if state.mode == "min" else -1

    # in words of its own: what the search trained, did not fail and has an objective, the best first, then the first
    searched = [t for t in trials if t.confirms is None and t.same_as is None]
    valid = [t for t in searched if t.status not in (Status.FAILED, Status.INFEASIBLE) and t.objective is not None]
    ranked = sorted(valid, key=lambda t: (sign * t.objective, t.number))
    compared = sorted(valid, key=lambda t: (sign * t.searched_objective, t.number))

    assert ids(state.ranked()) == ids(ranked) == results.ranked["trial_id"].tolist()
    assert ids(searched) == results.searched["trial_id"].tolist()
    assert ids(compared) == results.compared["trial_id"].tolist()
    assert [t.searched_objective for t in compared] == results.compared["objective"].tolist()
    assert state.confirmations() == results.confirmed

    _, winner = state.confirmations()
    best = ranked[0] if ranked else None
    if winner is not None:
        number = int(winner.trial_id)
        again = [
            t for t in trials if number in (t.number, t.confirms) and t.has_checkpoint and t.objective is not None
        ]
        best = min(again, key=lambda t: (sign * t.objective, t.number))
    assert state.best is best
    assert (best and best.trial_id) == (None if results.best is None else results.best["trial_id"])
    assert best is None or best.has_checkpoint

    kept = {t.trial_id for t in trials if t.has_checkpoint}
    assert kept == set(results.trials["trial_id"][results.trials["checkpoint"].notna()])
    if not state.sweep["continue_best"] and not state.sweep["folds"]:
        of_ended = [t for t in ranked if t.has_ended][: state.sweep["keep_checkpoints"]]
        assert {t.trial_id for t in searched if t.has_ended and t.has_checkpoint} == set(ids(of_ended))

    in_any_order = replace(results, trials=results.trials.sample(frac=1, random_state=random.randint(0, 99)))
    for again in (in_any_order, select(results, None, "epochs, trial_id desc"), select(results, "epochs >= 0", None)):
        assert again.ranked["trial_id"].tolist() == ids(ranked)
        if again.where is None:
            assert (best and best.trial_id) == (None if again.best is None else again.best["trial_id"])
            assert again.confirmed == results.confirmed

    live = {t.number for t in trials if t.status == Status.RUNNING and t.same_as is None}
    running = SimpleNamespace(
        state=state, live=live, waiting=None, concurrency=state.sweep["placement"]["concurrency"]
    )
    running.interrupted = False
    assert snapshot_of(running) == snapshot_of_results(results)
    assert num_planned(state.sweep) == plan.num_trials


def ids(trials):
    return [trial.trial_id for trial in trials]
