"""What the training batches reach, beside validation: in reports, in words, and in the live view."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from balltrain.records.results import Results
from balltrain.reporting.findings import findings
from balltrain.reporting.live import View
from balltrain.reporting.progress import best_trial, learning_curves
from balltrain.reporting.snapshot import LiveSnapshot, snapshot_of, snapshot_of_results
from balltrain.reporting.wandb_report import SPECIFICATION, publish
from balltrain.tasks.base import Task

Run = Callable[..., Results]


def figures(html: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', html)]


def test_the_report_has_curves_of_both_and_of_the_seconds(sweep: Run, measured: Task):
    results = sweep(task=measured, trials=4)
    axes = [figure["layout"]["yaxis"]["title"]["text"] for figure in figures(learning_curves(results))]
    assert axes == ["iou", "train_iou", "val_loss", "train_loss", "seconds an epoch"]
    _, metrics, seconds = figures(best_trial(results))
    styles = {trace["name"]: trace["line"] for trace in metrics["data"]}
    assert list(styles) == ["iou", "train_iou", "map", "train_map"]
    assert styles["train_iou"] == {**styles["iou"], "dash": "dash"}
    (curve,) = seconds["data"]
    assert curve["y"] == results.epochs[results.epochs.trial_id == results.best.trial_id].seconds.tolist()


def test_findings_name_the_gap(sweep: Run, measured: Task):
    results = sweep(task=measured, trials=4)
    best = results.epochs[results.epochs.trial_id == results.best.trial_id]["metric.iou"].max()
    (line,) = [line for line in findings(results) if "in training" in line]
    assert f"iou is {1.25 * best:.4g} in training and {best:.4g} in validation, a gap of {0.25 * best:.2g}" in line


def test_without_figures_of_training_there_is_no_gap_to_name(sweep: Run, accurate: Task):
    results = sweep(task=accurate, trials=4)
    assert not [line for line in findings(results) if "in training" in line]
    assert results.training_column("metric.iou") is None


def panel(snapshot: LiveSnapshot) -> str:
    console = Console(width=100, height=30, color_system=None)
    with console.capture() as captured:
        console.print(View().render(snapshot, 100, 30))
    return captured.get()


def test_the_live_view_has_both_curves_here_and_elsewhere(simulate, measured: Task, tmp_path: Path):
    from balltrain.records.results import load_results

    simulation = simulate(task=measured)
    for _ in range(20):
        simulation.step()
    snapshots = [snapshot_of(simulation.controller)]
    snapshots.append(snapshot_of_results(load_results(tmp_path, simulation.write(tmp_path).name)))
    for snapshot in snapshots:
        trial = next(trial for trial in snapshot.running if trial.curve)
        assert trial.training == tuple(1.25 * value for value in trial.curve)
        assert panel(snapshot).count("training") == 2
        assert f"{trial.training[-1]:.4g}" in panel(snapshot)


def test_wandbs_report_draws_both_in_one_panel(sweep: Run, measured: Task, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    publish(sweep(task=measured, trials=4), tmp_path)
    grid = json.loads((tmp_path / SPECIFICATION).read_text())["spec"]["blocks"][2]
    panels = [panel["config"] for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]]
    curves = [tuple(config["metrics"]) for config in panels if "metrics" in config]
    assert curves == [("iou", "train_iou"), ("val_loss", "train_loss"), ("map", "train_map"), ("seconds",)]
