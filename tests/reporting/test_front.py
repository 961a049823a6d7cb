"""What a user reads of a sweep with several objectives."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from balltrain.errors import UsageError
from balltrain.records.results import Results, list_sweeps
from balltrain.reporting.compare import compare
from balltrain.reporting.front import front, front_in_words, growth, trades, volumes
from balltrain.reporting.live import View
from balltrain.reporting.optuna_study import export_study
from balltrain.reporting.report import write_report
from balltrain.reporting.snapshot import snapshot_of, snapshot_of_results
from balltrain.reporting.summary import results_json, summary_json
from balltrain.reporting.terminal import print_comparison, print_results

Run = Callable[..., Results]
THREE = {"objectives": ["val_loss:min", "num_params:min", "epoch_seconds:min"]}
TWO = {"objectives": ["iou:max", "num_params:min"]}


def printed(show: Callable[..., None], *arguments: object) -> str:
    console = Console(file=StringIO(), width=120)
    show(*arguments, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_front_is_what_no_trial_beats(sweep: Run, accurate):
    results = sweep(task=accurate, **TWO)
    figures = results.figures.loc[results.ranked.index]
    on = set(results.front.index)
    for at, (iou, size) in figures.iterrows():
        better = (figures.iou >= iou) & (figures.num_params <= size)
        better &= (figures.iou > iou) | (figures.num_params < size)
        assert better.any() != (at in on)
    assert 1 < len(on) < len(figures)
    assert results.best.objective == results.ranked.objective.max()


def test_tables_and_state_have_the_same_front(simulate, tmp_path: Path):
    from balltrain.records.results import load_results

    bounds = {"constraints": ["num_params <= 90000", "iou > -4"]}
    simulation = simulate(**THREE, **bounds, failing=lambda number: {3: "nan", 5: "broken"}.get(number))
    for _ in range(40):
        simulation.step()
    results = load_results(tmp_path, simulation.write(tmp_path).name)
    state = simulation.state
    assert {"failed", "infeasible", "running"} <= {trial.status for trial in state.trials.values()}
    assert results.front.trial_id.tolist() == [trial.trial_id for trial in state.front]
    assert results.ranked.trial_id.tolist() == [trial.trial_id for trial in state.ranked()]
    assert results.best.trial_id == state.best.trial_id
    for at, row in results.ranked.iterrows():
        trial = state.trials[row.number]
        assert results.figures.loc[at].tolist() == pytest.approx([trial.figure(n) for n in results.figures.columns])
    live, elsewhere = snapshot_of(simulation.controller), snapshot_of_results(results)
    assert "on the front: val_loss" in (live.front or "")
    assert "on the front: val_loss" in (elsewhere.front or "")
    console = Console(file=StringIO(), width=120)
    console.print(View().render(live, 120, 30))
    assert "on the front" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_loss_that_is_not_the_first_objective_is_found(sweep: Run, accurate):
    results = sweep(task=accurate, objectives=["iou:max", "val_loss:min"])
    best = results.best
    rows = results.epochs[(results.epochs.trial_id == best.trial_id) & (results.epochs.epoch == best.best_epoch)]
    assert results.figures.loc[best.name, "val_loss"] == rows.val_loss.item()


def test_json_lists_the_front_with_all_figures(sweep: Run, accurate):
    found = results_json(sweep(task=accurate, **TWO, prefer="iou > 0.5, then num_params"), 3)
    assert found["front"]["objectives"] == ["iou:max", "num_params:min"]
    assert found["front"]["prefer"] == "iou > 0.5, then num_params"
    first = found["front"]["trials"][0]
    assert first["trial_id"] == found["best"]["trial_id"] == found["top"][0]["trial_id"]
    smallest = min(t["figures"]["num_params"] for t in found["front"]["trials"] if t["figures"]["iou"] > 0.5)
    assert first["figures"]["num_params"] == smallest
    assert "front" not in summary_json(sweep(name="one"))


def test_results_say_what_a_trade_costs(sweep: Run, accurate):
    results = sweep(task=accurate, **TWO)
    text = printed(lambda r, console: print_results(r, console), results)
    assert front_in_words(results) in text
    assert f"{len(results.front)} of {len(results.ranked)} trials are on the front: iou " in text
    told = trades(results)
    assert 1 <= len(told) <= 4
    assert all("times) for iou" in line or "num_params" in line for line in told)
    heads = "".join(text.splitlines()[2:4]).replace(" ", "")
    assert "num_" in heads
    assert "front" in heads


def test_the_volume_grows_to_that_of_the_front(sweep: Run):
    results = sweep(**THREE)
    volume = growth(results)["volume"]
    assert volume.is_monotonic_increasing
    assert volume.iloc[-1] == 1
    assert 0 < volumes([results])[0] < 1
    assert volumes([results, results])[0] == volumes([results])[0]


def test_the_report_draws_the_front(sweep: Run, tmp_path: Path):
    results = sweep(**THREE)
    page = write_report(results, tmp_path / "report.html").read_text()
    assert "The front" in page
    assert "no interval can be given" in page
    assert page.count('"the front"') >= 2  # the first objective with each other one
    assert front(sweep(name="one")) == ""


def test_sweeps_of_the_same_objectives_compare_by_their_volumes(sweep: Run):
    one, other = sweep(**THREE), sweep(**THREE, name="few", trials=5)
    found = compare([one, other])
    assert [entry["hypervolume"] for entry in found["sweeps"]] == pytest.approx(volumes([one, other]))
    assert any("hypervolume" in remark for remark in found["remarks"])
    assert "hypervolume" in printed(print_comparison, [one, other])
    with pytest.raises(UsageError, match="they do not compare"):
        compare([one, sweep(name="two", objectives=["val_loss:min", "num_params:min"])])


def test_the_list_of_sweeps_has_the_preferred_one(sweep: Run, tmp_path: Path):
    results = sweep(**THREE, prefer="num_params")
    (entry,) = list_sweeps(tmp_path)
    assert entry["error"] is None
    assert entry["best"] == results.best.objective
    assert results.best.num_params == results.ranked.num_params.min()


def test_an_exported_study_has_all_directions(sweep: Run, tmp_path: Path):
    results = sweep(**THREE)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    export_study(results, url)
    study = optuna.load_study(study_name=results.name, storage=url)
    assert [direction.name for direction in study.directions] == ["MINIMIZE"] * 3
    completed = {trial.user_attrs["trial_id"]: trial.values for trial in study.trials if trial.values}
    at = results.trials.set_index("trial_id").index.get_indexer(list(completed))
    assert list(completed.values()) == [pytest.approx(values) for values in results.figures.iloc[at].to_numpy()]


def test_python_has_the_front_by_trial(sweep: Run, tmp_path: Path):
    import balltrain

    tables = sweep(**THREE)
    found = balltrain.load(tables.name, storage=tmp_path).front
    assert list(found.columns) == ["val_loss", "num_params", "epoch_seconds"]
    assert found.index.tolist() == tables.front.trial_id.tolist()
    sweep(name="one")
    assert len(balltrain.load("one", storage=tmp_path).front) == 1
