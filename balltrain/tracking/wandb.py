"""W&B: a run a trial, group = sweep, one row an epoch."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError, UsageError
from balltrain.records.columns import Status
from balltrain.records.goals import Goals
from balltrain.records.state import SweepState, Trial
from balltrain.tracking.snapshots import Snapshots
from balltrain.tracking.wandb_environment import entity, project, told_mode

MODES = ("auto", "online", "offline", "off")
MAX_ID, MAX_GROUP = 128, 128  # characters
TIMEOUT_S = 10.0  # for a server's answer


def resolve_mode(mode: str) -> str:
    """`auto` is what W&B was told, else online; offline without a key. `online` raises BalltrainError without one."""
    if mode not in MODES:
        raise UsageError(f"unknown --wandb mode {mode!r}: choose one of {', '.join(MODES)}")
    if mode == "auto":
        told, _ = told_mode() or ("online", "")
        return "offline" if told == "online" and not has_key() else told
    if mode == "online" and not has_key():
        raise BalltrainError("W&B has no key: run `wandb login` or set WANDB_API_KEY, or use --wandb offline")
    return mode


def valid_id(text: str) -> str:
    """An id that W&B takes, different for different texts; those that it takes stay as they are."""
    return _with_hash(re.sub(r"[:;,#?/'\x00-\x1f]+", "-", text).strip() or "run", text, MAX_ID)


def valid_name(text: str) -> str:
    """The same of an artifact's name, which W&B is stricter with."""
    return _with_hash(re.sub(r"[^A-Za-z0-9_.-]+", "-", text), text, MAX_GROUP)


def _with_hash(valid: str, text: str, length: int) -> str:
    if valid == text and len(text) <= length:
        return text
    return f"{valid[: length - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def has_key() -> bool:
    """A key in the environment or where `wandb login` leaves it; looked up without importing wandb."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    host = _base_url().split("://")[-1].split("/")[0]
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def unreachable() -> str | None:
    """Why W&B's server does not answer, if it does not."""
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(_base_url(), timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        return str(error) if error.code >= 500 else None
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _base_url() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


class WandbMirror:
    """A run a trial: its id, group and job type are the same when the sweep is resumed, and it goes on.

    Where no server answers, runs are kept offline from then on: `wandb sync` uploads them later.
    """

    name = "W&B"

    def __init__(
        self,
        mode: str,
        folder: Path,
        data_dir: Path | None = None,
        keep_checkpoint: bool = False,
        pictures: Callable[[Path, Path | None, Path], list[Path]] | None = None,
        snapshots: Snapshots | None = None,
    ):
        """`pictures` draws a checkpoint's predictions: called with its folder, the data's, and where to draw."""
        self.mode, self.folder, self.data_dir, self.keep_checkpoint = mode, folder, data_dir, keep_checkpoint
        self.pictures, self.snapshots = pictures, snapshots
        # where W&B keeps its files: WANDB_DIR may say
        self.root = Path(os.environ.get("WANDB_DIR") or folder)
        self.remedy = f"wandb sync {shlex.quote(str(self.root / 'wandb'))}/*run-* sends the rest"
        self._sweep: dict[str, Any] = {}
        self._goals: Goals | None = None  # where the sweep has several objectives
        self._runs: dict[int, Any] = {}
        self._num_logged: dict[int, int] = {}
        self._ended: dict[int, int | None] = {}  # and `continued_after`: of those that ended they may go on
        self._paused: dict[int, int] = {}  # trials whose runs are finished for now, at so many epochs
        self._trouble: str | None = None

    def open(self, state: SweepState) -> None:
        self._sweep, self._goals = state.sweep, state.goals
        if self.mode == "online" and (reason := unreachable()):
            self._go_offline(reason)
        # what the sweep's run before has mirrored: offline, parts are written anew, as one with the rest
        self._ended = {t.number: t.continued_after for t in state.trials.values() if t.has_ended}
        names = [t.trial_id for t in state.trials.values() if t.number not in self._ended]
        for name in [*names, "best"]:
            self._remove_offline(name)

    def update(self, trial: Trial) -> None:
        if self._ended.get(trial.number, -1) == trial.continued_after or not (trial.rows or trial.has_ended):
            return
        if self._ended.pop(trial.number, -1) != -1:
            self._remove_offline(trial.trial_id)
        waits = trial.status == Status.PAUSED
        if waits and trial.number not in self._runs and trial.epochs == self._paused.get(trial.number):
            return
        if self._paused.pop(trial.number, None) is not None and trial.number not in self._runs:
            self._remove_offline(trial.trial_id)
        if trial.number not in self._runs:
            tags = [] if trial.confirms is None else [f"confirms {trial.confirms:05d}"]
            self._runs[trial.number] = self._start(trial.trial_id, {**trial.config, "seed": trial.seed}, tags)
            self._num_logged[trial.number] = self._runs[trial.number].starting_step
        run = self._runs[trial.number]
        for row in trial.rows[self._num_logged[trial.number] :]:
            flat = {key: row[key] for key in ("epoch", "lr", "train_loss", "val_loss", "seconds", "objective")}
            run.log(flat | row["metrics"] | self._predictions(trial, row["epoch"]))
            self._num_logged[trial.number] = row["epoch"]
        if waits:  # many may be, and each open run has threads: the same one goes on
            run.summary["status"] = trial.status.value
            self._finish(trial.number)
            self._paused[trial.number] = trial.epochs
        elif trial.has_ended:
            run.summary["status"] = trial.status.value
            for name in () if self._goals is None else self._goals.names:
                run.summary[f"objectives/{name}"] = trial.figure(name)
            self._finish(trial.number, exit_code=int(trial.status == Status.FAILED))
            self._ended[trial.number] = trial.continued_after

    def close(self, state: SweepState) -> str | None:
        for number in list(self._runs):
            self._finish(number)
        if state.best is not None and (self.folder / "best").is_dir():
            self._show_best(state.best)
        if "wandb" in sys.modules:
            sys.modules["wandb"].teardown()  # waits until its service has written what it was given
        return self._trouble

    def _show_best(self, best: Trial) -> None:
        """A run of its own beside those of the trials: predictions as the task draws them, `best/` as an artifact."""
        import wandb

        with tempfile.TemporaryDirectory(prefix="balltrain-wandb-") as temporary:
            pictures = self._pictures(Path(temporary))
            if not pictures and not self.keep_checkpoint:
                return
            run = self._start("best", {**best.config, "trial_id": best.trial_id}, ["best"])
            run.summary["objective"] = best.objective
            if pictures:
                run.log({"predictions": [wandb.Image(str(path), caption=path.stem) for path in pictures]})
            if self.keep_checkpoint:
                metadata = {"trial_id": best.trial_id, "objective": best.objective}
                artifact = wandb.Artifact(valid_name(f"{self._sweep['name']}-best"), "model", metadata=metadata)
                artifact.add_dir(str(self.folder / "best"))
                run.log_artifact(artifact)
            run.finish()

    def _predictions(self, trial: Trial, epoch: int) -> dict[str, Any]:
        """Drawn at this epoch, where the user asked for it."""
        drawn = self.snapshots.of(trial, epoch) if self.snapshots else []
        if not drawn:
            return {}
        import wandb

        return {"predictions": [wandb.Image(str(path), caption=f"{path.parent.name}/{path.stem}") for path in drawn]}

    def _pictures(self, folder: Path) -> list[Path]:
        """None where nobody draws them."""
        return self.pictures(self.folder / "best", self.data_dir, folder) if self.pictures else []

    def _start(self, name: str, config: dict[str, Any], tags: list[str]) -> Any:
        os.environ.setdefault("WANDB_SILENT", "true")
        if self.mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # which W&B would send its makers all the same
        self.root.mkdir(parents=True, exist_ok=True)
        import wandb

        try:
            run = self._init(name, config, tags)
        except wandb.errors.Error as error:
            if self.mode == "offline":
                raise
            self._go_offline(str(error))
            run = self._init(f"{name}-offline", config, tags)  # W&B's service has not let go of the other id
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        run.define_metric("objective", step_metric="epoch", summary=self._sweep["mode"])
        return run

    def _init(self, name: str, config: dict[str, Any], tags: list[str]) -> Any:
        import wandb

        return wandb.init(
            project=project(),
            entity=entity(),
            id=self._id(name),
            name=f"{self._sweep['name']}/{name}",
            group=self._sweep["name"][:MAX_GROUP],
            job_type=self._sweep["task"],
            tags=tags,
            config=config,
            dir=str(self.root),
            mode="online" if self.mode == "online" else "offline",
            resume="allow" if self.mode == "online" else None,
            reinit="create_new",  # those of other trials go on
            # what they give is of this process, not of the trial's
            settings=wandb.Settings(
                x_disable_stats=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_save_requirements=False,
                init_timeout=TIMEOUT_S,
                finish_timeout=TIMEOUT_S,
            ),
        )

    def _go_offline(self, reason: str) -> None:
        self.mode = "offline"
        self._trouble = f"no answer ({' '.join(reason.split())[:100]}); runs are kept offline: {self.remedy}"

    def _remove_offline(self, name: str) -> None:
        """A run that is written anew, with what it lacks, must not be there twice."""
        pattern = f"offline-run-*-{glob.escape(self._id(name))}"
        for part in (self.root / "wandb").glob(pattern) if self.mode == "offline" else []:
            shutil.rmtree(part)

    def _id(self, name: str) -> str:
        return valid_id(f"{self._sweep['name']}-{name}")

    def _finish(self, number: int, exit_code: int = 0) -> None:
        self._runs.pop(number).finish(exit_code=exit_code)
