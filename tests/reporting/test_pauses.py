"""A freeze-thaw search as people see it: while it runs, and in its report."""

import math

import pytest
from rich.console import Console

from balltrain.records.columns import Status
from balltrain.records.results import load_results
from balltrain.reporting.history import history
from balltrain.reporting.live import View
from balltrain.reporting.occupancy import lanes, running_seconds, runs, spans
from balltrain.reporting.pauses import pauses
from balltrain.reporting.report import write_report
from balltrain.reporting.snapshot import snapshot_of, snapshot_of_results
from balltrain.reporting.terminal import print_results
from balltrain.reporting.text import stopped_by


@pytest.fixture
def freeze_thaw(simulate):
    return simulate(trials=24, epochs=13, searcher="freeze-thaw", scheduler="none")


def finished(simulation, tmp_path):
    while simulation.step():
        pass
    return load_results(tmp_path, simulation.write(tmp_path).name)


def panel(snapshot):
    console = Console(width=90, height=24, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(View(snapshot).render(snapshot, 90, 24))
    return console.export_text()


def test_the_live_view_counts_the_paused_and_measures_by_epochs(freeze_thaw, tmp_path):
    for _ in range(60):
        freeze_thaw.step()
    snapshot = snapshot_of(freeze_thaw.controller)
    paused = len(freeze_thaw.state.with_status(Status.PAUSED))
    assert paused
    text = panel(snapshot)
    assert f"{paused} paused" in text
    total = math.ceil(0.3 * 24 * 13)
    assert f"60/{total} epochs" in text
    assert " freeze-thaw " in text
    assert "none" not in text
    assert snapshot.epochs_to_come == total - 60
    elsewhere = snapshot_of_results(load_results(tmp_path, freeze_thaw.write(tmp_path).name))
    assert (elsewhere.counts[Status.PAUSED], elsewhere.search_epochs) == (paused, total)


def test_the_live_view_counts_trials_once_the_search_has_ended(freeze_thaw):
    while freeze_thaw.step():
        pass
    assert "24/24 trials" in panel(snapshot_of(freeze_thaw.controller))


def test_runs_are_what_lies_between_pauses(freeze_thaw, tmp_path):
    results = finished(freeze_thaw, tmp_path)
    ran = runs(results)
    assert ran["run"].max() >= 1
    assert (ran["last"] - ran["first"] + 1).sum() == results.num_epochs
    assert (ran["until"] > ran["since"]).all()
    by_trial = ran.sort_values(["trial_id", "run"]).groupby("trial_id")
    for _, own in by_trial:
        assert own["first"].tolist()[1:] == [last + 1 for last in own["last"].tolist()[:-1]]
        assert (own["since"].iloc[1:].to_numpy() >= own["until"].iloc[:-1].to_numpy()).all()


def test_places_hold_one_trial_at_a_time_though_trials_pause(freeze_thaw, tmp_path):
    results = finished(freeze_thaw, tmp_path)
    places = lanes(results)
    assert places["lane"].nunique() <= 4
    assert len(spans(results)) == len(runs(results))
    whole = (spans(results)["end"].max() - spans(results)["started_at"].min()).total_seconds()
    assert running_seconds(results) <= whole + 1


def test_the_best_so_far_is_in_the_order_of_time(freeze_thaw, tmp_path):
    found = history(finished(freeze_thaw, tmp_path))
    assert found["reported_at"].is_monotonic_increasing
    assert len(found) == found["trained"].iloc[-1]


def test_the_report_says_who_paused_and_who_was_thawed_when(freeze_thaw, sweep, tmp_path):
    results = finished(freeze_thaw, tmp_path)
    text = pauses(results)
    thawed = {line.number for line in freeze_thaw.state.trials.values() if line.attempts > 1}
    assert f"{len(thawed)} of 24 trials were thawed; 24 have ended." in text
    assert "epoch 1 after" in text
    assert ", thawed after" in text
    for epoch in (1, 3, 6):
        assert f"epoch {epoch}<" in text
    page = write_report(results, tmp_path / "report.html").read_text()
    assert "Paused and thawed" in page
    assert "Early stopping<" not in page
    assert pauses(sweep(name="other")) == ""


def test_tables_of_before_have_no_times_of_epochs(freeze_thaw, tmp_path):
    results = finished(freeze_thaw, tmp_path)
    results.__dict__["epochs"] = results.epochs.drop(columns=["reported_at"])
    assert pauses(results) == ""
    assert len(lanes(results)) == 24
    assert len(history(results)) == results.num_epochs


def test_results_and_what_is_published_name_it_where_schedulers_are_named(freeze_thaw, tmp_path, capsys):
    results = finished(freeze_thaw, tmp_path)
    print_results(results, Console(width=120))
    assert "· freeze-thaw ·" in capsys.readouterr().out.splitlines()[0]
    assert stopped_by(results.sweep) == "freeze-thaw"
    assert stopped_by({"searcher": "random", "scheduler": {"name": "none"}}) is None
    assert stopped_by({"searcher": "hyperopt", "scheduler": {"name": "asha"}}) == "asha"
