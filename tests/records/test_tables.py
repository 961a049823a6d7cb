import json
import math
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from balltrain.records.columns import EPOCHS_FILE, JSON_MARK, TRIALS_FILE, training_column
from balltrain.records.journal import Journal, read_journal
from balltrain.records.state import SweepState
from balltrain.records.tables import FollowingTables, epochs_schema, trial_rows, trials_schema, write_tables
from balltrain.tasks import task_ref
from balltrain.tasks.base import Hyperparameters, Task


def tables(sim, folder):
    write_tables(sim.state, sim.controller.plan.task, folder)
    return pd.read_parquet(folder / TRIALS_FILE), pd.read_parquet(folder / EPOCHS_FILE)


def test_a_row_for_each_trial_and_each_epoch(make_toy_plan, simulate, tmp_path):
    sim = simulate(make_toy_plan(trials=6, epochs=9, grace=1))
    sim.run()
    trials, epochs = tables(sim, tmp_path)
    assert trials["trial_id"].tolist() == [f"{n:05d}" for n in range(6)]
    assert len(epochs) == trials["epochs"].sum()
    best = trials.loc[trials["objective"].idxmin()]
    curve = epochs[epochs["trial_id"] == best["trial_id"]]
    assert best["objective"] == curve["val_loss"].min()
    assert best["metric.error"] == curve["metric.error"].min()
    assert best["config.lr"] == sim.state.trials[int(best["number"])].config["lr"]
    assert str(trials["started_at"].dtype.tz) == "UTC"
    assert best["seconds"] == curve["seconds"].sum()


def test_the_schema_is_the_same_for_any_mix_of_trials(make_toy_plan, simulate, tmp_path):
    def schemas(name, act):
        folder = tmp_path / name
        folder.mkdir()
        sim = simulate(make_toy_plan(trials=2))
        act(sim)
        tables(sim, folder)
        return pq.read_schema(folder / TRIALS_FILE), pq.read_schema(folder / EPOCHS_FILE)

    def fail(sim):
        attempt = sim.controller.next_attempt()
        sim.controller.report(attempt.number, sim.row(attempt, 1, math.nan))

    none, failed, run = (
        schemas("none", lambda _: None),
        schemas("failed", fail),
        schemas("run", lambda sim: sim.run()),
    )
    assert none == failed == run


def test_the_contracts_columns_are_there_with_their_types():
    task = task_ref("detect").load()
    trials = {field.name: field.type for field in trials_schema(task)}
    assert list(trials)[:17] == [
        "sweep", "task", "trial_id", "number", "status", "objective", "best_epoch", "epochs", "seconds",
        "started_at", "ended_at", "error", "checkpoint", "node", "seed", "num_params", "data_fingerprint",
    ]  # fmt: skip
    assert trials["config.lr"] == pa.float64()
    assert trials["config.epochs"] == pa.int64()
    assert trials["config.batch_norm"] == pa.bool_()
    assert trials["config.patience"] == pa.int64()
    assert trials["config.layers"] == pa.string()
    assert trials["metric.iou"] == trials["metric.train_iou"] == pa.float64()
    assert epochs_schema(task).names[:8] == [
        "sweep", "trial_id", "epoch", "seconds", "lr", "train_loss", "val_loss", "decision",
    ]  # fmt: skip


def test_lists_are_json(make_toy_plan, simulate, tmp_path):
    task = task_ref("detect").load()
    sim = simulate(make_toy_plan(trials=1))
    sim.controller.next_attempt()
    sim.state.trials[0].config = task.Hyperparameters(fully_connected=(64, 128)).model_dump(mode="json")
    (row,) = trial_rows(sim.state, task, tmp_path)
    assert json.loads(row["config.fully_connected"]) == [64, 128]
    assert row["config.model"] == task.Hyperparameters().model


class Marked(Task):
    class Hyperparameters(Hyperparameters):
        text: str = ""
        note: str | None = None
        choice: Literal["18", "34"] = "18"
        size: Literal[18, 34] = 18
        rate: float | None = None
        widths: list[int] = []
        mixed: Literal["auto", 3] = "auto"
        either: int | str | None = None

    name = "marked"


def test_columns_that_hold_json_are_marked_in_the_file(make_toy_plan, simulate, tmp_path):
    sim = simulate(make_toy_plan(trials=3), concurrency=3)
    for config in ({"widths": [1]}, {"mixed": 3, "either": 3}, {"text": "[1]", "either": "3"}):
        attempt = sim.controller.next_attempt()
        sim.state.trials[attempt.number].config = Marked.Hyperparameters(**config).model_dump(mode="json")
    write_tables(sim.state, Marked(), tmp_path)
    schema = pq.read_schema(tmp_path / TRIALS_FILE)
    marked = {field.name for field in schema if field.metadata and field.metadata.get(JSON_MARK) == b"1"}
    assert marked == {"config.widths", "config.mixed", "config.either"}
    table = pq.read_table(tmp_path / TRIALS_FILE).to_pydict()
    assert table["config.mixed"] == ['"auto"', "3", '"auto"']
    assert table["config.either"] == [None, "3", '"3"']
    assert table["config.text"] == ["", "", "[1]"]


def test_tables_that_follow_a_journal_are_those_of_all_its_lines(make_toy_plan, simulate, tmp_path):
    plan = make_toy_plan(trials=6, epochs=3, grace=1)
    sim = simulate(plan)
    sim.run()
    journal = Journal(tmp_path)
    journal.append(sim.lines[0])
    following = FollowingTables(tmp_path, plan.task)
    for line in sim.lines[1:]:
        journal.append(line)
        if line["type"] == "end" or line["number"] % 2:
            following.write()
    following.write()
    found = [pq.read_table(tmp_path / name).to_pylist() for name in (TRIALS_FILE, EPOCHS_FILE)]
    journal.close()
    write_tables(SweepState.replay(read_journal(tmp_path)), plan.task, tmp_path)
    assert [pq.read_table(tmp_path / name).to_pylist() for name in (TRIALS_FILE, EPOCHS_FILE)] == found
    assert len(found[0]) == 6


def test_tables_follow_again_after_what_could_not_be_read(make_toy_plan, simulate, tmp_path):
    plan = make_toy_plan(trials=2, epochs=1)
    following = FollowingTables(tmp_path, plan.task)
    with pytest.raises(OSError, match="journal"):
        following.write()
    sim = simulate(plan)
    sim.run()
    journal = Journal(tmp_path)
    for line in sim.lines:
        journal.append(line)
    following.write()
    journal.close()
    assert len(pq.read_table(tmp_path / TRIALS_FILE)) == 2


def test_what_the_first_epoch_shows_and_the_times_are_the_journals(make_toy_plan, simulate, tmp_path):
    sim = simulate(make_toy_plan(trials=1, epochs=2, grace=1))
    attempt = sim.controller.next_attempt()
    first = {**sim.row(attempt, 1), "num_params": 49, "digest": "d", "first_loss": 0.25}
    sim.controller.report(0, first)
    sim.controller.report(0, {**sim.row(attempt, 2), "num_params": None})
    (row,) = trial_rows(sim.state, sim.controller.plan.task, tmp_path)
    assert (row["num_params"], row["digest"], row["first_loss"]) == (49, "d", 0.25)
    trial = sim.state.trials[0]
    assert (row["started_at"], row["ended_at"]) == (trial.started_at * 10**6, trial.ended_at * 10**6)


def test_a_column_has_its_figure_of_the_training_batches():
    found = [training_column(name) for name in ("val_loss", "train_loss", "metric.accuracy")]
    assert found == ["train_loss", None, "metric.train_accuracy"]
