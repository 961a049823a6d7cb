"""Whether one sweep's winner is better than the other's, beyond what new seeds do."""

from types import SimpleNamespace

import pytest

from balltrain.records.confirmation import Confirmed
from balltrain.reporting.compare import compare
from balltrain.reporting.significance import difference, significance


def confirmed(name, objectives, mode="min"):
    winner = Confirmed("00007", len(objectives), list(objectives)) if objectives else None
    return SimpleNamespace(name=name, mode=mode, confirmed=([winner] if winner else [], winner))


def test_a_winner_beyond_noise_is_named():
    a, b = confirmed("a", [1.0, 1.1, 0.9, 1.0, 1.05]), confirmed("b", [2.0, 2.1, 1.9, 2.0, 2.2])
    found = difference(a, b)
    assert found["better"] == "a"
    assert found["difference"] == pytest.approx(-1.03)
    assert found["interval"][0] < -1.03 < found["interval"][1] < 0
    assert significance(a, b).startswith("The winner of a is better beyond noise (a less b: -1.03, 95 % from -1.")
    assert difference(a, b) == difference(a, b)
    larger = [confirmed(s.name, s.confirmed[1].objectives, "max") for s in (a, b)]
    assert difference(*larger)["better"] == "b"


def test_what_seeds_do_is_no_difference():
    a, b = confirmed("a", [1.0, 1.3, 0.8, 1.2, 0.9]), confirmed("b", [1.1, 1.2, 0.9, 1.0, 1.3])
    assert difference(a, b)["better"] is None
    assert "do not differ beyond noise" in significance(a, b)


def test_without_new_seeds_it_is_said_which_sweep_needs_them(sweep):
    a, b = confirmed("a", [1.0, 1.1]), confirmed("b", [])
    assert difference(a, b) is None
    assert "the best of b must be trained again with new seeds, by --resume --confirm 3" in significance(a, b)
    first, second = sweep(trials=6, confirm=2), sweep(trials=6, name="second", confirm=2)
    found = compare([first, second])
    assert found["winners"]["seeds"] == [3, 3]
    assert "noise" in found["remarks"][-1]
    assert compare([first, sweep(trials=3, name="third")])["winners"] is None
