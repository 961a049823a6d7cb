"""Predictions of the validation split, drawn while a trial trains, in the run's folder and for mirrors."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from balltrain.errors import BalltrainError
from balltrain.records.state import SweepState, Trial

FOLDER = "pictures"

Pictures = Callable[[Path, Path | None, Path], list[Path]]  # checkpoint, data folder, where to draw -> files drawn


class Snapshots:
    """Every `every` epochs a drawing of a trial's predictions, made once, whoever asks for it first.

    It shows the weights that the trial has saved last, and its folder is called after their epoch: where epochs are
    shorter than a drawing takes, one that came later than was asked for. What was not drawn before the next one was
    due, such as before a resume, is not there. `draw` is what draws a checkpoint's predictions.
    """

    def __init__(self, folder: Path, data_dir: Path | None, every: int, draw: Pictures):
        self.folder, self.data_dir, self.every, self._draw = folder, data_dir, every, draw
        self._lock = threading.Lock()

    def of(self, trial: Trial, epoch: int) -> list[Path]:
        """The pictures that belong to an epoch, in their order; none where it is not one of those that have some."""
        if epoch % self.every:
            return []
        with self._lock:
            is_latest = epoch + self.every > trial.epochs
            if self._drawn(trial, epoch) is None and is_latest:
                self._make(trial, epoch)
            found = self._drawn(trial, epoch)
        return sorted(found.iterdir()) if found else []

    def _drawn(self, trial: Trial, epoch: int) -> Path | None:
        """The drawing of this epoch, or of one before the next is due."""
        folders = (self._folder(trial, number) for number in range(epoch, epoch + self.every))
        return next((folder for folder in folders if folder.is_dir()), None)

    def _folder(self, trial: Trial, epoch: int) -> Path:
        return self.folder / FOLDER / trial.trial_id / f"epoch-{epoch:05d}"

    def _make(self, trial: Trial, epoch: int) -> None:
        from balltrain.training.checkpoint import copy_last

        checkpoint = self.folder / "checkpoints" / trial.trial_id
        with tempfile.TemporaryDirectory(prefix="balltrain-pictures-") as temporary:
            copy, pictures = Path(temporary, "checkpoint"), Path(temporary, "pictures")
            copy.mkdir()
            pictures.mkdir()
            try:
                saved = copy_last(checkpoint, copy)
            except (BalltrainError, OSError):  # deleted meanwhile, as the trial is none of the best
                return
            out = self._folder(trial, saved or epoch)
            drawn = self._draw(checkpoint if saved is None else copy, self.data_dir, pictures)
            if not drawn or out.is_dir():
                return
            new = out.with_name(f".{out.name}.tmp")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            for number, picture in enumerate(drawn):
                shutil.copyfile(picture, new / f"{number:02d}{picture.suffix}")
            new.rename(out)


class FolderMirror:
    """Has the pictures made, also where nobody else asks for them."""

    name = "pictures"
    remedy = "the epochs that follow are drawn"

    def __init__(self, snapshots: Snapshots):
        self.snapshots = snapshots
        self._seen: dict[int, int] = {}

    def open(self, state: SweepState) -> None:
        self._seen = {trial.number: trial.epochs for trial in state.trials.values()}

    def update(self, trial: Trial) -> None:
        for epoch in range(self._seen.get(trial.number, 0) + 1, trial.epochs + 1):
            self.snapshots.of(trial, epoch)
        self._seen[trial.number] = trial.epochs

    def close(self, state: SweepState) -> str | None:
        due = any(trial.epochs >= self.snapshots.every for trial in state.trials.values())
        if not due or (self.snapshots.folder / FOLDER).is_dir():
            return None
        return "none were drawn: the task draws no predictions, or checkpoints and data are not on this machine"
