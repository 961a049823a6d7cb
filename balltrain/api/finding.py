"""`balltrain train --find-lr`: a learning rate to train with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from balltrain.api.arguments import Data
from balltrain.api.progress import Progress
from balltrain.errors import UsageError

if TYPE_CHECKING:
    from balltrain.training.finder import FoundRate


def refuse_beside_find(given: Mapping[str, Any]) -> None:
    """Raises UsageError for options that say how a training goes, of which there is none here."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if names:
        raise UsageError(f"--find-lr trains no model to keep: leave out {', '.join(names)}")


def found_rate(
    task: str, hyperparameters: Mapping[str, Any], data: Data, seed: int, num_gpus: int | None, progress: Progress
) -> FoundRate:
    """Raises UsageError or BalltrainError as a training would."""
    from balltrain.data.cache import load_data
    from balltrain.tasks import task_ref
    from balltrain.tasks.base import resolve
    from balltrain.training.finder import find_rate
    from balltrain.training.workers import pick_device

    ref = task_ref(task)
    loaded = ref.load()
    hp, request = resolve(loaded, hyperparameters), data.request(seed)
    with progress.cleared():
        progress.phase("preparing the data")
        dataset = load_data(ref, loaded, request, data.folder)
        progress.phase("trying learning rates")
        found = find_rate(loaded, hp, dataset, seed, pick_device(1 if num_gpus is None else num_gpus))
        progress.phase("")
    return found
