"""The best configurations trained again with new seeds, on simulated trials."""

import math

import pandas as pd
import pytest
from scipy.stats import t as student

from balltrain.errors import UsageError
from balltrain.records import columns as c
from balltrain.records.columns import Decision, Status
from balltrain.records.confirmation import confirmations
from balltrain.records.tables import write_tables
from balltrain.search.policy import Cause


def noisy(attempt, epoch):
    """The search's first place is luck: a seed of the search is worth more than the configuration."""
    from math import log10

    luck = -5.0 if attempt.number == 4 else 0.0
    return abs(log10(attempt.config["lr"]) + 3) + 1 / epoch + luck + (attempt.seed % 1000) / 1e5


def confirming(trials, state):
    return [trial for trial in state.trials.values() if trial.number >= trials]


@pytest.fixture
def plan(make_toy_plan):
    return make_toy_plan(trials=12, epochs=9, grace=1, confirm=3, repeats=4)


def test_the_best_are_trained_again_in_full_with_new_seeds(plan, simulate):
    sim = simulate(plan)
    sim.run(objective=noisy)
    repeated = confirming(12, sim.state)
    assert len(sim.state.trials) == plan.num_trials == 12 + 3 * 4
    first_places = [trial.number for trial in sim.state.ranked()[:3]]
    assert sorted(trial.confirms for trial in repeated) == sorted(first_places * 4)
    assert {trial.epochs for trial in repeated} == {9}
    assert {trial.status for trial in repeated} == {Status.COMPLETED}
    assert all(trial.config == sim.state.trials[trial.confirms].config for trial in repeated)
    searched_seeds = {trial.seed for trial in sim.state.searched}
    seeds = {number: {t.seed for t in repeated if t.confirms == number} for number in first_places}
    assert all(len(found) == 4 and not found & searched_seeds for found in seeds.values())
    assert len(set(map(frozenset, seeds.values()))) == 1  # the same for each: they compare better


def test_a_lucky_first_place_does_not_win(plan, simulate):
    sim = simulate(plan)
    sim.run(objective=noisy)
    assert sim.state.ranked()[0].number == 4
    entries, winner = sim.state.confirmations()
    assert winner.trial_id != "00004"
    assert "00004" in [entry.trial_id for entry in entries]
    best = sim.state.best
    assert winner.trial_id in (best.trial_id, sim.state.trials[best.confirms].trial_id)
    assert best.objective == min(
        t.objective for t in sim.state.trials.values() if int(winner.trial_id) in (t.number, t.confirms)
    )


def test_nothing_is_confirmed_before_the_search_has_ended(plan, simulate):
    sim = simulate(plan, concurrency=5)
    sim.run(objective=noisy)
    first = next(n for n, line in enumerate(sim.lines) if line["type"] == "trial" and "confirms" in line)
    ended = {
        line["number"]
        for line in sim.lines[:first]
        if line["type"] == "end" or (line["type"] == "report" and line["row"]["decision"] != Decision.CONTINUE)
    }
    assert ended == set(range(12))


def test_searcher_and_asha_do_not_learn_from_it(plan, simulate, make_toy_plan):
    with_it, without = simulate(plan), simulate(make_toy_plan(trials=12, epochs=9, grace=1))
    told = []
    with_it.controller._searcher.tell = lambda number, value: told.append(number)
    for sim in (with_it, without):
        sim.run(objective=noisy)
    assert sorted(told) == list(range(12))
    assert with_it.controller.rungs() == without.controller.rungs()
    replayed = simulate(plan, with_it.lines)
    assert replayed.controller.rungs() == without.controller.rungs()


@pytest.mark.parametrize("kill_after", [0, 5, 30, 45, 50, 60, 75, 90, 110, 10**9])
def test_killed_anywhere_and_resumed_it_is_as_if_it_ran_through(plan, simulate, kill_after):
    whole = simulate(plan, concurrency=1)
    whole.run(objective=noisy)
    killed = simulate(plan, concurrency=1)
    killed.run(max_reports=kill_after, objective=noisy)
    resumed = simulate(plan, killed.lines, concurrency=1)
    resumed.run(objective=noisy)
    found = [
        [(t.config, t.status, t.seed, t.rows, t.confirms) for t in sim.state.trials.values()]
        for sim in (whole, resumed)
    ]
    assert found[0] == found[1]
    assert resumed.state.best.number == whole.state.best.number


def test_every_line_is_a_place_to_be_killed_at(make_toy_plan, simulate):
    plan = make_toy_plan(trials=3, epochs=2, grace=1, confirm=2, repeats=2)
    whole = simulate(plan, concurrency=1)
    whole.run(objective=noisy)
    for length in range(1, len(whole.lines)):
        resumed = simulate(plan, whole.lines[:length], concurrency=1)
        resumed.run(objective=noisy)
        assert [t.rows for t in resumed.state.trials.values()] == [t.rows for t in whole.state.trials.values()]


def test_a_sweep_that_ended_can_be_confirmed_afterwards_and_extended_then(make_toy_plan, simulate):
    searched = simulate(make_toy_plan(trials=4))
    searched.run()
    confirmed = simulate(make_toy_plan(trials=4, confirm=1, repeats=2), searched.lines)
    confirmed.run()
    assert len(confirmed.state.trials) == 6
    extended = simulate(make_toy_plan(trials=6, confirm=1, repeats=2), confirmed.lines)
    extended.run()
    through = simulate(make_toy_plan(trials=6), concurrency=2)
    through.run()
    assert [t.config for t in extended.state.searched] == [t.config for t in through.state.searched]
    assert [t.seed for t in extended.state.searched] == [t.seed for t in through.state.searched]


def test_equal_configurations_are_confirmed_once(make_toy_plan, simulate):
    from ray import tune

    plan = make_toy_plan(trials=8, space={"batch_size": tune.choice([8, 16])}, confirm=8, repeats=2)
    sim = simulate(plan)
    sim.run(objective=lambda attempt, epoch: float(attempt.number + 1))
    assert len({t.config["batch_size"] for t in sim.state.searched}) == 2
    assert len(confirming(8, sim.state)) == 2 * 2
    assert sim.controller.done


def test_what_failed_once_when_repeated_cannot_win(plan, simulate):
    sim = simulate(plan)

    def diverges(attempt, epoch):
        repeats_best = attempt.number >= 12 and sim.state.trials[attempt.number].confirms == best_number()
        return math.nan if repeats_best and attempt.number < 15 else noisy(attempt, epoch)

    def best_number():
        return sim.state.ranked()[0].number

    sim.run(objective=diverges)
    entries, winner = sim.state.confirmations()
    assert {entry.trial_id: entry.failed for entry in entries}[f"{best_number():05d}"] == 1
    assert winner is not None
    assert winner.trial_id != f"{best_number():05d}"


def test_a_repetition_that_is_killed_is_tried_again_from_its_checkpoint(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, epochs=2, confirm=1, repeats=2), concurrency=1)
    sim.run(max_reports=3)  # the first epoch of the first repetition has been reported
    sim.controller.fail(1, Cause.KILLED, "killed")
    again = sim.controller.next_attempt()
    assert (again.number, again.attempt, again.reported_epochs) == (1, 2, 1)


def test_the_mean_has_students_interval():
    rows = [("00001", Status.COMPLETED, value) for value in (1.0, 2.0, 4.0)] + [("00002", Status.COMPLETED, 3.0)] * 3
    (first, second), winner = confirmations(rows, 3, "min")
    assert (first.trial_id, first.mean, winner) == ("00001", pytest.approx(7 / 3), first)
    low, high = student.interval(0.95, 2, 7 / 3, pd.Series([1.0, 2.0, 4.0]).sem())
    assert first.interval == pytest.approx((high - low) / 2)
    assert second.interval == 0.0
    assert confirmations(rows, 3, "max")[1].trial_id == "00002"
    assert confirmations(rows, 4, "min")[1] is None  # not all repeats have ended


def test_the_table_says_which_trial_a_row_repeats(plan, simulate, tmp_path):
    sim = simulate(plan)
    sim.run(objective=noisy)
    write_tables(sim.state, plan.task, tmp_path)
    trials = pd.read_parquet(tmp_path / c.TRIALS_FILE)
    assert list(trials.columns[-2:]) == ["confirms", "stopped_by"]
    assert trials["confirms"][:12].isna().all()
    assert set(trials["confirms"][12:]) == {trial.trial_id for trial in sim.state.ranked()[:3]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confirm": -1}, "configurations to confirm is -1"),
        ({"confirm": 2, "repeats": 1}, "number of repeats is 1"),
        ({"confirm": 2, "folds": 3, "scheduler": "none"}, "folds give each configuration an interval already"),
    ],
)
def test_what_makes_no_sense_is_refused(make_toy_plan, options, message):
    with pytest.raises(UsageError, match=message):
        make_toy_plan(**options)
