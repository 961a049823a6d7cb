"""W&B in the trial's own process: group = sweep, id = trial, one row an epoch. Never fails a trial."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.base import Task

PROJECT = "balltrain"  # WANDB_PROJECT changes it
MODES = ("auto", "online", "offline", "off")

logger = logging.getLogger(__name__)


def resolve_mode(mode: str) -> str:
    """`auto` is online where there is a key, else offline. Raises BalltrainError for `online` without a key."""
    if mode not in MODES:
        raise UsageError(f"unknown --wandb mode {mode!r}: choose one of {', '.join(MODES)}")
    if mode == "auto":
        return "online" if has_key() else "offline"
    if mode == "online" and not has_key():
        raise BalltrainError("W&B has no key: run `wandb login` or set WANDB_API_KEY, or use --wandb offline")
    return mode


def has_key() -> bool:
    """A key in the environment or where `wandb login` leaves it; looked up without importing wandb."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].split("/")[0]
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbRun:
    """The run of a trial; the same id when the trial is resumed. `off` does nothing and imports nothing."""

    def __init__(self, mode: str, folder: Path, sweep: str, task: Task, trial_id: str, config: dict[str, Any]):
        self.mode, self.folder = mode, folder
        self.sweep, self.task, self.trial_id, self.config = sweep, task, trial_id, config
        self._run: Any = None

    def __enter__(self) -> WandbRun:
        if self.mode != "off":
            self._guarded(self._start)
        return self

    def __exit__(self, *_: Any) -> None:
        # also when the scheduler stops the trial, which ends the training thread by SystemExit
        if self._run is not None:
            self._guarded(self._run.finish)

    def log(self, row: dict[str, Any]) -> None:
        """One epoch: losses, learning rate and metrics by the names of the results' columns."""
        if self._run is None:
            return
        flat = {key: row[key] for key in ("epoch", "lr", "train_loss", "val_loss", "seconds", "objective")}
        self._guarded(self._run.log, flat | row["metrics"])

    def _start(self) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=f"{self.sweep}-{self.trial_id}",
            name=f"{self.sweep}/{self.trial_id}",
            group=self.sweep,
            job_type=self.task.name,
            config=self.config,
            dir=str(self.folder),
            mode="online" if self.mode == "online" else "offline",
            resume="allow" if self.mode == "online" else None,
            reinit="finish_previous",
            # each of these costs a trial time and serves nothing here
            settings=wandb.Settings(
                x_disable_stats=True, console="off", disable_git=True, disable_code=True, x_disable_meta=True
            ),
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        self._run.define_metric("objective", step_metric="epoch", summary=self.task.mode)

    def _guarded(self, call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:
            logger.warning("W&B: %s; the trial goes on without it", error)
            self._run = None
