"""What a sweep has used, by its journal: the time on the wall, and that of the CPUs and GPUs that trials hold."""

import pytest

from balltrain.records.confirmation import confirmations
from balltrain.records.usage import Usage, Used, resources_of

PLACEMENT = {"workers": 2, "cpus_per_worker": 3.0, "gpus_per_worker": 0.5}  # 6 CPUs and 1 GPU a trial


def usage_of(*lines):
    usage = Usage()
    for line in ({"type": "sweep", "sweep": {"placement": PLACEMENT}, "time": 100.0, "began": 90.0}, *lines):
        usage.apply(line)
    return usage


def row(decision, time):
    return {"type": "report", "number": 0, "row": {"decision": decision}, "time": time}


START = {"type": "start", "number": 0, "time": 110.0}
RESUME = {"type": "resume", "sweep": {"placement": None}, "time": 500.0, "began": 490.0}


@pytest.mark.parametrize(
    ("lines", "now", "used"),
    [
        ((), 120.0, Used(30, 0, 0)),
        ((START,), 120.0, Used(30, 60, 10)),
        ((START, row("continue", 115.0)), 120.0, Used(30, 60, 10)),
        ((START, row("complete", 115.0)), 120.0, Used(30, 30, 5)),
        ((START, {"type": "end", "number": 0, "time": 115.0}), 120.0, Used(30, 30, 5)),
        ((START, row("stop", 115.0), {**START, "time": 116.0}), 120.0, Used(30, 54, 9)),
    ],
    ids=["from when it was asked for", "running", "goes on", "completed", "ended", "again"],
)
def test_a_trial_holds_its_resources_from_start_to_end(lines, now, used):
    assert usage_of(*lines).at(now) == used


def test_between_two_runs_of_a_sweep_nothing_is_used():
    """A killed run's trials held theirs until its last line; the next has other resources."""
    usage = usage_of(START, row("continue", 115.0), RESUME)
    assert usage.at(500.0) == Used(25 + 10, 30, 5)
    usage.apply({**START, "time": 500.0})
    assert usage.at(507.0) == Used(25 + 17, 30 + 7, 5)
    assert usage.each == (1.0, 0.0) == resources_of({})


def test_a_configuration_of_which_a_training_failed_comes_after_those_of_which_none_did():
    trained = [("00000", "completed", 1.0), ("00000", "failed", None), ("00001", "completed", 3.0)]
    ranked, winner = confirmations([*trained, ("00001", "completed", 3.0)], 2, "min")
    assert [entry.trial_id for entry in ranked] == ["00001", "00000"]
    assert winner is ranked[0]
