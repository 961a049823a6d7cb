"""Each headline comparison has an interval, or says why it has none."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from scipy.stats import norm, ttest_ind

from balltrain.records.confirmation import Confirmed
from balltrain.records.results import Results
from balltrain.reporting.compare import compare
from balltrain.reporting.headline import headline
from balltrain.reporting.intervals import _welch, ahead, of_best
from balltrain.reporting.terminal import print_results
from balltrain.reporting.verdict import verdict

Run = Callable[..., Results]


def test_a_best_that_was_trained_once_has_none_and_says_what_gives_one(sweep: Run):
    results = sweep()
    assert "It was trained once, so that no interval can be given: --resume --confirm 3" in of_best(results)
    assert of_best(results) in headline(results)
    console = Console(file=StringIO(), width=300)
    print_results(results, console)
    assert of_best(results) in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_confirmed_best_has_that_of_its_new_seeds(sweep: Run):
    results = sweep(confirm=2)
    _, winner = results.confirmed
    assert of_best(results).startswith("Over 3 new seeds its mean is ")
    assert of_best(results).endswith("(95 %).")
    assert "it is ahead of trial" in verdict(results, winner)
    assert "95 % from" in verdict(results, winner)


def test_one_that_is_not_confirmed_yet_says_so(simulate, tmp_path: Path):
    from balltrain.records.results import load_results

    simulation = simulate(confirm=2)
    while not any(trial.confirms is not None for trial in simulation.state.trials.values()):
        simulation.step()
    results = load_results(tmp_path, simulation.write(tmp_path).name)
    assert "Not all of the best have been trained again yet" in of_best(results)


def test_several_objectives_say_that_each_was_trained_once(sweep: Run):
    results = sweep(objectives=["val_loss:min", "num_params:min"])
    assert "no interval can be given" in of_best(results)


@pytest.mark.parametrize(
    ("mode", "second", "words"),
    [
        ("min", [2.0, 2.1, 1.9, 2.0], "ahead of trial 00002 by 1, 95 % from 0."),
        ("min", [1.1, 1.0, 0.9, 1.2], ", which noise may be"),
        ("max", [0.5, 0.6, 0.4, 0.5], "ahead of trial 00002 by 0.5, 95 % from 0."),
        ("min", [2.0], ""),
    ],
)
def test_a_winner_is_ahead_by_so_much(mode: str, second: list[float], words: str):
    found = ahead(Confirmed("00001", 4, [1.0, 1.1, 0.9, 1.0]), Confirmed("00002", 4, second), mode)
    assert words in found
    assert bool(found) == bool(words)


def test_the_interval_to_what_was_published_is_welchs():
    ours, theirs = norm.rvs(size=(2, 9), random_state=1)
    figures = [{"count": len(v), "mean": v.mean(), "std": v.std(ddof=1)} for v in (ours, theirs[:5])]
    expected = ttest_ind(ours, theirs[:5], equal_var=False).confidence_interval()
    low, middle, high = _welch(*figures)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert low < middle < high
    assert _welch({"count": 1, "mean": 1.0, "std": None}, figures[0]) is None


def test_three_sweeps_compare_the_two_that_are_best(sweep: Run):
    sweeps = [sweep(name=name, trials=trials, confirm=2) for name, trials in (("a", 6), ("b", 24), ("c", 3))]
    *_, last = compare(sweeps)["remarks"]
    assert "noise" in last
