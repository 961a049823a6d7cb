"""What happens when a trial goes wrong: the one place that decides it.

| what went wrong | what happens |
|---|---|
| objective or loss not finite, or missing | `failed`, never retried; the searcher is told "error"; the row is kept |
| out of GPU memory, a ValueError, a wrong input | `failed`, never retried: it would happen again |
| another exception in the trial, its process killed | retried from its checkpoint, twice at most |
| its node lost or preempted | retried from its checkpoint, without counting |
| the disk is full, object storage away for 10 minutes | the sweep stops, and can be resumed; no trial has failed |
| 5 failures in a row, or of the first 5 trials | the sweep stops with the first error, and can be resumed |
"""

from __future__ import annotations

MAX_RETRIES = 2
MAX_FAILURES = 5  # in a row, or of the first

# causes that a trial's process or Ray gives
NON_FINITE = "non-finite"
DETERMINISTIC = "deterministic"
EXCEPTION = "exception"
KILLED = "killed"
NODE_LOST = "node-lost"
STORAGE = "storage"
# of the ends of several workers, the first of these explains the others
EXPLAINING = (STORAGE, NODE_LOST, DETERMINISTIC, KILLED, EXCEPTION)


def is_retried(cause: str, attempts_that_count: int) -> bool:
    """`attempts_that_count` includes the one that just ended, not those that ended for no fault of theirs."""
    if cause in (NODE_LOST, STORAGE):
        return True
    return cause in (EXCEPTION, KILLED) and attempts_that_count <= MAX_RETRIES


def cause_of(error: BaseException) -> str:
    """The cause that an exception in the trial's own process stands for."""
    import torch

    from balltrain.errors import BalltrainError, StorageError

    if isinstance(error, StorageError):
        return STORAGE
    deterministic = (BalltrainError, ValueError, torch.OutOfMemoryError)
    return DETERMINISTIC if isinstance(error, deterministic) else EXCEPTION


def cause_of_death(ray_says: str) -> str:
    """The cause of a process's death, from the text of Ray's error: that of its node does not count."""
    node_lost = any(words in ray_says for words in ("node has died", "node was", "preempted"))
    return NODE_LOST if node_lost else KILLED
