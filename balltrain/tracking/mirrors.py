"""Copies a sweep's numbers to W&B, TensorBoard and MLflow while it runs, from its journal alone.

Each mirror has a thread in the sweep's own process, which reads what is new in the journal file and tells the
mirror of the trials that changed. Trials know nothing of it: a server that is slow, down or refusing costs them
nothing. What could not be sent is tried again with what came later; at the sweep's end for `FLUSH_S` at most.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from balltrain.errors import UsageError
from balltrain.knobs import Panel, knob
from balltrain.records.journal import tail_journal
from balltrain.records.state import SweepState, Trial
from balltrain.search.limits import seconds_of
from balltrain.tracking.hooks import hook_of, template_of
from balltrain.tracking.notices import Notices
from balltrain.tracking.snapshots import FolderMirror, Pictures, Snapshots

POLL_S = 0.5
MAX_PAUSE_S = 30.0  # between two tries of what fails
STALL_S, FLUSH_S = 15.0, 60.0  # how long the end of a sweep waits for a mirror without and with progress


class Mirror(Protocol):
    """What it raises is tried again later: nothing of it may be done twice then. Called by one thread only."""

    name: str
    remedy: str  # what sends what is missing, when the sweep has ended

    def open(self, state: SweepState) -> None:
        """Before anything else; `state` holds what an earlier run of the sweep has left."""

    def update(self, trial: Trial) -> None:
        """A trial that is new, has more rows, or has ended."""

    def close(self, state: SweepState) -> str | None:
        """After the sweep's end or interruption. May return what a user should know, in one line."""


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Where a user wants numbers mirrored, as typed."""

    wandb: str = knob("auto", "W&B: auto (online with a key, else offline), online, offline or off.", Panel.TRACKING)
    wandb_checkpoint: bool = knob(False, "Keep the best checkpoint in W&B, as an artifact.", Panel.TRACKING)
    tensorboard: bool = knob(False, "Write TensorBoard's event files, under <storage>/<name>.", Panel.TRACKING)
    mlflow: str | None = knob(
        None,
        "MLflow server, such as http://host:5000 or sqlite:///mlflow.db.",
        Panel.TRACKING,
        says="none",
        metavar="URI",
    )

    pictures_every: int | None = knob(
        None,
        "Epochs between two drawings of validation predictions, kept in the run's folder.",
        Panel.TRACKING,
        says="none",
        metavar="N",
        minimum=1,
    )
    notify: Sequence[str] | str = knob(
        (),
        "Webhook's URL, $NAME of a variable that holds it, or command, to tell of the end. Repeatable.",
        Panel.TRACKING,
        metavar="URL|COMMAND",
        repeated=True,
    )
    notify_template: str | None = knob(
        None,
        "Text that a notice is sent as, with {text}, {title}, {event}, {name}, {best} and {error}.",
        Panel.TRACKING,
        says="JSON for Slack, Discord and ntfy",
        metavar="TEXT",
    )
    notify_stalled: str | float | None = knob(
        None,
        "Time without the end of an epoch, such as 30m, after which --notify is told.",
        Panel.TRACKING,
        says="never",
        metavar="DURATION",
    )

    def notices(self) -> Notices:
        """Whom to tell. Raises UsageError for what is no URL, a variable that is not there, and without --notify."""
        hooks = tuple(hook_of(text) for text in ([self.notify] if isinstance(self.notify, str) else self.notify))
        if not hooks and (self.notify_template, self.notify_stalled) != (None, None):
            option = "--notify-template" if self.notify_template is not None else "--notify-stalled"
            raise UsageError(f"{option} needs --notify: whom to tell")
        template = None if self.notify_template is None else template_of(self.notify_template)
        stalled = self.notify_stalled
        return Notices(hooks, template, None if stalled is None else seconds_of(stalled, "--notify-stalled"))

    def mirrors(self, pictures: Pictures | None = None) -> Mirrors:
        """What these are on this machine, checked before anything runs; a doubt is said on stderr.

        Raises UsageError for a mode that there is not, BalltrainError where a server or a key is missing.
        """
        from balltrain.tracking.mlflow import check_mlflow
        from balltrain.tracking.wandb import resolve_mode
        from balltrain.tracking.wandb_environment import told_mode

        if self.pictures_every is not None and self.pictures_every < 1:
            raise UsageError(f"--pictures-every is {self.pictures_every}, but must be at least 1")
        mode = resolve_mode(self.wandb)
        if self.wandb_checkpoint and mode == "off":
            by = "--wandb off" if self.wandb == "off" else (told_mode() or ("", "it was told"))[1]
            raise UsageError(f"--wandb-checkpoint needs W&B, which {by} turns off")
        if self.mlflow is not None and (warning := check_mlflow(self.mlflow)):
            print(warning, file=sys.stderr)
        return Mirrors(mode, self.tensorboard, self.mlflow, self.wandb_checkpoint, pictures, self.pictures_every)


@dataclass(frozen=True)
class Mirrors:
    """Which ones a user asked for. `wandb` is online, offline or off; `mlflow` a tracking URI."""

    wandb: str = "off"
    tensorboard: bool = False
    mlflow: str | None = None
    wandb_checkpoint: bool = False
    pictures: Pictures | None = None  # draws a checkpoint's predictions
    pictures_every: int | None = None  # epochs; the best checkpoint's are drawn for W&B alone, once

    def build(self, folder: Path, data_dir: Path | None = None) -> list[Mirror]:
        found: list[Mirror] = []
        snapshots = None
        if self.pictures_every is not None and self.pictures is not None:
            snapshots = Snapshots(folder, data_dir, self.pictures_every, self.pictures)
            found.append(FolderMirror(snapshots))
        if self.wandb != "off":
            from balltrain.tracking.wandb import WandbMirror

            found.append(WandbMirror(self.wandb, folder, data_dir, self.wandb_checkpoint, self.pictures, snapshots))
        if self.tensorboard:
            from balltrain.tracking.tensorboard import TensorBoardMirror

            found.append(TensorBoardMirror(folder, snapshots))
        if self.mlflow is not None:
            from balltrain.tracking.mlflow import MlflowMirror

            found.append(MlflowMirror(self.mlflow))
        return found


NO_MIRRORS = Mirrors()


@contextlib.contextmanager
def mirrored(
    folder: Path, mirrors: Sequence[Mirror], patience: Callable[[float], float] = lambda usual_s: usual_s
) -> Iterator[None]:
    """Follow the journal in `folder` while the block runs. Says on stderr at the end what could not be mirrored.

    `patience` says at the end how long a mirror is waited for.
    """
    feeds = [_Feed(mirror, folder) for mirror in mirrors]
    for feed in feeds:
        feed.start()
    try:
        yield
    finally:
        for feed in feeds:
            feed.ending.set()
        deadline = time.monotonic() + patience(FLUSH_S)
        for feed in feeds:
            if (message := feed.finish(deadline)) is not None:
                print(f"{feed.mirror.name}: {message}", file=sys.stderr)


class _Feed(threading.Thread):
    def __init__(self, mirror: Mirror, folder: Path):
        super().__init__(name=f"mirror-{mirror.name}", daemon=True)
        self.mirror, self.ending = mirror, threading.Event()
        self.progress = 0
        self.message: str | None = None
        self._lines = tail_journal(folder)
        self._state, self._pending = SweepState(), dict[int, None]()
        self._opened, self._num_ended = False, 0
        self._read()  # what an earlier run has left, before this one adds to it

    def run(self) -> None:
        pause, ending = POLL_S, False
        while not ending:
            self.ending.wait(pause)
            ending = self.ending.is_set()  # before the last reading
            try:
                self._work(ending)
                self.message, pause = (self.message if ending else None), POLL_S
            except Exception as error:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                self.message = f"not everything could be sent ({reason}); {self.mirror.remedy}"
                pause = min(2 * pause, MAX_PAUSE_S)

    def finish(self, deadline: float) -> str | None:
        """Wait for the end, while there is progress and time. What a user should know."""
        seen, stalled = -1, 0.0
        while self.is_alive() and time.monotonic() < deadline:
            if self.progress != seen:
                seen, stalled = self.progress, time.monotonic() + STALL_S
            if time.monotonic() > stalled:
                break
            self.join(0.02)
        if self.is_alive():
            return f"does not answer, or too slowly, and has not got everything; {self.mirror.remedy}"
        return self.message

    def _read(self) -> None:
        for line in next(self._lines):
            self._state.apply(line)
            if "number" in line:
                self._pending[line["number"]] = None
        # a trial ends with the one that has its configuration, without a line of its own
        for trial in self._state.ended_in_order[self._num_ended :]:
            self._pending[trial.number] = None
        self._num_ended = len(self._state.ended_in_order)

    def _work(self, ending: bool) -> None:
        if not self._opened:
            self.mirror.open(self._state)
            self._opened = True
        self._read()
        for number in list(self._pending):
            trial = self._state.trials[number]
            self.mirror.update(trial)
            goes_on = self._state.sweep.get("continue_best") and trial.continued_after is None
            if trial.has_ended and not goes_on:
                trial.rows = trial.rows[-1:]  # no mirror asks again: a large sweep is not in memory once a mirror
            del self._pending[number]
            self.progress += 1
        if ending:
            self.message = self.mirror.close(self._state)
