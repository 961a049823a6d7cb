"""A configuration that is proposed again is not trained again: its row points to the first."""

import pytest
from ray import tune

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.tables import trial_rows

FEW = {"lr": 1e-3, "batch_size": tune.choice([8, 16, 32])}


@pytest.fixture
def plan(make_toy_plan):
    return make_toy_plan(space=FEW, trials=20, epochs=9, grace=1)


def test_each_configuration_is_trained_once(plan, simulate):
    sim = simulate(plan)
    sim.run()
    trials = list(sim.state.trials.values())
    assert len(trials) == 20
    trained = [trial for trial in trials if trial.same_as is None]
    assert sorted(trial.config["batch_size"] for trial in trained) == [8, 16, 32]
    for trial in trials:
        if trial.same_as is not None:
            first = sim.state.trials[trial.same_as]
            assert first.same_as is None
            assert trial.config == first.config
            assert (trial.status, trial.objective, trial.seed) == (first.status, first.objective, first.seed)
            assert (trial.epochs, trial.attempts) == (0, 0)
    assert sim.state.ranked() == sorted(trained, key=lambda trial: trial.objective)


def test_the_row_says_so_and_points_to_the_first(plan, simulate, tmp_path):
    sim = simulate(plan)
    sim.run()
    rows = {row[c.TRIAL_ID]: row for row in trial_rows(sim.state, plan.task, tmp_path)}
    same = [row for row in rows.values() if row[c.SAME_AS] is not None]
    assert len(same) == 17
    for row in same:
        first = rows[row[c.SAME_AS]]
        assert first["config.batch_size"] == row["config.batch_size"]
        assert first[c.SAME_AS] is None
        assert (row[c.EPOCHS], row[c.CHECKPOINT]) == (0, None)


@pytest.mark.parametrize("kill_after", [0, 1, 3, 5, 8])
def test_a_kill_changes_nothing(plan, simulate, kill_after):
    whole = simulate(plan, concurrency=1)
    whole.run()
    killed = simulate(plan, concurrency=1)
    killed.run(max_reports=kill_after)
    resumed = simulate(plan, killed.lines, concurrency=1)
    resumed.run()

    def found(sim):
        return [(t.config, t.same_as, t.status, t.objective, len(t.rows)) for t in sim.state.trials.values()]

    assert found(resumed) == found(whole)


def test_what_failed_is_not_tried_again_under_another_number(plan, simulate):
    sim = simulate(plan)
    sim.run(objective=lambda attempt, epoch: float("nan") if attempt.config["batch_size"] == 8 else 1.0 / epoch)
    failed = [trial for trial in sim.state.trials.values() if trial.config["batch_size"] == 8]
    assert len(failed) > 1
    assert {trial.status for trial in failed} == {Status.FAILED}
    assert sum(trial.attempts for trial in failed) == 1


def test_one_that_is_interrupted_takes_those_like_it_along(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(space={"batch_size": tune.choice([8])}, trials=4, epochs=9, grace=1))
    sim.run(max_reports=1)
    sim.controller.interrupted = True
    for number in list(sim.controller.live):
        trial = sim.state.trials[number]
        attempt = type("Attempt", (), {"config": trial.config})
        sim.controller.report(number, sim.row(attempt, trial.epochs + 1))
    same = [trial for trial in sim.state.trials.values() if trial.same_as is not None]
    assert len(same) == 3
    assert all(trial.status == Status.INTERRUPTED == sim.state.trials[trial.same_as].status for trial in same)


def test_folds_are_those_of_the_first(make_toy_plan, simulate):
    plan = make_toy_plan(space=FEW, trials=6, epochs=2, scheduler="none", folds=2)
    sim = simulate(plan)
    sim.run()
    assert len(sim.state.trials) == 12
    for trial in sim.state.trials.values():
        if trial.same_as is not None:
            first = sim.state.trials[trial.same_as]
            assert (trial.fold, trial.config, trial.objective) == (first.fold, first.config, first.objective)
    assert sum(trial.same_as is None for trial in sim.state.trials.values()) == 6


def test_repeats_that_confirm_are_trained(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(space=FEW, trials=20, epochs=3, grace=1, confirm=2, repeats=3))
    sim.run()
    again = [trial for trial in sim.state.trials.values() if trial.confirms is not None]
    assert len(again) == 6
    assert all(trial.same_as is None and trial.epochs == 3 for trial in again)
