"""Budgets of time and devices, a target, patience with trials: when a search ends, and what a resume goes on with."""

import math
import zlib
from datetime import timedelta

import numpy as np
import pytest

from balltrain.errors import UsageError
from balltrain.records.columns import Status
from balltrain.records.journal import VERSION
from balltrain.search.limits import MOST_TRIALS, Limits, seconds_of
from balltrain.search.policy import Cause
from balltrain.search.spending import no_epoch
from balltrain.search.sweep import Sweep, override
from balltrain.testing.curves import generated_problem
from balltrain.testing.virtual import VirtualSweep, plan_of

PROBLEM = generated_problem(0)


def varying(mean, seed=0):
    """Seconds an epoch: of a configuration up to four times those of another, an epoch a tenth more or less."""

    def seconds(attempt, epoch):
        config = {name: value for name, value in attempt.config.items() if name != "epochs"}
        of_trial = np.random.default_rng([seed, zlib.crc32(repr(sorted(config.items())).encode())]).uniform(0.4, 1.6)
        return mean * of_trial * np.random.default_rng([seed, attempt.number, epoch]).uniform(0.9, 1.1)

    return seconds


def run(seconds=None, workers=4, lines=(), **options):
    plan = plan_of(PROBLEM, **options)
    return VirtualSweep(PROBLEM, plan, workers=workers, lines=lines, seconds=seconds or varying(2.0)).run()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("45s", 45), ("90m", 5400), ("90min", 5400), ("1.5h", 5400), ("1h30m", 5400), ("1d 12h", 129600), ("7", 7)],
)
def test_durations_as_people_write_them(given, seconds):
    assert seconds_of(given) == seconds
    assert Limits(time_budget=given).time_budget == seconds


def test_durations_of_python():
    assert [seconds_of(given) for given in (7, 2.5, timedelta(minutes=2))] == [7, 2.5, 120]


@pytest.mark.parametrize("given", ["", "h", "2 fortnights", "1h30", "-5m", "0", 0, -1, math.nan, math.inf, True, [1]])
def test_what_is_no_duration_is_refused_with_examples(given):
    with pytest.raises(UsageError, match=r"time budget is .*90m"):
        Limits(time_budget=given)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gpu_hours": 0}, "GPU-hours is 0, but must be more than 0"),
        ({"cpu_hours": -1}, "CPU-hours is -1"),
        ({"stop_when_flat": 0}, "without a better best is 0, but must be at least 1"),
        ({"until": math.nan}, "good enough is nan"),
        ({"until": "0.9"}, "'0.9', but must be a number"),
        ({"until": 0.9, "folds": 3, "scheduler": "none"}, "folds are compared by their mean"),
    ],
)
def test_nonsense_is_refused(options, says):
    with pytest.raises(UsageError, match=says):
        Sweep("detect", {}, **options)


def test_the_number_of_trials_is_as_before_unless_a_budget_takes_its_place():
    assert Sweep("detect", {}).most_trials == 100
    assert Sweep("detect", {}, trials=7, time_budget="1h").most_trials == 7
    assert Sweep("detect", {}, time_budget="1h").most_trials == MOST_TRIALS
    assert Sweep("detect", {}, until=0.9).most_trials == 100  # which may never be reached
    assert plan_of(PROBLEM).to_json()["trials"] == 100
    assert plan_of(PROBLEM, time_budget="1h").to_json()["trials"] is None


def test_a_budget_on_the_command_line_takes_the_place_of_a_files_number_of_trials():
    sweep = Sweep("detect", {}, trials=20)
    assert override(sweep, time_budget="2h").trials is None
    assert override(sweep, time_budget="2h", trials=30).trials == 30
    assert override(sweep, until=0.5).trials == 20
    assert override(sweep, epochs=5).trials == 20


@pytest.mark.parametrize(
    ("searcher", "seed", "budget"),
    [
        *(("random", seed, 120.0 + 60 * seed) for seed in range(18)),
        ("freeze-thaw", 0, 90.0),
        ("freeze-thaw", 1, 120.0),
    ],
)
def test_a_sweep_ends_with_its_time_budget(searcher, seed, budget):
    """Within 2 % or 5 s, whichever is larger; the 3 s that ending takes are kept free."""
    sim = run(varying(2.0, seed), searcher=searcher, seed=seed, time_budget=budget)
    assert abs(sim.now + 3 - budget) <= max(5.0, 0.02 * budget)
    assert sim.state.limit == "its time budget is used up"
    assert sim.controller.done
    assert sim.state.best is not None
    assert not any(trial.status == Status.RUNNING for trial in sim.state.trials.values())


def test_nothing_starts_that_cannot_reach_a_rung_and_what_is_close_goes_on():
    sim = run(searcher="random", time_budget=300, grace=4)
    limit = next(line["time"] for line in sim.lines if line["type"] == "limit")
    assert all(line["time"] <= limit for line in sim.lines if line["type"] == "start")
    assert any(line["time"] > limit for line in sim.lines if line["type"] == "report")
    epochs = [trial.epochs for trial in sim.state.trials.values()]
    assert min(epochs) >= 3  # an estimate may be off by one


def test_a_resume_counts_what_was_used_and_goes_on_with_more():
    first = run(searcher="random", time_budget=200)
    interrupted = first.state.with_status(Status.INTERRUPTED)
    again = run(lines=first.lines, searcher="random", time_budget=200)
    assert again.now == first.now  # nothing is left
    longer = run(lines=first.lines, searcher="random", time_budget=400)
    assert abs(longer.now + 3 - 400) <= 8
    assert all(longer.state.trials[trial.number].epochs > trial.epochs for trial in interrupted)
    rows = [(line["number"], line["row"]["epoch"]) for line in longer.lines if line["type"] == "report"]
    assert len(rows) == len(set(rows))


def test_what_was_asked_for_after_the_search_is_within_the_budget():
    options = {"searcher": "random", "confirm": 2, "repeats": 2, "continue_best": 1}
    sim = run(time_budget=900, epochs=30, continue_epochs=PROBLEM.epochs, **options)
    assert abs(sim.now + 3 - 900) <= 2 * 1.6 * PROBLEM.epochs + 18  # nothing is left to do before the end
    confirmed, winner = sim.state.confirmations()
    assert len(confirmed) == 2
    assert winner is not None
    assert sum(trial.continued_after is not None for trial in sim.state.searched) == 1


def test_a_budget_of_cpu_hours_is_that_of_the_trials():
    sim = run(searcher="random", cpu_hours=0.2, workers=4)
    used = sim.state.usage.at(sim.now).cpu
    assert abs(used - 720) <= 0.02 * 720 + 4 * 3
    assert sim.state.limit == "its CPU-hours are used up"
    busy = sum(row["seconds"] for trial in sim.state.trials.values() for row in trial.rows)
    assert used == pytest.approx(busy)


@pytest.mark.parametrize(("searcher", "trials"), [("random", 40), ("freeze-thaw", 12)])
def test_good_enough_is_enough(searcher, trials):
    best = run(searcher=searcher, trials=trials).state.best.objective
    target = best * 1.05 if best > 0 else best * 0.95
    sim = run(searcher=searcher, until=target)
    assert sim.state.best.objective <= target
    assert sim.state.limit.startswith("the objective reached")
    assert len(sim.state.trials) < 60
    again = run(lines=sim.lines, searcher=searcher, until=target)
    assert again.now == sim.now


def test_a_search_that_finds_nothing_better_ends():
    sim = run(searcher="random", stop_when_flat=15)
    assert sim.state.limit == "15 trials ended without a better best"
    ended = [trial.searched_objective for trial in sim.state.ended_in_order]
    finite = [math.inf if value is None else value for value in ended]
    assert finite.index(min(finite)) <= len(ended) - 15
    assert len(ended) < 300


def test_a_search_that_ended_so_stays_at_its_end_when_resumed(make_toy_plan, simulate):
    """A trial that still ran then may have been better than all."""
    plan = make_toy_plan(trials=20, epochs=1, grace=1, searcher="random", stop_when_flat=2)
    sim = simulate(plan, concurrency=3)
    running = [sim.controller.next_attempt() for _ in range(3)]
    for attempt, objective in zip(running[:2], (1.0, 2.0), strict=True):
        sim.controller.report(attempt.number, sim.row(attempt, 1, objective))
    worse = sim.controller.next_attempt()
    sim.controller.report(worse.number, sim.row(worse, 1, 3.0))
    assert sim.controller.next_attempt() is None
    sim.controller.report(running[2].number, sim.row(running[2], 1, 0.5))
    header = {"type": "resume", "version": VERSION, "sweep": sim.state.sweep, "time": sim.clock()}
    resumed = simulate(plan, [*sim.lines, header], concurrency=3)
    assert resumed.controller.next_attempt() is None
    assert resumed.state.limit == "2 trials ended without a better best"


def test_a_budget_is_no_worse_than_as_many_epochs_fixed_beforehand():
    """Regret at equal epochs: the same searcher with a number of trials that takes as long."""
    ratios = []
    for seed in range(8):
        limited = run(lambda attempt, epoch: 1.0, searcher="random", seed=seed, time_budget=250)
        epochs = sum(trial.epochs for trial in limited.state.trials.values())
        trials = len(limited.state.trials)
        fixed = run(lambda attempt, epoch: 1.0, searcher="random", seed=seed, trials=trials)
        values = [row["objective"] for line in fixed.lines if line["type"] == "report" for row in [line["row"]]][
            :epochs
        ]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        ratios.append(limited.state.best.objective - min(finite))
    assert np.median(ratios) <= 1e-9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"time_budget": 4},
            "4 s of time budget are too few for one epoch: one takes more than 6.0 s here; --dry-run",
        ),
        ({"cpu_hours": 0.001}, "3.6 s of CPU-hours are too few for one epoch: one takes more than 6.0 s here; "),
        ({"time_budget": 2}, "2 s of time budget are too few for one epoch: 6 s went by before a trial began; "),
        ({"stop_when_flat": 3}, None),
    ],
)
def test_a_budget_too_small_for_an_epoch_says_how_long_one_takes(options, says):
    sim = VirtualSweep(PROBLEM, plan_of(PROBLEM, searcher="random", **options), workers=1)
    attempt = sim.controller.next_attempt()  # whose epoch outlasts the budget, and is left
    sim.now = 6.0
    if attempt is not None:
        sim.controller.fail(attempt.number, Cause.NODE_LOST, "the sweep was ended within an epoch")
    found = no_epoch(sim.controller.plan, sim.state, sim.now)
    assert found is None if says is None else found.startswith(says)
    if attempt is not None:
        longer = run(lines=sim.lines, searcher="random", workers=1, trials=1, time_budget=600)
        assert no_epoch(longer.controller.plan, longer.state, longer.now) is None


def test_trials_that_fail_before_their_first_epoch_are_no_matter_of_the_budget():
    sim = VirtualSweep(PROBLEM, plan_of(PROBLEM, time_budget=600), workers=1)
    sim.controller.fail(sim.controller.next_attempt().number, Cause.DETERMINISTIC, "ValueError: no such file")
    assert no_epoch(sim.controller.plan, sim.state, 601.0) is None
