"""`trial`, which a function that trains is given: what it is to train, where it stands, and who is told."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import ReportError
from balltrain.programs.program import ProgramAttempt, row_of
from balltrain.programs.saved import put_back, read_back, state_of
from balltrain.training.rows import EpochRow
from balltrain.training.seeds import epoch_seed

if TYPE_CHECKING:
    import torch

FILES = "files"  # in a trial's folder: those that the function writes
BEST = "best.pt"  # beside state.pt: what was saved with the best epoch


class Trial:
    """One trial, as its function sees it.

    Attributes:
        config: The hyperparameters, a dict: those of the space and the fixed ones, and `epochs`.
        number: Of the trial in its sweep, from 0.
        seed: Its seed. Python, NumPy and torch, where they are imported, have it when the function starts. Each epoch
            of `epochs()` begins with one of its own: a trial that is resumed draws what it would have drawn.
        rank: Number of this worker, from 0; of one worker 0.
        world_size: How many workers train the trial together.
        fold: Number of the fold that is left out of training, from 0, and how many folds there are, of a sweep with
            `folds`; else None.
        folder: For the function's own files, kept with the checkpoint; pictures in `pictures/` are in the report.
            With several workers each has the same one, or, on other machines, its own.

    Example:
        >>> def train(trial):
        ...     x = 0.0
        ...     for epoch in trial.epochs():
        ...         x += trial.config["lr"]
        ...         trial.report(loss=(x - 1) ** 2)
    """

    def __init__(
        self, attempt: ProgramAttempt, objective: str, mode: str, report: Callable[[EpochRow], None]
    ) -> None:
        from balltrain.training.checkpoint import load_state

        self._attempt, self._objective, self._mode, self._report = attempt, objective, mode, report
        self.config, self.number, self.seed = dict(attempt.config), attempt.number, attempt.seed
        self.rank, self.world_size, self.fold = attempt.rank, attempt.world_size, attempt.fold
        self.folder: Path = attempt.folder / FILES
        self.folder.mkdir(parents=True, exist_ok=True)
        state = load_state(attempt.folder) if (attempt.folder / "state.pt").exists() else None
        self._rows: list[EpochRow] = [] if state is None else state["rows"]
        self._saved: dict[str, Any] = {} if state is None else state["saved"]
        self._goes_on = state is not None
        self._kept: dict[str, Any] = {}  # objects that each report saves
        self._to_save: dict[str, Any] | None = None
        self._began = time.monotonic()
        seed_all(self.seed)
        if self.world_size > 1:
            self._meet()
        for row in self._rows[attempt.reported_epochs :]:  # saved, and not reported: a kill came between
            self._report(row)

    @property
    def device(self) -> torch.device:
        """The GPU that the trial holds, else the CPU."""
        from balltrain.training.workers import pick_device

        return pick_device(self._attempt.gpus)

    @property
    def epoch(self) -> int:
        """The last epoch that has been reported, 0 before the first."""
        return len(self._rows)

    @property
    def ended(self) -> bool:
        """Whether the last epoch has been reported, or patience has ended: for loops that are not over `epochs()`."""
        if len(self._rows) >= self.config["epochs"]:
            return True
        patience = self.config.get("patience")
        return patience is not None and len(self._rows) - self._best_epoch() >= patience

    @property
    def saved(self) -> dict[str, Any]:
        """What `save` has kept, as the last report left it; empty in a trial that begins."""
        return {name: read_back(value) for name, value in self._saved.items() if name not in self._kept}

    def epochs(self) -> Iterator[int]:
        """The epochs that are left, numbered from 1: after what was saved, to the last or the end of patience."""
        while not self.ended:
            before = len(self._rows)
            seed_all(epoch_seed(self.seed, before + 1, 0))  # the same on each worker: they may share one shuffle
            yield before + 1
            if len(self._rows) == before:
                raise ReportError(
                    f"epoch {before + 1} ended without trial.report(): report its figures in the loop over "
                    "trial.epochs()"
                )

    def restore(self, **objects: Any) -> bool:
        """Load the trial's checkpoint into objects, where there is one; from now on each report saves them.

        Args:
            **objects: What has `state_dict` and `load_state_dict`: models, optimisers, schedules; or dicts of
                tensors, arrays and numbers.

        Returns:
            Whether there was a checkpoint.

        Raises:
            ReportError: A state does not fit its object, or the checkpoint has none of that name.
        """
        for name, value in objects.items():
            if self._goes_on:
                if name not in self._saved:
                    raise ReportError(f"trial.restore: the checkpoint has no {name}: it has {sorted(self._saved)}")
                put_back(name, value, read_back(self._saved[name]))
            self._kept[name] = value
        return self._goes_on

    def save(self, **values: Any) -> None:
        """Keep values with the epoch that is reported next: tensors, arrays, numbers, texts, lists and dicts of them.

        A trial that goes on finds them in `trial.saved`. Without any, what is kept is how far the trial came: for
        functions that write their own files to `trial.folder`.
        """
        self._to_save = {name: state_of(name, value) for name, value in values.items()}

    def report(self, **figures: Any) -> None:
        """Report an epoch's figures: saved first, then journalled. Does not return where the trial is stopped.

        Args:
            **figures: Numbers by name, of any library; one of them is the sweep's objective. Those that an epoch does
                not have may be left out.

        Raises:
            ReportError: A figure is no number, the first report lacks the objective, or the last epoch was
                reported before.
        """
        epoch = len(self._rows) + 1
        if epoch > self.config["epochs"]:
            raise ReportError(
                f"trial.report() after epoch {self.config['epochs']}, the last: loop over trial.epochs(), which ends"
            )
        now = time.monotonic()
        # of several workers the first one's figures count
        own = figures if self.rank == 0 else {}
        first = epoch == 1 and self.rank == 0
        seconds = now - self._began
        row = row_of(epoch, own, self._objective, seconds=seconds, is_first=first, what="trial.report")
        if self.world_size > 1:
            row["objective"] = self._of_first_worker(row["objective"])  # type: ignore[typeddict-item]  # may be None
        self._began = now
        self._rows.append(row)
        self._save_state()
        if epoch > self._attempt.reported_epochs:
            self._report(row)

    def _save_state(self) -> None:
        """Before the row is reported, so that an epoch that is known is not trained again."""
        if not self._kept and self._to_save is None:
            return
        saved = {name: state_of(name, value) for name, value in self._kept.items()}
        self._saved = {**saved, **(self._to_save or {})}
        self._to_save = None
        if self.rank > 0:
            return
        from balltrain.training.checkpoint import save_state

        row = self._rows[-1]
        if self._best_epoch() == row["epoch"]:
            best = {"epoch": row["epoch"], "objective": row["objective"], "saved": self._saved}
            save_state(self._attempt.folder, best, BEST)
        save_state(self._attempt.folder, {"rows": self._rows, "saved": self._saved})

    def _best_epoch(self) -> int:
        """The first that has the best objective, 0 before there is one."""
        sign = 1.0 if self._mode == "min" else -1.0
        values = [(sign * row["objective"], row["epoch"]) for row in self._rows if row["objective"] is not None]
        return min(values, default=(0.0, 0))[1]

    def _meet(self) -> None:
        """Let no worker train before all have read the checkpoint. Raises ReportError where they see another one."""
        first = self._of_first_worker(len(self._rows))
        if first is not None and first != len(self._rows):
            raise ReportError(
                f"worker {self.rank} sees {len(self._rows)} epochs of the checkpoint in {self._attempt.folder}, and "
                f"worker 0 sees {first:g}: have all nodes share the storage, or give a bucket (--storage s3://…)"
            )

    def _of_first_worker(self, value: float | None) -> float | None:
        """A number as worker 0 has it: else patience would end the epochs of one worker, for which others wait."""
        import torch
        from torch import distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            return value
        told = torch.tensor([value is not None, value or 0.0], dtype=torch.float64, device=self.device)
        distributed.broadcast(told, src=0)
        known, number = told.tolist()
        return number if known else None


def seed_all(seed: int) -> None:
    """Python's generator, and those of NumPy and torch where they are imported."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)
