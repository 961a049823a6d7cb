"""Sweeps on simulated trials with virtual time."""

import math

import pytest

from balltrain.errors import BalltrainError
from balltrain.records.columns import Decision, Status
from balltrain.records.journal import VERSION
from balltrain.records.state import SweepState
from balltrain.search import policy
from balltrain.search.policy import Cause


def statuses(state):
    return [trial.status for trial in state.trials.values()]


def test_every_trial_ends_and_asha_stops_the_bad_ones(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=20, epochs=9, grace=1))
    sim.run()
    found = statuses(sim.state)
    assert len(found) == 20
    assert set(found) == {Status.COMPLETED, Status.STOPPED}
    assert found.count(Status.STOPPED) >= 8
    assert sim.state.best.status == Status.COMPLETED


def test_no_more_trials_run_at_a_time_than_fit(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=5), concurrency=2)
    assert [sim.controller.next_attempt() is not None for _ in range(3)] == [True, True, False]


def test_decisions_say_why(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=2, epochs=2, grace=1, reduction_factor=2))
    good, bad = sim.controller.next_attempt(), sim.controller.next_attempt()
    assert sim.controller.report(good.number, sim.row(good, 1, 0.1)) == Decision.CONTINUE
    assert sim.controller.report(bad.number, sim.row(bad, 1, 0.9)) == Decision.STOP
    assert sim.controller.report(good.number, sim.row(good, 2, 0.1)) == Decision.COMPLETE
    assert sim.controller.done


@pytest.mark.parametrize("kill_after", range(0, 60, 7))
def test_a_resumed_sweep_proposes_and_decides_as_one_that_ran_through(make_toy_plan, simulate, kill_after):
    plan = make_toy_plan(trials=12, epochs=9, grace=1)
    whole = simulate(plan, concurrency=1)
    whole.run()
    killed = simulate(plan, concurrency=1)
    killed.run(max_reports=kill_after)
    resumed = simulate(plan, killed.lines, concurrency=1)
    resumed.run()
    assert resumed.controller.rungs() == whole.controller.rungs()
    for first, second in zip(whole.state.trials.values(), resumed.state.trials.values(), strict=True):
        assert (first.config, first.status, first.seed, first.rows) == (
            second.config,
            second.status,
            second.seed,
            second.rows,
        )


def test_no_epoch_is_journalled_twice_whatever_is_reported(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1))
    attempt = sim.controller.next_attempt()
    for epoch in (1, 2, 2, 1, 3):
        sim.controller.report(attempt.number, sim.row(attempt, epoch))
    assert [row["epoch"] for row in sim.state.trials[0].rows] == [1, 2, 3]


def test_a_row_that_is_not_finite_fails_the_trial_and_is_kept(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=2))
    attempt = sim.controller.next_attempt()
    sim.controller.report(attempt.number, sim.row(attempt, 1, 0.5))
    assert sim.controller.report(attempt.number, sim.row(attempt, 2, math.nan)) == Decision.FAIL
    trial = sim.state.trials[0]
    assert (trial.status, trial.epochs, trial.objective) == (Status.FAILED, 2, 0.5)
    assert "not finite" in trial.error
    assert sim.state.best is None
    sim.run()
    assert sim.state.trials[0].attempts == 1


def test_the_searcher_learns_of_failures(make_toy_plan, simulate):
    plan = make_toy_plan(trials=60, epochs=1, grace=1)
    sim = simulate(plan, concurrency=1)
    sim.run(objective=lambda a, _: math.nan if a.config["lr"] > 1e-2 and a.number % 4 else None)
    late = [sim.state.trials[n].config["lr"] > 1e-2 for n in range(40, 60)]
    assert sum(late) <= 4


@pytest.mark.parametrize(
    ("cause", "attempts"),
    [(Cause.DETERMINISTIC, 1), (Cause.EXCEPTION, 3), (Cause.KILLED, 3)],
)
def test_retries_by_cause(make_toy_plan, simulate, cause, attempts):
    sim = simulate(make_toy_plan(trials=1))
    while attempt := sim.controller.next_attempt():
        sim.controller.fail(attempt.number, cause, "broken")
    trial = sim.state.trials[0]
    assert (trial.attempts, trial.status, trial.error) == (attempts, Status.FAILED, "broken")


def test_a_lost_node_does_not_count(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1))
    for _ in range(10):
        sim.controller.fail(sim.controller.next_attempt().number, Cause.NODE_LOST, "node gone")
    assert sim.controller.next_attempt().attempt == 11


def test_what_comes_late_of_an_attempt_that_was_given_up_is_not_heard(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1))
    first = sim.controller.next_attempt()
    sim.controller.fail(0, Cause.NODE_LOST, "node gone", first.attempt)
    second = sim.controller.next_attempt()
    assert sim.controller.report(0, sim.row(first, 1), first.attempt) == Decision.STOP
    sim.controller.fail(0, Cause.KILLED, "its process died after all", first.attempt)
    sim.controller.complete(0, first.attempt)
    assert sim.controller.next_attempt() is None  # the second still runs
    assert sim.controller.report(0, sim.row(second, 1), second.attempt) == Decision.CONTINUE
    assert [row["epoch"] for row in sim.state.trials[0].rows] == [1]


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_attempts_that_ended_with_their_sweep_are_not_held_against_a_trial(make_toy_plan, simulate, how):
    plan = make_toy_plan(trials=1)
    sim = simulate(plan)
    for epoch in (1, 2, 3):
        attempt = sim.controller.next_attempt()
        if how == "interrupted":
            sim.controller.interrupted = True
            assert sim.controller.report(0, sim.row(attempt, epoch)) == Decision.INTERRUPT
        line = {"type": "resume", "version": VERSION, "sweep": sim.state.sweep, "time": sim.clock()}
        sim = simulate(plan, [*sim.lines, line])
    failures = 0
    while sim.controller.next_attempt():
        sim.controller.fail(0, Cause.EXCEPTION, "by chance")
        failures += 1
    assert failures == policy.MAX_RETRIES + 1
    assert sim.state.trials[0].attempts == 3 + failures


def test_a_retry_goes_on_after_the_epochs_reported(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1))
    attempt = sim.controller.next_attempt()
    sim.controller.report(attempt.number, sim.row(attempt, 1))
    sim.controller.fail(attempt.number, Cause.KILLED, "killed")
    again = sim.controller.next_attempt()
    assert (again.number, again.attempt, again.reported_epochs, again.config) == (0, 2, 1, attempt.config)


def test_five_failures_in_a_row_end_the_sweep(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=20), concurrency=1)
    while attempt := sim.controller.next_attempt():
        sim.controller.fail(attempt.number, Cause.DETERMINISTIC, f"no such file {attempt.number}")
    assert len(sim.state.trials) == 5
    assert isinstance(sim.controller.error, BalltrainError)
    assert "5 trials in a row failed, 00000 with: no such file 0" in str(sim.controller.error)
    assert sim.controller.done


def test_the_first_five_that_fail_end_the_sweep_whatever_ended_between_them(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=20, epochs=1), concurrency=6)
    attempts = [sim.controller.next_attempt() for _ in range(6)]
    for attempt in attempts[:4]:
        sim.controller.fail(attempt.number, Cause.DETERMINISTIC, "no such file")
    sim.controller.report(5, sim.row(attempts[5], 1))
    assert sim.controller.error is None
    sim.controller.fail(4, Cause.DETERMINISTIC, "no such file")
    assert "the first 5 trials failed, 00000 with: no such file" in str(sim.controller.error)


def test_ctrl_c_ends_trials_after_their_epoch_and_resume_finishes_them(make_toy_plan, simulate):
    plan = make_toy_plan(trials=3)
    sim = simulate(plan)
    attempt = sim.controller.next_attempt()
    sim.controller.interrupted = True
    assert sim.controller.report(attempt.number, sim.row(attempt, 1)) == Decision.INTERRUPT
    assert sim.controller.next_attempt() is None
    assert sim.controller.done
    assert sim.state.trials[0].status == Status.INTERRUPTED
    resumed = simulate(plan, sim.lines)
    resumed.run()
    assert set(statuses(resumed.state)) <= {Status.COMPLETED, Status.STOPPED}
    assert [row["epoch"] for row in resumed.state.trials[0].rows] == list(
        range(1, resumed.state.trials[0].epochs + 1)
    )


def test_more_trials_extend_a_finished_sweep(make_toy_plan, simulate):
    first = simulate(make_toy_plan(trials=3))
    first.run()
    more = simulate(make_toy_plan(trials=5), first.lines)
    more.run()
    assert len(more.state.trials) == 5
    assert [more.state.trials[n].rows for n in range(3)] == [first.state.trials[n].rows for n in range(3)]


def test_a_trial_out_of_patience_is_completed(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, epochs=50))
    attempt = sim.controller.next_attempt()
    sim.controller.report(attempt.number, sim.row(attempt, 1))
    sim.controller.complete(attempt.number)
    assert (sim.state.trials[0].status, sim.controller.done) == (Status.COMPLETED, True)


def test_every_prefix_of_a_journal_can_be_replayed(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=6, epochs=3))
    sim.run()
    for length in range(1, len(sim.lines) + 1):
        SweepState.replay(sim.lines[:length])


def test_a_line_that_makes_no_sense_is_named():
    with pytest.raises(BalltrainError, match="line 1 of the journal is damaged"):
        SweepState.replay([{"type": "start", "number": 7, "time": 0}])


def test_a_thousand_trials_take_seconds(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1000, epochs=27, grace=1, searcher="random"), concurrency=64)
    sim.run()
    assert len(sim.state.trials) == 1000
    trained = sum(trial.epochs for trial in sim.state.trials.values())
    assert trained < 0.5 * 27_000


def test_folds_share_a_configuration_and_the_searcher_hears_their_mean(make_toy_plan, simulate):
    plan = make_toy_plan(trials=4, folds=3, scheduler="none", epochs=2)
    sim = simulate(plan)
    told = []
    sim.controller._searcher.tell = lambda number, value: told.append((number, value))
    sim.run(objective=lambda attempt, epoch: attempt.number + 1.0)
    trials = list(sim.state.trials.values())
    assert len(trials) == 12
    assert [trial.fold for trial in trials] == [0, 1, 2] * 4
    assert all(trials[n].config == trials[n - n % 3].config for n in range(12))
    assert len({str(trial.config) for trial in trials}) == 4
    assert sorted(told) == [(0, 2.0), (1, 5.0), (2, 8.0), (3, 11.0)]


def test_a_configuration_with_a_failed_fold_has_failed(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, folds=3, scheduler="none", epochs=2))
    told = []
    sim.controller._searcher.tell = lambda number, value: told.append((number, value))
    sim.run(objective=lambda attempt, epoch: math.nan if attempt.number == 1 else 1.0)
    assert told == [(0, None)]


def test_a_full_disk_ends_the_sweep_and_fails_no_trial(make_toy_plan, simulate):
    plan = make_toy_plan(trials=6)
    sim = simulate(plan, concurrency=2)
    first, second = sim.controller.next_attempt(), sim.controller.next_attempt()
    for attempt in (first, second):
        sim.controller.fail(attempt.number, Cause.STORAGE, "no space left")
    assert sim.controller.done
    assert "no space left" in str(sim.controller.error)
    assert statuses(sim.state) == [Status.INTERRUPTED, Status.INTERRUPTED]
    resumed = simulate(plan, sim.lines)
    resumed.run()
    assert len(resumed.state.trials) == 6
    assert set(statuses(resumed.state)) <= {Status.COMPLETED, Status.STOPPED}


def test_a_sobol_search_goes_on_with_its_sequence_when_it_is_extended(make_toy_plan, simulate):
    options = {"searcher": "sobol", "sobol_start": 3, "sobol_scramble": False}
    first = simulate(make_toy_plan(trials=4, **options))
    first.run()
    more = simulate(make_toy_plan(trials=9, **options), first.lines)
    more.run()
    through = simulate(make_toy_plan(trials=9, **options))
    through.run()
    assert [t.point for t in more.state.searched] == [t.point for t in through.state.searched]
    assert len({str(t.point) for t in more.state.searched}) == 9
