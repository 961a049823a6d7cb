"""The journal compacted to Parquet: `trials.parquet` and `epochs.parquet`, with the columns of `columns.py`.

The types follow from the task alone, never from the values at hand: any mix of trials has the same schema. The
metrics of a program are those that it has reported so far.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from balltrain import durable
from balltrain.programs.program import Program
from balltrain.records import columns as c
from balltrain.records.figures import NUM_PARAMS
from balltrain.records.journal import tail_journal
from balltrain.records.state import SweepState
from balltrain.tasks.base import Trainable
from balltrain.training.rows import EpochRow
from balltrain.training.running import training_names

TIMESTAMP = pa.timestamp("us", tz="UTC")
SCALARS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def write_tables(state: SweepState, task: Trainable, folder: Path) -> None:
    """Both tables, each replaced whole: a reader sees the old or the new one."""
    names = reported_names(state) if isinstance(task, Program) else []
    trials, epochs = trial_rows(state, task, folder), epoch_rows(state, task)
    _write(pa.Table.from_pylist(trials, trials_schema(task, names)), folder / c.TRIALS_FILE)
    _write(pa.Table.from_pylist(epochs, epochs_schema(task, names)), folder / c.EPOCHS_FILE)


class FollowingTables:
    """The tables of a sweep that runs, from its journal: each `write` reads what is new in it alone."""

    def __init__(self, folder: Path, task: Trainable):
        self.folder, self.task = folder, task
        self._state, self._new = SweepState(), tail_journal(folder)

    def write(self) -> None:
        try:
            for line in next(self._new):
                self._state.apply(line)
        except BaseException:  # next time from the journal's begin
            self._state, self._new = SweepState(), tail_journal(self.folder)
            raise
        if self._state.sweep:
            write_tables(self._state, self.task, self.folder)


def reported_names(state: SweepState) -> list[str]:
    """Of the figures that a program has reported, in the order in which they came."""
    rows = [row for trial in state.trials.values() for row in trial.rows]
    return list(dict.fromkeys(name for row in rows for name in row["metrics"]))


def trials_schema(task: Trainable, reported: Sequence[str] = ()) -> pa.Schema:
    fields: list[tuple[str, pa.DataType] | pa.Field] = [
        (c.SWEEP, pa.string()),
        (c.TASK, pa.string()),
        (c.TRIAL_ID, pa.string()),
        (c.NUMBER, pa.int64()),
        (c.STATUS, pa.string()),
        (c.OBJECTIVE, pa.float64()),
        (c.BEST_EPOCH, pa.int64()),
        (c.EPOCHS, pa.int64()),
        (c.SECONDS, pa.float64()),
        (c.STARTED_AT, TIMESTAMP),
        (c.ENDED_AT, TIMESTAMP),
        (c.ERROR, pa.string()),
        (c.CHECKPOINT, pa.string()),
        (c.NODE, pa.string()),
        (c.SEED, pa.int64()),
        (c.NUM_PARAMS, pa.int64()),
        (c.DATA_FINGERPRINT, pa.string()),
    ]
    for name, info in task.Hyperparameters.model_fields.items():
        fields.append(_config_field(name, info.annotation))
    fields += _metric_fields(task, reported)
    fields += [(c.FOLD, pa.int64()), (c.DIGEST, pa.string()), (c.FIRST_LOSS, pa.float64())]
    fields += [(c.START, pa.int64()), (c.CONTINUED_AFTER, pa.int64()), (c.LATENCY, pa.float64())]
    return pa.schema([*fields, *((name, pa.string()) for name in (c.SAME_AS, c.CONFIRMS, c.STOPPED_BY))])


def epochs_schema(task: Trainable, reported: Sequence[str] = ()) -> pa.Schema:
    fields = [
        (c.SWEEP, pa.string()),
        (c.TRIAL_ID, pa.string()),
        (c.EPOCH, pa.int64()),
        (c.SECONDS, pa.float64()),
        (c.LR, pa.float64()),
        (c.TRAIN_LOSS, pa.float64()),
        (c.VAL_LOSS, pa.float64()),
        (c.DECISION, pa.string()),
    ]
    return pa.schema([*fields, *_metric_fields(task, reported), (c.REPORTED_AT, TIMESTAMP)])


def trial_rows(state: SweepState, task: Trainable, folder: Path) -> list[dict[str, Any]]:
    name, fingerprint = state.sweep["name"], state.sweep["data_fingerprint"]
    fields = {field.name: field for field in trials_schema(task)}
    rows = []
    for trial in state.trials.values():
        first: Mapping[str, Any] = trial.rows[0] if trial.rows else {}
        row = {
            c.SWEEP: name,
            c.TASK: task.name,
            c.TRIAL_ID: trial.trial_id,
            c.NUMBER: trial.number,
            c.STATUS: trial.status,
            c.OBJECTIVE: trial.objective,
            c.BEST_EPOCH: trial.best["epoch"] if trial.best else None,
            c.EPOCHS: trial.epochs,
            c.SECONDS: sum(row["seconds"] or 0.0 for row in trial.rows),
            c.STARTED_AT: _microseconds(trial.started_at),
            c.ENDED_AT: _microseconds(trial.ended_at),
            c.ERROR: trial.error,
            c.CHECKPOINT: str(folder / "checkpoints" / trial.trial_id) if trial.has_checkpoint else None,
            c.NODE: trial.node,
            c.SEED: trial.seed,
            c.NUM_PARAMS: first.get("num_params", _whole(trial.known.get(NUM_PARAMS))),
            c.DATA_FINGERPRINT: fingerprint,
        }
        for key, value in trial.config.items():
            column = c.CONFIG_PREFIX + key
            if column in fields:
                is_json = value is not None and c.JSON_MARK in (fields[column].metadata or {})
                row[column] = json.dumps(value) if is_json else value
        for column, other in ((c.SAME_AS, trial.same_as), (c.CONFIRMS, trial.confirms)):
            row[column] = None if other is None else state.trials[other].trial_id
        row |= {c.START: first.get("start"), c.CONTINUED_AFTER: trial.continued_after, c.STOPPED_BY: trial.stopped_by}
        row[c.LATENCY] = first.get(c.LATENCY)
        row |= {c.FOLD: trial.fold, c.DIGEST: first.get("digest"), c.FIRST_LOSS: first.get("first_loss")}
        rows.append(row | _metrics(trial.best))
    return rows


def epoch_rows(state: SweepState, task: Trainable) -> list[dict[str, Any]]:
    name = state.sweep["name"]
    plain = (c.EPOCH, c.SECONDS, c.LR, c.TRAIN_LOSS, c.VAL_LOSS, c.DECISION)
    found = []
    for trial in state.trials.values():
        for row, reported_at in zip(trial.rows, trial.times, strict=True):
            values: Mapping[str, Any] = row
            own = {**{key: values[key] for key in plain}, c.REPORTED_AT: _microseconds(reported_at)}
            found.append({c.SWEEP: name, c.TRIAL_ID: trial.trial_id, **own, **_metrics(row)})
    return found


def _metric_fields(task: Trainable, reported: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    names = (*task.metric_names, *training_names(task), *reported)
    return [(c.METRIC_PREFIX + name, pa.float64()) for name in names]


def _metrics(row: EpochRow | None) -> dict[str, float]:
    return {c.METRIC_PREFIX + name: value for name, value in (row["metrics"] if row else {}).items()}


def _config_field(name: str, annotation: Any) -> pa.Field:
    """The column of a hyperparameter; lists and choices of several types are JSON text, and marked so."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [argument for argument in typing.get_args(annotation) if argument is not type(None)]
        annotation = inner[0] if len(inner) == 1 else object
    if typing.get_origin(annotation) is typing.Literal:
        kinds = {type(value) for value in typing.get_args(annotation)}
        annotation = kinds.pop() if len(kinds) == 1 else object
    if annotation in SCALARS:
        return pa.field(c.CONFIG_PREFIX + name, SCALARS[annotation])
    return pa.field(c.CONFIG_PREFIX + name, pa.string(), metadata={c.JSON_MARK: b"1"})


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e6)


def _write(table: pa.Table, path: Path) -> None:
    table = table.replace_schema_metadata({c.VERSION_MARK: str(c.TABLES_VERSION)})
    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd")
    durable.replace(path, memoryview(content.getvalue()))
