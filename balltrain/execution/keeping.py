"""Which checkpoints of a sweep are kept: those that drop out are deleted, the best is copied to `best/`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from balltrain import durable
from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.records.state import SweepState, Trial
from balltrain.search.controller import Controller
from balltrain.storage import Remote

BEST = "best"
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
    """Keep the best checkpoint; raises what ended the sweep early."""
    best = controller.state.best
    if best is not None and remote is not None:  # it may have been trained on another node
        Remote(remote).pull(folder / "checkpoints" / best.trial_id, f"checkpoints/{best.trial_id}")
    _keep_best(controller.state, folder)
    if controller.error is not None:
        raise controller.error


def _keep_best(state: SweepState, folder: Path) -> None:
    """`best/` is a copy of the best trial's checkpoint: at each moment the former or the new one, whole."""
    if state.best is None:
        return
    source, new, best = folder / "checkpoints" / state.best.trial_id, folder / ".best.new", folder / BEST
    try:
        durable.remove_tree(new)
        shutil.copytree(source, new, ignore=shutil.ignore_patterns(".*"))
        durable.replace_folder(new, best)
    except OSError as error:
        raise BalltrainError(f"cannot copy the best checkpoint {source} to {best}: {error}") from error
