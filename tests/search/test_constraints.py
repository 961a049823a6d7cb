"""Trials that break a constraint: refused before their first epoch where that is known, ended at a row otherwise."""

import json

import pytest
from ray import tune

from balltrain.errors import BalltrainError, UsageError
from balltrain.execution.foreseeing import check_constraints, foresight
from balltrain.records.columns import Decision, Status
from balltrain.records.state import SweepState
from balltrain.search.constraints import Constraint
from balltrain.search.controller import Controller
from balltrain.search.feasible import feasible_part
from balltrain.search.sweep import Sweep
from balltrain.testing.virtual import outcome


def wide(config):
    """As if the number of parameters followed from the learning rate."""
    return {"num_params": 1e6 * config["lr"] / 1e-3}


@pytest.fixture
def foreseen(make_toy_plan, simulate):
    """A sweep that may have a thousand parameters in a million of its rates, and those of the journal `lines`."""

    def make(lines=(), **options):
        plan = make_toy_plan(**{"trials": 30, "epochs": 3, "constraints": ["num_params <= 1e6"], **options})
        sim = simulate(plan, lines, concurrency=1)
        sim.controller = Controller(plan, sim.state, sim, 1, clock=sim.clock, foresee=wide)
        return sim

    return make


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("num_params <= 1e6", Constraint("num_params", "<=", 1e6)),
        ("num_params<1_000", Constraint("num_params", "<", 1000)),
        ("accuracy >= .8 from epoch 5", Constraint("accuracy", ">=", 0.8, 5)),
    ],
)
def test_a_constraint_is_a_figure_a_sign_and_a_number(text, constraint):
    assert Constraint.parsed(text) == constraint
    assert Constraint.parsed(str(constraint)) == constraint


@pytest.mark.parametrize("text", ["num_params", "num_params <= lots", "x == 3", "<= 3", "x < nan", "x < inf", "", 3])
def test_what_is_no_constraint_is_quoted(text):
    with pytest.raises(UsageError, match=r"the constraint .* is none: write FIGURE <= NUMBER"):
        Sweep("detect", {}, constraints=[text])


def test_bounds_that_no_value_keeps_are_refused():
    with pytest.raises(UsageError, match="no mse keeps both mse > 2 and mse < 2"):
        Sweep("forecast", {}, constraints=["mse < 2", "mse > 2"])
    assert Sweep("forecast", {}, constraints="mse < 2").constraints == ("mse < 2",)


def test_a_constraint_on_no_figure_of_the_task_is_refused_with_the_nearest(make_toy_plan):
    with pytest.raises(UsageError, match="num_parms <= 10 is on no figure of toy: did you mean num_params"):
        make_toy_plan(constraints=["num_parms <= 10"])


def test_a_trial_that_is_known_to_break_one_costs_no_epoch(foreseen):
    sim = foreseen()
    sim.run()
    trials = list(sim.state.trials.values())
    refused = [t for t in trials if wide(t.config)["num_params"] > 1e6]
    assert 3 < len(refused) < 27
    assert [t for t in trials if t.status == Status.INFEASIBLE] == refused
    assert all((t.epochs, t.attempts) == (0, 0) for t in refused)
    assert "which breaks num_params <= 1000000" in refused[0].error
    assert sim.state.best.status == Status.COMPLETED


@pytest.mark.parametrize(("searcher", "first", "trials"), [("hyperopt", 20, 60), ("freeze-thaw", 8, 24)])
def test_searchers_learn_where_the_constraint_holds(foreseen, searcher, first, trials):
    sim = foreseen(trials=trials, searcher=searcher)
    sim.run(objective=lambda attempt, epoch: 1 + attempt.number % 7 / 100)  # which says nothing
    broke = [t.status == Status.INFEASIBLE for t in sim.state.searched]
    assert sum(broke[:first]) / first > 1.8 * sum(broke[first:]) / (trials - first)  # half of them, then far fewer


@pytest.mark.parametrize("kill_after", range(1, 60, 5))
def test_a_resumed_sweep_refuses_what_one_that_ran_through_does(foreseen, kill_after):
    whole = foreseen()
    whole.run()
    resumed = foreseen(json.loads(json.dumps(whole.lines[:kill_after])))
    resumed.run()
    assert outcome(resumed.state) == outcome(whole.state)
    assert outcome(SweepState.replay(resumed.lines)) == outcome(whole.state)


def test_trials_that_cost_nothing_are_not_what_a_search_waits_for(foreseen):
    sim = foreseen(trials=None, stop_when_flat=5, searcher="random", epochs=1)
    sim.run(objective=lambda attempt, epoch: 1.0)
    trained = [t for t in sim.state.searched if t.rows]
    assert len(trained) == 6
    assert len(sim.state.searched) > 6


def test_a_trial_ends_at_the_first_epoch_that_breaks_one(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, epochs=4, constraints=["error <= 0.3 from epoch 2"]))
    attempt = sim.controller.next_attempt()
    assert sim.controller.report(attempt.number, sim.row(attempt, 1, 0.9)) == Decision.CONTINUE  # error is 0.45
    assert sim.controller.report(attempt.number, sim.row(attempt, 2, 0.5)) == Decision.CONTINUE
    assert sim.controller.report(attempt.number, sim.row(attempt, 3, 0.8)) == Decision.INFEASIBLE
    trial = sim.state.trials[0]
    assert (trial.status, trial.epochs, trial.objective) == (Status.INFEASIBLE, 3, 0.5)
    assert trial.error == "epoch 3: error is 0.4, which breaks error <= 0.3 from epoch 2"
    assert sim.state.best is None
    assert sim.controller.done


def test_the_last_epoch_counts_too(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, epochs=1, grace=1, constraints=["error <= 0.3"]))
    attempt = sim.controller.next_attempt()
    assert sim.controller.report(attempt.number, sim.row(attempt, 1, 0.9)) == Decision.INFEASIBLE


def test_seconds_of_an_epoch_are_the_mean_so_far(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, epochs=4, constraints=["epoch_seconds <= 2"]))
    attempt = sim.controller.next_attempt()
    decisions = [
        sim.controller.report(0, {**sim.row(attempt, epoch), "seconds": seconds})
        for epoch, seconds in enumerate([1.0, 2.5, 3.0], 1)
    ]
    assert decisions == [Decision.CONTINUE, Decision.CONTINUE, Decision.INFEASIBLE]


def test_trials_that_break_one_are_not_what_asha_compares_with(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=2, epochs=3, grace=1, constraints=["error <= 0.3"]))
    good, bad = sim.controller.next_attempt(), sim.controller.next_attempt()
    sim.controller.report(good.number, sim.row(good, 1, 0.5))
    assert sim.controller.report(bad.number, {**sim.row(bad, 1, 0.1), "metrics": {"error": 1.0}}) == "infeasible"
    assert sim.controller.rungs()[1] == {"00000": 0.5}


def test_a_sweep_whose_first_twenty_break_one_ends(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=30, constraints=["error <= 1e-9"]), concurrency=1)
    while attempt := sim.controller.next_attempt():
        sim.controller.report(attempt.number, sim.row(attempt, 1))
    assert len(sim.state.trials) == 20
    assert "the first 20 trials that trained broke a constraint" in str(sim.controller.error)
    assert "which breaks error <= 1e-09" in str(sim.controller.error)


def test_a_figure_that_a_program_does_not_report_ends_the_sweep(make_toy_plan, simulate):
    plan = make_toy_plan(trials=3, constraints=["error <= 1"])
    sim = simulate(plan, concurrency=1)
    attempt = sim.controller.next_attempt()
    row = {**sim.row(attempt, 1), "metrics": {"errors": 0.5}}
    assert sim.controller.report(0, row) == Decision.INTERRUPT
    assert isinstance(sim.controller.error, BalltrainError)
    assert "no figure is called error, which the constraint error <= 1 names" in str(sim.controller.error)


def test_parameters_are_counted_without_training(make_toy_plan):
    plan = make_toy_plan(constraints=["num_params <= 50"])

    class Data:
        facts = {"width": 4}

    assert foresight(plan, Data)(plan.configure({})) == {"num_params": 49}
    found = check_constraints(plan, Data)
    assert found.num_feasible == found.num_tried > 60
    assert foresight(make_toy_plan(), Data)({}) == {}


def test_a_bound_that_no_point_of_the_space_keeps_is_told_before_anything_runs(make_toy_plan):
    plan = make_toy_plan(constraints=["num_params < 10"], space={"lr": tune.loguniform(1e-4, 1e-2)})
    with pytest.raises(UsageError, match=r"no configuration keeps num_params < 10: of \d+ .* is 100000 to 10000000"):
        feasible_part(plan, wide)
