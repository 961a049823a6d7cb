"""A sweep whose best trials went on after the search is shown as the search was, and what came of them."""

from io import StringIO

import pytest
from rich.console import Console

from balltrain.records.results import load_results
from balltrain.reporting.best_configuration import train_command
from balltrain.reporting.findings import findings
from balltrain.reporting.importance import importances
from balltrain.reporting.live import View
from balltrain.reporting.progress import rungs, saving
from balltrain.reporting.report import write_report
from balltrain.reporting.snapshot import snapshot_of, snapshot_of_results
from balltrain.reporting.summary import results_json
from balltrain.reporting.terminal import print_results

STAGES = {"epochs": 6, "continue_best": 2, "continue_epochs": 30}


@pytest.fixture
def both(sweep):
    """A sweep in two stages, and its first stage alone."""
    return sweep(name="both", **STAGES), sweep(name="search", epochs=6)


def test_the_search_is_shown_as_it_was(both):
    two, one = both
    best = one.ranked.set_index("trial_id")["objective"]
    assert two.compared.set_index("trial_id")["objective"].to_dict() == best.to_dict()
    assert two.ranked["objective"].iloc[0] < best.iloc[0]
    assert two.varied == one.varied
    assert saving(two) == saving(one) != ""
    assert rungs(two).partition("<table")[2] == rungs(one).partition("<table")[2] != ""
    assert [found.share for found in importances(two)] == [found.share for found in importances(one)]


def test_what_went_on_is_named_with_its_epochs(both, tmp_path):
    two, one = both
    went_on = two.trials[two.went_on]
    assert sorted(went_on["trial_id"]) == sorted(one.ranked["trial_id"][:2])
    assert results_json(two, 3)["continued"] == went_on["trial_id"].tolist()
    assert "continued" not in results_json(one, 3)
    assert "--epochs 30" in train_command(two)
    assert "--epochs 6" in train_command(one)
    console = Console(file=StringIO(), width=200)
    print_results(two, console)
    assert "the search's best 2 went on after it: up to epoch 30" in console.file.getvalue()
    assert not any("train longer" in text for text in findings(two))
    assert write_report(two, tmp_path / "report.html", None).stat().st_size > 10_000


def test_the_live_view_counts_the_epochs_of_each_stage(simulate):
    now = 0.0
    simulation = simulate(**STAGES)
    view = View(snapshot_of(simulation.controller), lambda: now)

    def shown():
        console = Console(file=StringIO(), width=120)
        console.print(view.render(snapshot_of(simulation.controller), 120, 40))
        return console.file.getvalue()

    while not any(trial.epochs == 9 for trial in simulation.state.trials.values()):
        simulation.step()
        now += 1.0
        text = shown()
    assert "9/30" in text
    assert "22/24 trials" in text
    epochs = sum(
        30 - trial.epochs for trial in simulation.state.trials.values() if trial.number in simulation.controller.live
    )
    (left,) = (line.partition("left about ")[2] for line in text.splitlines() if "left about" in line)
    assert left.split()[0].rstrip("s") == str(epochs)  # one a second
    while simulation.step():
        pass
    assert "24/24 trials" in shown()


def test_who_watches_from_elsewhere_sees_the_same(simulate, tmp_path):
    simulation = simulate(**STAGES)
    while not any(trial.epochs == 9 for trial in simulation.state.trials.values()):
        simulation.step()
    snapshot = snapshot_of_results(load_results(tmp_path, simulation.write(tmp_path).name))
    assert snapshot == snapshot_of(simulation.controller)
    assert [(trial.num_epochs, trial.epoch >= 6) for trial in snapshot.running] == [(30, True)] * 2
    assert snapshot.epochs_to_come == sum(30 - trial.epoch for trial in snapshot.running)
