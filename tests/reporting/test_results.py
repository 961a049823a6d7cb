from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from balltrain.errors import BalltrainError
from balltrain.records.results import Results, list_sweeps, load_results
from balltrain.reporting.failures import failures
from balltrain.reporting.occupancy import running_seconds
from balltrain.reporting.progress import distribution
from balltrain.reporting.summary import results_json, summary_json
from balltrain.reporting.terminal import print_results, print_sweeps
from balltrain.reporting.text import duration, short

Run = Callable[..., Results]


def one_fails_and_one_is_nan(number: int) -> str | None:
    return {3: "nan", 5: "OutOfMemoryError: tried 2 GiB [/] <b>"}.get(number)


def printed(results: Results, width: int = 80, top: int = 10) -> str:
    console = Console(file=StringIO(), width=width)
    print_results(results, console, top)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_best_is_the_lowest_loss_of_the_trials_that_did_not_fail(sweep: Run):
    results = sweep(failing=one_fails_and_one_is_nan)
    valid = results.trials[results.trials.status != "failed"]
    assert results.best is not None
    assert results.best.objective == valid.objective.min()
    assert results.counts["failed"] == len(results.failed) == 2
    assert sum(results.counts.values()) == len(results.trials) == 24


def test_best_is_the_highest_where_the_task_maximises(sweep: Run, accurate):
    results = sweep(task=accurate)
    assert results.best is not None
    assert results.best.objective == results.trials.objective.max()
    assert list(results.ranked.objective) == sorted(results.ranked.objective, reverse=True)


def test_a_failed_trial_never_wins_however_good_its_last_epoch(sweep: Run):
    results = sweep()
    trials = results.trials.copy()
    trials.loc[trials.objective.idxmin(), "status"] = "failed"
    changed = replace(results, trials=trials)
    assert changed.best is not None
    assert results.best is not None
    assert changed.best.trial_id != results.best.trial_id


def test_summary_has_the_keys_of_the_contract_and_is_strict_json(sweep: Run):
    results = sweep(failing=one_fails_and_one_is_nan)
    summary = json.loads(json.dumps(summary_json(results), allow_nan=False))
    keys = {"name", "storage", "task", "trials", "completed", "stopped", "failed", "epochs", "best", "seconds"}
    assert keys <= set(summary)
    assert set(summary["best"]) == {"trial_id", "objective", "epoch", "config", "checkpoint"}
    assert summary["best"]["checkpoint"] == str(results.folder / "best")
    assert summary["epochs"] == len(results.epochs)
    assert (summary["trials"], summary["failed"]) == (24, 2)


def test_config_comes_back_with_the_types_it_was_tried_with(sweep: Run, simulate):
    simulation = simulate(trials=6)
    while simulation.step():
        pass
    results = load_results(simulation.write(sweep().folder.parent / "more").parent, "bowl-1")
    for (_, row), trial in zip(results.trials.iterrows(), simulation.state.trials.values(), strict=True):
        assert results.config(row) == trial.config
    config = results.config(results.trials.iloc[0])
    assert isinstance(config["layers"], list)
    assert config["depth"] in ("18", "34")  # text, though it looks like a number
    assert config["note"] == "[1, 2]"  # neither in the space nor set by the sweep
    assert config["kernel"] == "same"  # a choice of text or a number
    assert type(config["width"]) is int
    assert config["heads"] is None


def test_results_json_lists_the_top_trials_failures_and_figures(sweep: Run):
    results = sweep(failing=one_fails_and_one_is_nan)
    answer = json.loads(json.dumps(results_json(results, top=3), allow_nan=False))
    objectives = [trial["objective"] for trial in answer["top"]]
    assert objectives == sorted(results.trials.objective[results.trials.status != "failed"])[:3]
    assert {failure["trial_ids"][0] for failure in answer["failures"]} == {"00003", "00005"}
    assert answer["objectives"]["count"] == 22
    assert set(answer["top"][0]["metrics"]) == {"iou", "map"}


def test_json_of_a_sweep_in_which_all_failed_has_no_best(sweep: Run):
    results = sweep(trials=3, failing=lambda number: "nan")
    answer = json.loads(json.dumps(results_json(results, top=3), allow_nan=False))
    assert answer["best"] is None
    assert answer["top"] == []
    assert answer["failed"] == 3


def test_a_confirmed_winner_is_the_best_and_the_summary_says_whether_the_first_place_held(sweep: Run):
    results = sweep(trials=8, confirm=3)
    summary = summary_json(results)
    found = summary["confirmation"]
    configurations = found["configurations"]
    assert len(results.ranked) + len(results.failed) == 8
    assert [len(entry["objectives"]) for entry in configurations] == [3, 3, 3]
    means = [entry["mean"] for entry in configurations]
    assert means == sorted(means)
    assert found["winner"] == configurations[0]["trial_id"]
    assert found["first_place"] == results.ranked.iloc[0]["trial_id"]
    assert found["first_place_held"] == (found["winner"] == found["first_place"])
    of_winner = results.trials[
        (results.confirms == found["winner"]) | (results.trials["trial_id"] == found["winner"])
    ]
    assert summary["best"]["objective"] == of_winner["objective"].min()
    json.dumps(summary, allow_nan=False)
    (listed,) = list_sweeps(results.folder.parent)
    assert listed["best"] == summary["best"]["objective"]
    text = printed(results)
    assert "mean of new seeds" in text
    assert f"trial {found['winner']}" in text
    assert ("has the best mean" if found["first_place_held"] else "did not hold") in text


def test_before_all_repeats_have_ended_there_is_no_winner(simulate, tmp_path: Path):
    simulation = simulate(trials=4, confirm=2)
    while len(simulation.state.trials) < 8:
        simulation.step()
    results = load_results(tmp_path, simulation.write(tmp_path).name)
    found = summary_json(results)["confirmation"]
    assert (found["winner"], found["first_place_held"]) == (None, None)
    assert summary_json(results)["best"]["trial_id"] == found["first_place"]
    print_results(results, Console(file=StringIO()))


def test_tables_of_the_first_version_are_read(sweep: Run):
    results = sweep()
    path = results.folder / "trials.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["confirms"]), path)
    again = load_results(results.folder.parent, results.name)
    assert summary_json(again)["best"] == summary_json(results)["best"]
    (listed,) = list_sweeps(results.folder.parent)
    assert (listed["error"], listed["best"]) == (None, summary_json(results)["best"]["objective"])


def test_only_hyperparameters_that_differ_are_shown(sweep: Run):
    results = sweep()
    assert "config.batch_size" not in results.varied
    assert "config.lr" in results.varied
    text = printed(results, width=160)
    assert "activation" in text
    assert "batch" not in text


def test_what_a_models_choice_brings_along_is_no_hyperparameter_of_the_search(sweep: Run):
    results = sweep()
    trials = results.trials.assign(**{"config.weight_decay": range(len(results.trials))})
    assert replace(results, trials=trials).varied == results.varied
    unknown = {name: value for name, value in results.sweep.items() if name != "space"}
    assert "config.weight_decay" in replace(results, trials=trials, sweep=unknown).varied


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_cell_is_cut_and_no_line_is_too_wide(sweep: Run, width: int):
    results = sweep(failing=one_fails_and_one_is_nan)
    text = printed(results, width)
    table = [line for line in text.splitlines() if "/tmp" not in line and "balltrain evaluate" not in line]
    assert max(len(line) for line in table) <= width
    assert results.best is not None
    for cell in (results.best.trial_id, short(results.best.objective), f"{results.best.best_epoch}/12"):
        assert cell in text
    assert ("not shown: " in text) == (width < 200)


def test_a_narrow_terminal_leaves_out_the_last_metrics_first(sweep: Run):
    results = sweep(domains={})
    trials = results.trials.drop(columns=results.metrics)
    names = ["a", "b", "of_a_long_heading", "c", "d"]
    for number, name in enumerate(names):
        trials[f"metric.{name}"] = 0.5 + number
    results = replace(results, trials=trials)
    seen = set()
    for width in range(50, 110):
        text = printed(results, width).split("failures")[0]
        shown = [name for number, name in enumerate(names) if f" {0.5 + number} " in text]
        assert shown == names[: len(shown)]
        seen.add(len(shown))
    assert seen >= {1, 2, 3, 4, 5}


def test_top_limits_the_table(sweep: Run):
    results = sweep()
    text = printed(results, top=3)
    shown = [trial_id for trial_id in results.trials.trial_id if trial_id in text]
    assert sorted(shown) == sorted(results.ranked.trial_id[:3])


def test_failures_are_grouped_by_error_whatever_the_numbers_in_it(sweep: Run):
    results = sweep(failing=lambda number: f"worker {number} died" if number in (2, 4, 11) else None)
    ((error, trial_ids),) = failures(results)
    assert (error, sorted(trial_ids)) == ("worker … died", ["00002", "00004", "00011"])
    assert "worker … died" in printed(results)


def test_an_error_with_brackets_is_printed_as_it_is(sweep: Run):
    assert "tried 2 GiB [/] <b>" in printed(sweep(failing=one_fails_and_one_is_nan), width=120)


def test_the_command_for_the_best_checkpoint_is_one_line_to_copy(sweep: Run):
    results = sweep()
    assert "which is not there" in printed(results)
    (results.folder / "best").mkdir()
    assert f"balltrain evaluate {results.folder}/best" in printed(results, width=60).splitlines()


def test_while_the_sweep_runs_the_best_checkpoint_is_the_trials_own(sweep: Run):
    results = sweep()
    assert results.best is not None
    own = results.folder / "checkpoints" / results.best.trial_id
    own.mkdir(parents=True)
    assert results.checkpoint == own
    (results.folder / "best").mkdir()
    assert results.checkpoint == results.folder / "best"


def test_seconds_leave_out_the_pause_before_a_resume(sweep: Run):
    results = sweep(concurrency=1)
    after_pause = results.trials.copy()
    after_pause.loc[after_pause.number >= 12, ["started_at", "ended_at"]] += pd.Timedelta(days=3)
    resumed = replace(results, trials=after_pause)
    assert running_seconds(results) == pytest.approx(running_seconds(resumed))
    assert running_seconds(results) == pytest.approx(results.trials.seconds.sum(), rel=0.3)


def test_seconds_count_trials_beside_each_other_once(sweep: Run):
    trials = (results := sweep(concurrency=4)).trials
    whole = (trials.ended_at.max() - trials.started_at.min()).total_seconds()
    assert running_seconds(results) == pytest.approx(whole)


def test_a_sweep_may_be_named_by_its_folder(sweep: Run):
    results = sweep()
    assert load_results(Path("elsewhere"), str(results.folder)).name == "bowl-1"


def test_an_unknown_name_says_which_there_are(sweep: Run, tmp_path: Path):
    for number in range(7):
        sweep(trials=1, name=f"sweep-{number}", start=1.79e9 + number)
    with pytest.raises(BalltrainError, match=r"no sweep 'detect' in .*: it has sweep-6, .*sweep-2 and 2 more"):
        load_results(tmp_path, "detect")


def test_a_storage_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(BalltrainError, match="there is no folder"):
        load_results(tmp_path / "nowhere", "detect")
    with pytest.raises(BalltrainError, match="there is no folder"):
        list_sweeps(tmp_path / "nowhere")
    with pytest.raises(BalltrainError, match="holds none"):
        load_results(tmp_path, "detect")


def test_a_sweep_without_tables_has_just_begun(sweep: Run, tmp_path: Path):
    (sweep().folder / "epochs.parquet").unlink()
    with pytest.raises(BalltrainError, match=r"no epochs.parquet yet: the sweep has just begun"):
        load_results(tmp_path, "bowl-1")


@pytest.mark.parametrize("file", ["sweep.json", "trials.parquet", "epochs.parquet"])
def test_a_damaged_file_is_named_with_what_mends_it(sweep: Run, tmp_path: Path, file: str):
    path = sweep().folder / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BalltrainError, match=rf"cannot read .*{file}.*--resume"):
        load_results(tmp_path, "bowl-1")


def test_list_of_sweeps_is_newest_first_and_tolerates_a_damaged_one(sweep: Run, tmp_path: Path):
    for number, name in enumerate(("old", "new", "broken")):
        sweep(trials=4, name=name, start=1.79e9 + 1000 * number)
    path = tmp_path / "broken" / "trials.parquet"
    path.write_bytes(b"not parquet")
    (tmp_path / "no-sweep").mkdir()
    found = {entry["name"]: entry for entry in list_sweeps(tmp_path)}
    assert list(found) == ["broken", "new", "old"]
    assert "damaged" in found["broken"]["error"]
    assert found["new"]["best"] == load_results(tmp_path, "new").best.objective  # type: ignore[union-attr]
    assert json.dumps(list(found.values()), allow_nan=False)
    console = Console(file=StringIO(), width=80)
    print_sweeps(list(found.values()), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "damaged" in text
    assert "4 trials:" in text


def test_no_sweeps_says_how_to_make_one(tmp_path: Path):
    console = Console(file=StringIO())
    print_sweeps(list_sweeps(tmp_path), console)
    assert "balltrain sweep" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_sweep_that_has_just_begun_is_shown(simulate, tmp_path: Path):
    simulation = simulate()
    empty = load_results(tmp_path, simulation.write(tmp_path).name)
    assert summary_json(empty)["best"] is None
    assert "0 of 24 trials" in printed(empty)
    simulation.step()
    begun = load_results(tmp_path, simulation.write(tmp_path).name)
    assert "4 of 24 trials: 4 running" in printed(begun)


def test_reading_results_imports_neither_torch_nor_ray():
    code = "import sys, balltrain.reporting.terminal; print({'torch', 'ray', 'pandas', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.2e-5, "3.2e-5"), (1e12, "1e12"), (0.00123456, "0.001235"), (7, "7"), (None, "")],
)
def test_numbers_are_short(value, text: str):
    assert short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "0.05 s"), (42.4, "42 s"), (60, "1 min"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (270000, "3 d 3 h")],
)
def test_durations_have_two_units(seconds: float, text: str):
    assert duration(seconds) == text


THEIRS = {"name": "theirs <1>", "count": 100, "mean": 0.0348, "std": 0.038, "min": 0.00319}
THEIRS |= {"25%": 0.0067, "50%": 0.0187, "75%": 0.0474, "max": 0.156}


def test_what_was_published_is_shown_beside_ours(sweep: Run):
    results = sweep()
    compared = replace(results, sweep={**results.sweep, "reference": THEIRS})
    text = " ".join(printed(compared, width=200).split())
    assert "val_loss of 24 trials: mean" in text
    assert "published, theirs <1>, of 100 trials: mean 0.0348 std 0.038 min 0.00319 25% 0.0067" in text
    assert "Trials that asha stopped count by what they reached" in text
    assert results_json(compared, 3)["reference"] == THEIRS
    page = distribution(compared)
    assert "<td>published, theirs &lt;1&gt;</td>" in page
    assert "<td>this sweep</td>" in page
    assert "<td>0.00319</td>" in page
    assert "Trials that asha stopped" in page


def test_without_a_reference_nothing_is_said_of_one(sweep: Run):
    results = sweep(scheduler="none")
    assert "published" not in printed(results) + distribution(results)
    assert "reference" not in results_json(results, 3)
