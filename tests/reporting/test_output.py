"""`balltrain logs`: what trials have printed."""

import threading
import time

import pytest

from balltrain.errors import UsageError
from balltrain.records.output import output_file
from balltrain.records.results import load_results
from balltrain.reporting import output as showing
from balltrain.reporting.output import Outputs, follow, show, trial_named
from balltrain.storage import Storage, Uploads


@pytest.fixture
def printed(sweep, tmp_path):
    """A sweep whose first trials have printed so many numbered lines."""

    def make(**counts):
        results = sweep(trials=4, epochs=2)
        for trial, count in counts.items():
            path = output_file(tmp_path / results.name, trial.removeprefix("t"))
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"0 %\rline {number}\r\n" for number in range(count)))
        return results

    return make


def shown(tmp_path, results, trial=None, num_lines=None):
    lines = []
    show(Outputs(Storage(str(tmp_path)), results, trial), lines.append, num_lines)
    return lines


def test_all_of_one_trial_as_a_terminal_would_show_it(printed, tmp_path):
    results = printed(t00001=15)
    assert shown(tmp_path, results, "00001") == [f"line {number}" for number in range(15)]
    assert shown(tmp_path, results, "00001", 2) == ["line 13", "line 14"]


def test_of_all_trials_the_last_lines_under_their_names(printed, tmp_path):
    lines = shown(tmp_path, printed(t00000=2, t00001=20))
    assert lines[0].startswith("== 00000, ")
    assert lines[1:3] == ["line 0", "line 1"]
    assert lines[3].startswith("\n== 00001, ")
    assert lines[4:] == [f"line {number}" for number in range(10, 20)]


def test_a_trial_is_named_by_its_number_or_its_id(printed, tmp_path):
    results = printed()
    folder = tmp_path / results.name
    assert trial_named(results, folder, "2") == trial_named(results, folder, "00002") == "00002"
    with pytest.raises(UsageError, match="no trial '77': it has 0 to 3"):
        trial_named(results, folder, "77")
    with pytest.raises(UsageError, match="no output of 00002 is recorded"):
        shown(tmp_path, results, "00002")


def test_what_comes_later_is_followed_to_the_end_also_where_the_file_was_shortened(printed, tmp_path, monkeypatch):
    monkeypatch.setattr(showing, "POLL_S", 0.01)
    monkeypatch.setattr(showing, "TRIALS_EVERY_S", 0.02)
    results = printed(t00000=1)
    path = output_file(tmp_path / results.name, "00000")
    lines, has_ended = [], threading.Event()

    def load():
        if has_ended.is_set():
            results.sweep["ended_at"] = "now"
        return results

    outputs = Outputs(Storage(str(tmp_path)), results, None)
    thread = threading.Thread(target=follow, args=(outputs, lines.append, None, load))
    thread.start()
    with path.open("a") as file:
        file.write("half a ")
        file.flush()
        time.sleep(0.05)
        file.write("line\n")
    time.sleep(0.05)
    path.write_text("--- 17 bytes left out\nlast")
    time.sleep(0.05)
    has_ended.set()
    thread.join(5)
    assert lines == [f"00000 | {line}" for line in ("line 0", "half a line", "--- 17 bytes left out", "last")]


def test_output_in_object_storage_is_fetched(printed, tmp_path, bucket):
    results = printed(t00001=1)
    place = Storage(bucket)
    Uploads(place.remote, tmp_path / results.name, results.name).push()
    place.fetch_tables(results.name)
    lines = []
    show(Outputs(place, load_results(place.root, results.name), "00001"), lines.append, None)
    assert lines == ["line 0"]
