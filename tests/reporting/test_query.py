"""`results`: conditions, orders, CSV, several sweeps beside each other, 10 000 trials."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from balltrain.errors import BalltrainError, UsageError
from balltrain.records import columns as c
from balltrain.records.results import Results, load_results
from balltrain.reporting.compare import compare
from balltrain.reporting.query import select, write_csv
from balltrain.reporting.summary import results_json, summary_json
from balltrain.reporting.terminal import print_comparison, print_results

Run = Callable[..., Results]


def printed(show: Callable[..., None], *arguments) -> str:
    console = Console(file=StringIO(), width=140)
    show(arguments[0], console, *arguments[1:])
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_where_keeps_the_trials_that_fulfil_it(sweep: Run):
    results = sweep()
    found = select(results, "config.lr < 1e-3 and metric.iou > 0.5", None)
    expected = results.ranked[(results.ranked["config.lr"] < 1e-3) & (results.ranked["metric.iou"] > 0.5)]
    assert 0 < len(expected) < 24
    assert list(found.trials.trial_id) == list(expected.trial_id)  # the best first
    assert set(found.epochs.trial_id) == set(expected.trial_id)
    assert "only trials with config.lr < 1e-3" in printed(print_results, found)
    assert results_json(found, top=3)["top"][0]["trial_id"] == expected.trial_id.iloc[0]


def test_where_knows_text_times_truth_and_missing_values(sweep: Run):
    results = sweep(failing=lambda number: "boom" if number == 3 else None)
    assert list(select(results, "status = 'failed' and error like 'bo%'", None).trials.number) == [3]
    assert (
        len(select(results, "config.dropout is null", None).trials) == results.trials["config.dropout"].isna().sum()
    )
    assert len(select(results, "started_at > timestamptz '2020-01-01'", None).trials) == 24
    assert list(select(results, "config.layers = '[16, 32]'", None).trials["config.layers"].unique()) == ["[16, 32]"]


def test_sort_orders_the_table_and_keeps_the_ranks(sweep: Run):
    results = sweep()
    found = select(results, None, "config.lr desc")
    assert list(found.listed["config.lr"]) == sorted(results.ranked["config.lr"], reverse=True)
    assert found.best is not None
    assert results.best is not None
    assert found.best.trial_id == results.best.trial_id
    assert f"1  {results.best.trial_id}" in printed(print_results, found, 100)


@pytest.mark.parametrize(
    ("where", "sort", "parts"),
    [
        ("config.lrr < 1", None, ("--where 'config.lrr < 1'", "lrr", "config.lr")),
        ("config.lr <", None, ("--where 'config.lr <'", "syntax error")),
        ("status", None, ("--where 'status'", "BOOL")),
        ("1 = 1", "nothing", ("--sort 'nothing'", "nothing", "objective")),
        ("(select count(*) from '/etc/passwd') > 0", None, ("--where", "does not exist")),
    ],
)
def test_a_wrong_condition_is_quoted_with_the_columns_there_are(sweep: Run, where: str, sort: str | None, parts):
    with pytest.raises(UsageError) as error:
        select(sweep(trials=4), where, sort)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_a_condition_that_no_trial_fulfils_shows_none(sweep: Run):
    found = select(sweep(), "objective > 1e9", None)
    assert summary_json(found)["best"] is None
    assert "No trial has a val_loss" in printed(print_results, found)


def test_of_a_selection_the_checkpoint_is_the_trials_own(sweep: Run):
    results = sweep()
    last = results.ranked.trial_id.iloc[-1]
    for folder in ("best", f"checkpoints/{last}"):
        (results.folder / folder).mkdir(parents=True)
    assert select(results, f"trial_id = '{last}'", None).checkpoint.name == last


def test_csv_has_every_row_in_the_order_asked_for(sweep: Run, tmp_path: Path):
    results = sweep(failing=lambda number: "boom" if number == 3 else None)
    write_csv(select(results, None, "number desc"), tmp_path / "trials.csv")
    table = pd.read_csv(tmp_path / "trials.csv")
    assert list(table.number) == list(range(23, -1, -1))
    assert set(table.columns) == set(results.trials.columns)
    with pytest.raises(BalltrainError, match=r"cannot write .*--csv"):
        write_csv(results, tmp_path / "nowhere" / "trials.csv")


def test_sweeps_are_compared_in_full_and_at_equal_epochs(sweep: Run):
    long, brief = sweep(trials=30, name="long"), sweep(trials=6, name="brief", scheduler="none")
    found = json.loads(json.dumps(compare([long, brief]), allow_nan=False))
    assert found["equal_epochs"] == min(long.num_epochs, brief.num_epochs)
    assert long.best is not None
    assert found["sweeps"][0]["best"]["objective"] == long.best.objective
    assert found["sweeps"][0]["best_at_equal_epochs"] >= long.best.objective
    text = printed(print_comparison, [long, brief])
    for part in ("long has the best val_loss", "random + asha", "random + none", "scheduler", "activation"):
        assert part in text


def test_sweeps_on_other_data_or_of_another_objective_are_not_compared_in_silence(sweep: Run, accurate):
    first, second = sweep(trials=3, name="first"), sweep(trials=3, name="second")
    assert "different data" not in str(compare([first, second])["remarks"])
    second.sweep["data_fingerprint"] = "0" * 64
    assert "different data" in str(compare([first, second])["remarks"])
    with pytest.raises(UsageError, match=r"val_loss \(min\) and third has iou \(max\): they do not compare"):
        compare([first, sweep(trials=3, name="third", task=accurate)])


def test_sweeps_without_any_objective_compare(sweep: Run):
    failed = sweep(trials=2, name="failed", failing=lambda number: "boom")
    assert compare([failed, sweep(trials=2)])["sweeps"][0]["best_at_equal_epochs"] is None
    assert "failed" in printed(print_comparison, [failed, sweep(trials=2)])


def test_an_unknown_name_suggests_the_nearest(sweep: Run, tmp_path: Path):
    for name in ("detect-heatmap", "forecast"):
        sweep(trials=1, name=name)
    with pytest.raises(BalltrainError, match=r"no sweep 'detect-heatmpa' in .*: did you mean detect-heatmap\?"):
        load_results(tmp_path, "detect-heatmpa")


@pytest.mark.parametrize("file", [c.TRIALS_FILE, c.EPOCHS_FILE])
def test_a_table_of_a_newer_version_says_to_upgrade(sweep: Run, tmp_path: Path, file: str):
    path = sweep().folder / file
    table = pq.read_table(path)
    assert table.schema.metadata[c.VERSION_MARK] == b"1"
    pq.write_table(table.replace_schema_metadata({c.VERSION_MARK: b"2"}), path)
    with pytest.raises(BalltrainError, match=rf"{file} is of version 2, .* reads up to 1: upgrade"):
        load_results(tmp_path, "bowl-1")
    pq.write_table(table.replace_schema_metadata(None).append_column("new", pa.nulls(len(table))), path)
    assert load_results(tmp_path, "bowl-1").epochs is not None  # older ones, and columns we do not know, are read


def test_a_table_of_another_program_is_named(sweep: Run, tmp_path: Path):
    pq.write_table(pa.table({"a": [1]}), sweep().folder / c.TRIALS_FILE)
    with pytest.raises(BalltrainError, match=r"trials.parquet has no column 'trial_id'"):
        load_results(tmp_path, "bowl-1")


def test_ten_thousand_trials_are_chosen_and_printed(sweep: Run):
    few = sweep()
    repeats = -(-10_000 // len(few.trials))
    trials = pd.concat([few.trials] * repeats, ignore_index=True).head(10_000)
    numbers = np.arange(len(trials))
    trials = trials.assign(number=numbers, trial_id=[f"{number:05d}" for number in numbers])
    many = replace(few, trials=trials)
    select(few, "config.lr > 0", None)  # imports
    start = time.monotonic()
    text = printed(print_results, select(many, "config.lr > 0", "objective desc"))
    assert time.monotonic() - start < 15  # a loop over rows takes minutes; benchmarks/reading.py has the figure
    assert "10000 of 24 trials" in text or "10000 trials" in text


def test_a_condition_that_parts_repeats_from_what_they_repeat_confirms_nothing(sweep: Run):
    results = sweep(trials=8, confirm=3)
    found = select(results, "confirms is not null", None)
    assert len(found.trials) == 9
    assert found.confirmed == ([], None)
    assert found.best is None
    assert "only trials with confirms is not null" in printed(print_results, found)
