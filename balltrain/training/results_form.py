"""Whether a file of predictions has the right form, where there is no ground truth to score it by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.tasks import known_tasks, task_ref
from balltrain.tasks.protocols import ChecksResults
from balltrain.training.checkpoint import CONFIG, load_checkpoint
from balltrain.training.evaluation import check_split


def check_results(path: Path, checkpoint: Path, split: str | None, source: str | None) -> dict[str, Any]:
    """What a file holds: `task`, and what the task's `check_results` says of it. No data is made for that.

    `checkpoint` may be a task's name. Raises BalltrainError where the task has no format of predictions, or the file
    is not in it.
    """
    check_split(split)
    name, facts = str(checkpoint), None
    if name in known_tasks() and not (checkpoint / CONFIG).exists():
        task = task_ref(name).load()
    else:
        loaded = load_checkpoint(checkpoint)
        task, facts = loaded.task, loaded.config["data"]["facts"]
    if not isinstance(task, ChecksResults):
        raise BalltrainError(f"{task.name} has no format of results")
    named = None if source is None else Path(source)
    return {"task": task.name, "file": str(path), **task.check_results(path, named, split, facts)}
