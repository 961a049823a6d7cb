"""Trials that a user stops by `balltrain stop`, on simulated trials: one end, whatever they were doing."""

import pytest

from balltrain.records.columns import Decision, Status
from balltrain.records.state import SweepState
from balltrain.search.policy import Cause
from balltrain.testing.curves import generated_problem
from balltrain.testing.virtual import VirtualSweep, outcome, plan_of

REASON = "balltrain stop, ada@here"


@pytest.fixture
def told(monkeypatch):
    """What searchers are told, in order."""
    from balltrain.search.searchers import HyperOptSearcher

    found = []
    tell = HyperOptSearcher.tell
    monkeypatch.setattr(
        HyperOptSearcher, "tell", lambda self, *arguments: (found.append(arguments), tell(self, *arguments))[1]
    )
    return found


def test_one_that_trains_ends_after_its_epoch_as_one_that_asha_stopped(make_toy_plan, simulate, told):
    sim = simulate(make_toy_plan(trials=3, epochs=9))
    first = sim.controller.next_attempt()
    sim.controller.report(first.number, sim.row(first, 1, 0.5))
    sim.controller.stop(0, REASON)
    assert sim.state.trials[0].status == Status.RUNNING
    assert sim.controller.report(first.number, sim.row(first, 2, 0.4)) == Decision.STOP
    trial = sim.state.trials[0]
    assert (trial.status, trial.epochs, trial.objective, trial.stopped_by) == (Status.STOPPED, 2, 0.4, REASON)
    assert told == [(0, 0.4)]
    assert sim.controller.rungs()[1] == {"00000": 0.5}
    sim.run()
    assert [t.status.has_ended for t in sim.state.trials.values()] == [True] * 3
    assert sim.state.trials[0].attempts == 1


def test_at_once_it_has_ended_and_a_row_that_comes_late_counts_no_more(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=3, epochs=9), concurrency=1)
    first = sim.controller.next_attempt()
    sim.controller.report(first.number, sim.row(first, 1, 0.5))
    sim.controller.stop(0, REASON, now=True)
    assert sim.state.trials[0].status == Status.STOPPED
    assert sim.controller.next_attempt().number == 1  # in its place
    assert sim.controller.report(first.number, sim.row(first, 2, 0.1)) == Decision.STOP
    sim.controller.fail(0, Cause.KILLED, "the trial's process ended")
    trial = sim.state.trials[0]
    assert (trial.status, trial.epochs, trial.error) == (Status.STOPPED, 1, None)


@pytest.mark.parametrize("now", [False, True])
def test_one_that_waits_for_another_attempt_has_none(make_toy_plan, simulate, now):
    sim = simulate(make_toy_plan(trials=2, epochs=2))
    first = sim.controller.next_attempt()
    sim.controller.fail(first.number, Cause.EXCEPTION, "RuntimeError: chance")
    sim.controller.stop(0, REASON, now=now)
    assert sim.state.trials[0].status == Status.STOPPED
    sim.run()
    assert [t.attempts for t in sim.state.trials.values()] == [1, 1]


def test_one_whose_process_dies_before_its_epoch_ends_is_not_tried_again(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=2, epochs=2))
    first = sim.controller.next_attempt()
    sim.controller.stop(0, REASON)
    sim.controller.fail(first.number, Cause.NODE_LOST, "the node has died")
    assert sim.state.trials[0].status == Status.STOPPED
    sim.run()
    assert sim.state.trials[0].attempts == 1


def test_those_with_its_configuration_share_its_end(simulate, make_toy_plan):
    from ray import tune

    sim = simulate(make_toy_plan(space={"batch_size": tune.choice([8, 16])}, trials=4, searcher="random"))
    attempts = [sim.controller.next_attempt() for _ in range(2)]
    sim.controller.stop(attempts[0].number, REASON)
    for attempt in attempts:
        sim.controller.report(attempt.number, sim.row(attempt, 1, 0.5))
    same = [t for t in sim.state.trials.values() if t.same_as == attempts[0].number]
    assert all(t.status == Status.STOPPED for t in same)


def test_a_paused_one_is_not_thawed():
    problem = generated_problem(0)
    sweep = VirtualSweep(problem, plan_of(problem, searcher="freeze-thaw", trials=12))
    for _ in sweep.values():
        paused = sweep.state.with_status(Status.PAUSED)
        if paused:
            break
    sweep.controller.stop(paused[0].number, REASON)
    assert paused[0].status == Status.STOPPED
    epochs = paused[0].epochs
    sweep.run()
    assert paused[0].epochs == epochs
    assert not any(line["type"] == "thaw" and line["number"] == paused[0].number for line in sweep.lines)


@pytest.mark.parametrize("searcher", ["hyperopt", "freeze-thaw"])
def test_killed_after_any_line_a_resumed_sweep_goes_the_same_way(searcher):
    problem = generated_problem(1)
    plan = plan_of(problem, searcher=searcher, trials=6)
    whole = VirtualSweep(problem, plan, workers=1)
    for count, _ in enumerate(whole.values(), 1):
        if count == 3:
            stopped = max(whole.state.trials)
            whole.controller.stop(stopped, REASON)
    asked = next(n for n, line in enumerate(whole.lines) if line["type"] == "stop")
    for length in (asked + 2, *range(asked + 3, len(whole.lines), 7)):
        resumed = VirtualSweep(problem, plan, workers=1, lines=whole.lines[:length]).run()
        assert outcome(resumed.state) == outcome(whole.state)
        assert resumed.state.trials[stopped].stopped_by == REASON


def test_killed_before_its_epoch_ends_a_resumed_sweep_ends_it_without_training(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=2, epochs=3), concurrency=1)
    first = sim.controller.next_attempt()
    sim.controller.report(first.number, sim.row(first, 1, 0.5))
    sim.controller.stop(0, REASON)
    resumed = simulate(make_toy_plan(trials=2, epochs=3), lines=sim.lines)
    dropped = []
    resumed.controller.on_dropped = dropped.append
    resumed.run()
    assert (resumed.state.trials[0].status, resumed.state.trials[0].epochs) == (Status.STOPPED, 1)
    assert resumed.state.trials[0].attempts == 1
    assert SweepState.replay(resumed.lines).to_stop == set()


def test_a_configuration_of_which_a_repeat_was_stopped_does_not_win(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=4, epochs=2, confirm=2, repeats=2), concurrency=1)
    while not any(t.confirms is not None for t in sim.state.trials.values()):
        attempt = sim.controller.next_attempt()
        for epoch in (1, 2):
            if attempt.number < 4 and sim.controller.report(attempt.number, sim.row(attempt, epoch)) != "continue":
                break
    repeat = sim.state.trials[4]
    sim.controller.stop(4, REASON, now=True)
    sim.run()
    _, winner = sim.state.confirmations()
    assert winner.trial_id != sim.state.trials[repeat.confirms].trial_id
