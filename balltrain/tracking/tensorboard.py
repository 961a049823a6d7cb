"""Event files for TensorBoard, a folder a trial, with hparams: `tensorboard --logdir runs/NAME/tensorboard`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.state import SweepState, Trial
from balltrain.tracking.snapshots import Snapshots

FOLDER = "tensorboard"
FLUSH_S = 5


class TensorBoardMirror:
    """Written anew from the journal when a sweep is resumed, so that no kill leaves a gap or a row twice."""

    name = "TensorBoard"
    remedy = "the same command with --resume writes it anew"

    def __init__(self, folder: Path, snapshots: Snapshots | None = None):
        self.folder, self.snapshots = folder / FOLDER, snapshots
        self._writers: dict[int, Any] = {}
        self._num_written: dict[int, int] = {}

    def open(self, state: SweepState) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._improves = state.improves

    def update(self, trial: Trial) -> None:
        written = self._num_written.get(trial.number, 0)
        if len(trial.rows) > written:
            self._write(self._writer(trial), trial, written)
        if trial.has_ended and trial.number in self._writers:
            self._end(trial.number)
        elif trial.status == Status.PAUSED and trial.number in self._writers:
            self._writers.pop(trial.number).close()  # many may be paused; another file goes on where this ends

    def close(self, state: SweepState) -> None:
        for number in list(self._writers):
            self._end(number)

    def _writer(self, trial: Trial) -> Any:
        if trial.number not in self._writers:
            from tensorboardX import SummaryWriter
            from tensorboardX.summary import hparams

            writer = SummaryWriter(str(self.folder / trial.trial_id), flush_secs=FLUSH_S)
            experiment, start, _ = hparams(
                {name: _plain(value) for name, value in trial.config.items()},
                {"best_objective": 0.0, "objective": 0.0, c.TRAIN_LOSS: 0.0, c.VAL_LOSS: 0.0},
            )
            writer.file_writer.add_summary(experiment)
            writer.file_writer.add_summary(start)
            self._writers[trial.number] = writer
        return self._writers[trial.number]

    def _write(self, writer: Any, trial: Trial, written: int) -> None:
        best, seconds = None, 0.0
        for number, row in enumerate(trial.rows):
            seconds += row[c.SECONDS]
            if self._improves(row["objective"], best):
                best = row["objective"]
            if number < written:
                continue
            values = {key: row[key] for key in (c.TRAIN_LOSS, c.VAL_LOSS, c.LR, c.SECONDS, "objective")} | row[
                "metrics"
            ]
            for tag, value in {**values, "best_objective": best}.items():
                if value is not None:
                    writer.add_scalar(tag, value, row[c.EPOCH], walltime=(trial.started_at or 0.0) + seconds)
            for number, path in enumerate(self.snapshots.of(trial, row[c.EPOCH]) if self.snapshots else []):
                writer.add_image(f"predictions/{number:02d}", _pixels(path), row[c.EPOCH], dataformats="HWC")
        writer.flush()
        self._num_written[trial.number] = len(trial.rows)

    def _end(self, number: int) -> None:
        from tensorboardX.summary import hparams

        writer = self._writers.pop(number)
        writer.file_writer.add_summary(hparams({}, {})[2])
        writer.close()


def _pixels(path: Path) -> Any:
    """(height, width, 3) uint8."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
