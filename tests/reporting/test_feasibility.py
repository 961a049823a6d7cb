"""What a user reads of trials that broke a constraint."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from balltrain.records.results import Results
from balltrain.reporting.feasibility import broken, in_words, infeasible
from balltrain.reporting.report import write_report
from balltrain.reporting.summary import summary_json
from balltrain.reporting.terminal import print_results

Run = Callable[..., Results]
BOUNDS = {"constraints": ["num_params <= 60000", "iou > 0 from epoch 3", "map < 2"]}


def parameters(config: Any) -> dict[str, float]:
    return {"num_params": 1000.0 * config["width"]}


def test_results_say_which_constraints_were_broken_and_what_it_cost(sweep: Run):
    results = sweep(**BOUNDS, foresee=parameters)
    size, iou = broken(results)
    assert results.counts["infeasible"] == len(size.trial_ids) + len(iou.trial_ids)
    assert (size.epochs, size.untrained) == (0, len(size.trial_ids))
    assert iou.epochs >= 3 * len(iou.trial_ids) > 0
    assert in_words(size) == f"{len(size.trial_ids)} trials broke num_params <= 60000, before the first epoch"
    assert results.counts["failed"] == 0
    assert (results.ranked.num_params <= 60000).all()
    assert results.trials.set_index("trial_id").num_params[size.trial_ids].min() > 60000
    console = Console(file=StringIO(), width=100)
    print_results(results, console)
    assert in_words(iou) in console.file.getvalue()  # type: ignore[attr-defined]


def test_json_has_every_constraint(sweep: Run):
    found = summary_json(sweep(**BOUNDS, foresee=parameters))["constraints"]
    assert [entry["constraint"] for entry in found] == ["num_params <= 60000", "iou > 0 from epoch 3", "map < 2"]
    assert found[2] == {"constraint": "map < 2", "trial_ids": [], "untrained": 0, "epochs": 0}


def test_a_report_has_them_and_one_without_has_no_section(sweep: Run, tmp_path: Path):
    results = sweep(**BOUNDS, foresee=parameters)
    page = write_report(results, tmp_path / "report.html").read_text()
    assert "num_params &lt;= 60000" in page
    assert "before the first epoch" in page
    assert infeasible(sweep(name="plain")) == ""


def test_a_sweep_in_which_all_are_infeasible_has_no_best(sweep: Run):
    results = sweep(trials=3, constraints=["num_params < 1"], foresee=parameters)
    assert results.best is None
    assert results.counts["infeasible"] == 3
