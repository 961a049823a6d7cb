"""Which checkpoints of a sweep are kept: those that drop out are deleted, the best is copied to `best/`."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from balltrain import durable
from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.records.state import SweepState, Trial
from balltrain.search.controller import Controller
from balltrain.search.spending import no_epoch
from balltrain.storage import Remote

BEST = "best"
FRONT = "front"  # in it: checkpoints of the others of a front
DELETE_EVERY_S = 5.0


@contextlib.contextmanager
def deleted_checkpoints(
    state: SweepState, folder: Path, remote: str | None = None
) -> Iterator[Callable[[Trial], None]]:
    """What deletes the checkpoint of a trial: here at once, in object storage beside the block."""
    to_delete: list[str] = []

    def delete(trial: Trial) -> None:
        durable.remove_tree(folder / "checkpoints" / trial.trial_id)
        to_delete.append(trial.trial_id)

    def delete_remote() -> None:
        while to_delete and remote is not None:
            Remote(remote).delete(f"checkpoints/{to_delete[0]}")
            del to_delete[0]

    for trial in state.dropped:  # before a resume; a kill may have come between
        delete(trial)
    state.dropped.clear()
    with every(DELETE_EVERY_S, delete_remote, ignoring=(BalltrainError,)) if remote else contextlib.nullcontext():
        yield delete
    with contextlib.suppress(BalltrainError):  # deleted when the sweep is resumed
        delete_remote()


def finish_sweep(controller: Controller, folder: Path, remote: str | None = None) -> None:
    """Keep the best checkpoint, or those of the front.

    Raises what ended the sweep early, and where its budgets had room for no epoch.
    """
    away = None if remote is None else Remote(remote)
    for trial in best_and_front(controller.state) if away is not None else []:
        assert away is not None  # a trial may have been trained on another node
        away.pull(folder / "checkpoints" / trial.trial_id, f"checkpoints/{trial.trial_id}")
    _keep_best(controller.state, folder)
    if controller.error is not None:
        raise controller.error
    if not controller.interrupted and (too_small := no_epoch(controller.plan, controller.state, time.time())):
        raise BalltrainError(too_small)


def best_and_front(state: SweepState) -> list[Trial]:
    """The trials whose checkpoints `best/` has: the best first, then those of the front that are kept."""
    if state.best is None:
        return []
    count = state.sweep.get("keep_checkpoints") or len(state.trials)
    others = [trial for trial in state.front if trial is not state.best and trial.has_checkpoint]
    return [state.best, *others[: count - 1]]


def _keep_best(state: SweepState, folder: Path) -> None:
    """`best/` is a copy of the best trial's checkpoint: at each moment the former or the new one, whole.

    With several objectives `best/front/` has those of the others on the front, by trial.
    """
    if state.best is None:
        return
    best, *others = best_and_front(state)
    source, new, kept = folder / "checkpoints" / best.trial_id, folder / ".best.new", folder / BEST
    try:
        durable.remove_tree(new)
        shutil.copytree(source, new, ignore=shutil.ignore_patterns(".*"))
        for trial in others:
            own = folder / "checkpoints" / trial.trial_id
            shutil.copytree(own, new / FRONT / trial.trial_id, ignore=shutil.ignore_patterns(".*"))
        durable.replace_folder(new, kept)
    except OSError as error:
        raise BalltrainError(f"cannot copy the best checkpoint {source} to {kept}: {error}") from error
