import numpy as np
import pytest

from balltrain.errors import UsageError
from balltrain.search.stopping import SCHEDULERS, Stopping, build_stopping
from balltrain.testing import StoppingConformance


class TestAsha(StoppingConformance):
    scheduler = "asha"


class TestNone(StoppingConformance):
    scheduler, stops = "none", False


def test_no_rule_is_left_out():
    assert {cls.scheduler for cls in StoppingConformance.__subclasses__()} >= set(SCHEDULERS.own_names())


def test_a_trial_among_the_worse_two_thirds_is_stopped_at_its_rung():
    stopping = Stopping("asha", "min", epochs=9, grace=1, reduction_factor=3)
    assert stopping.goes_on("a", 1, 1.0)
    assert stopping.goes_on("b", 1, 0.5)
    assert not stopping.goes_on("c", 1, 2.0)
    assert stopping.goes_on("a", 2, 5.0)  # no rung at 2
    assert stopping.rungs() == {9: {}, 3: {}, 1: {"a": 1.0, "b": 0.5, "c": 2.0}}


def test_maximum():
    stopping = Stopping("asha", "max", epochs=9, grace=1, reduction_factor=3)
    assert stopping.goes_on("a", 1, 0.5)
    assert stopping.goes_on("b", 1, 0.9)
    assert not stopping.goes_on("c", 1, 0.1)


def test_no_trial_is_stopped_before_the_grace_period_or_by_none():
    stopping = Stopping("asha", "min", epochs=9, grace=3, reduction_factor=3)
    never = Stopping("none", "min", epochs=9, grace=1, reduction_factor=3)
    for n in range(5):
        assert stopping.goes_on(str(n), 1, float(n))
        assert stopping.goes_on(str(n), 2, float(n))
        assert all(never.goes_on(str(n), epoch, float(n)) for epoch in range(1, 10))
    assert never.rungs() == {}


def test_decisions_equal_a_plain_reading_of_the_papers_rule():
    """Algorithm 2 of arXiv 1810.05934 in its stopping variant: at a rung, go on if in the top 1 / eta so far."""
    random, eta = np.random.default_rng(0), 3
    stopping = Stopping("asha", "min", epochs=27, grace=1, reduction_factor=eta)
    rungs: dict[int, list[float]] = {1: [], 3: [], 9: [], 27: []}
    level = random.random(1000)
    for number in range(1000):
        for epoch in range(1, 28):
            value = level[number] + random.random() / epoch
            goes_on = stopping.goes_on(str(number), epoch, value)
            expected = True
            if epoch in rungs:
                before = rungs[epoch]
                # the value below which the best third of those before lie, by linear interpolation
                expected = not before or value <= np.percentile(before, 100 / eta)
                rungs[epoch].append(value)
            assert goes_on == expected, (number, epoch)
            if not goes_on:
                break
    assert [len(values) for values in rungs.values()] == [len(r) for r in reversed(stopping.rungs().values())]


def test_replaying_rows_in_another_order_makes_the_same_rungs():
    rows = [(str(trial), epoch, (trial * 7 % 5) / epoch) for epoch in (1, 2, 3) for trial in range(5)]
    rungs = []
    for order in (rows, rows[::-1], rows + rows):
        stopping = Stopping("asha", "min", epochs=9, grace=1, reduction_factor=3)
        for row in sorted(order, key=lambda row: row[1]):
            stopping.goes_on(*row)
        rungs.append(stopping.rungs())
    assert rungs[0] == rungs[1] == rungs[2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "pbt"}, "unknown scheduler 'pbt': choose one of asha, none"),
        ({"reduction_factor": 1}, "reduction factor is 1, but must be at least 2"),
        ({"grace": 10}, "grace period is 10 epochs, but must be from 1 to the 9"),
        ({"grace": 0}, "grace period is 0 epochs"),
    ],
)
def test_values_that_make_no_rungs_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        build_stopping(**{"name": "asha", "mode": "min", "epochs": 9, "grace": 1, "reduction_factor": 3, **values})


@pytest.mark.parametrize("seed", range(20))
def test_every_decision_is_that_of_rays_scheduler(seed):
    """On random sequences: any factor, skipped epochs, ties, trials side by side, as a resumed sweep replays them."""
    from types import SimpleNamespace

    from ray.tune.schedulers import AsyncHyperBandScheduler

    random = np.random.default_rng(seed)
    epochs, factor, mode = int(random.integers(2, 90)), float(random.choice([2, 2.5, 3, 4])), ["min", "max"][seed % 2]
    grace = int(random.integers(1, max(2, epochs // 3)))
    ours = Stopping("asha", mode, epochs, grace, factor)
    rays = AsyncHyperBandScheduler("epoch", "objective", mode, epochs + 1, grace, factor)
    trials = {str(number): SimpleNamespace(trial_id=str(number)) for number in range(60)}
    for trial in trials.values():
        rays.on_trial_add(None, trial)
    running, last, decisions = list(trials), dict.fromkeys(trials, 0), []
    while running:
        trial_id = str(random.choice(running))
        last[trial_id] += int(random.integers(1, 4))
        if last[trial_id] > epochs:
            running.remove(trial_id)
            continue
        row = {"epoch": last[trial_id], "objective": float(random.integers(0, 50)) / 50 + 1 / last[trial_id]}
        expected = rays.on_trial_result(None, trials[trial_id], row) != "STOP"
        assert ours.goes_on(trial_id, row["epoch"], row["objective"]) == expected
        decisions.append(expected)
        if not expected:
            running.remove(trial_id)
    assert not all(decisions)
