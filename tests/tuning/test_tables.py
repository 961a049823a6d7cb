import json
import math

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from balltrain.tasks import task_ref
from balltrain.tuning.tables import EPOCHS, TRIALS, epochs_schema, trials_schema, write_tables


def tables(sim, folder):
    write_tables(sim.state, sim.controller.plan.task, folder)
    return pd.read_parquet(folder / TRIALS), pd.read_parquet(folder / EPOCHS)


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
        return pq.read_schema(folder / TRIALS), pq.read_schema(folder / EPOCHS)

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
    assert trials["metric.iou"] == pa.float64()
    assert epochs_schema(task).names[:8] == [
        "sweep", "trial_id", "epoch", "seconds", "lr", "train_loss", "val_loss", "decision",
    ]  # fmt: skip


def test_lists_are_json(make_toy_plan, simulate, tmp_path):
    from balltrain.tuning.tables import trial_rows

    task = task_ref("detect").load()
    sim = simulate(make_toy_plan(trials=1))
    sim.controller.next_attempt()
    sim.state.trials[0].config = task.Hyperparameters(fully_connected=(64, 128)).model_dump(mode="json")
    (row,) = trial_rows(sim.state, task, tmp_path)
    assert json.loads(row["config.fully_connected"]) == [64, 128]
    assert row["config.model"] == task.Hyperparameters().model
