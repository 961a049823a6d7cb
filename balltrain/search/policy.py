"""What happens when a trial goes wrong: the one place that decides it.

| what went wrong | what happens |
|---|---|
| objective or loss not finite, or missing | `failed`, never retried; the row is kept |
| a constraint is broken | `infeasible`: no failure; the row is kept, where there is one |
| out of GPU memory, a ValueError, a wrong input | `failed`, never retried: it would happen again |
| another exception in the trial, its process killed | retried from its checkpoint, twice at most, then `failed` |
| its node lost or preempted, its sweep ended or killed | retried from its checkpoint, without counting |
| the disk is full, object storage away for 10 minutes | the sweep stops, and can be resumed; no trial has failed |
| 5 errors in a row, or in the first 5 trials | the sweep stops with the first error, and can be resumed |
| all of the first 20 trials failed | the same: values that are not finite are information, up to here |
| all of the first 20 that trained failed, or broke a constraint | the same |

The first two rows are a `Decision` on the row of an epoch (`controller.py`); the next four say what each `Cause`
leads to. The searcher is told of a trial that failed, or is infeasible, without an objective, and keeps away from it
(`searchers.py`).
`balltrain train` tries nothing again: its user sees the error itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from balltrain.records.columns import NEVER_BEST, Status
from balltrain.records.state import Trial

MAX_RETRIES = 2
MAX_FAILURES = 5  # by errors, in a row, or of the first
MAX_HOPELESS = 20  # of the first, by errors or values that are not finite: half of a wide space may diverge
MET_AGAIN = {"ValueError", "OutOfMemoryError", "SystemExit", "KeyboardInterrupt"}  # raised by a user's own code


class Cause(StrEnum):
    """Why an attempt at a trial ended with an error: what its process, or Ray, tells. As text in the journal."""

    STORAGE = "storage"  # disk or object storage cannot be written, or a node cannot run trials: no trial's fault
    NODE_LOST = "node-lost"  # died, or taken away
    DETERMINISTIC = "deterministic"  # an error that the next attempt would meet again
    KILLED = "killed"  # the process died while its node lived: out of memory, a signal
    EXCEPTION = "exception"  # any other error: it may have been chance

    @property
    def is_nobodys_fault(self) -> bool:
        """The attempt does not count against its trial."""
        return self in (Cause.STORAGE, Cause.NODE_LOST)


# of the ends of several workers, the first of these explains the others
EXPLAINING = tuple(Cause)


def is_retried(cause: Cause, attempts_that_count: int) -> bool:
    """`attempts_that_count` includes the one that just ended, not those that ended for no fault of theirs."""
    if cause.is_nobodys_fault:
        return True
    return cause in (Cause.EXCEPTION, Cause.KILLED) and attempts_that_count <= MAX_RETRIES


def cause_of(error: BaseException) -> Cause:
    """The cause that an exception in the trial's own process stands for."""
    import torch

    from balltrain.errors import BalltrainError, StorageError, UserCodeError

    if isinstance(error, StorageError):
        return Cause.STORAGE
    if isinstance(error, UserCodeError):
        return Cause.DETERMINISTIC if MET_AGAIN & set(error.kinds) else Cause.EXCEPTION
    deterministic = (BalltrainError, ValueError, torch.OutOfMemoryError)
    return Cause.DETERMINISTIC if isinstance(error, deterministic) else Cause.EXCEPTION


def cause_of_death(ray_says: str) -> Cause:
    """The cause of a process's death, from the text of Ray's error: that of its node does not count."""
    node_lost = any(words in ray_says for words in ("node has died", "node was", "preempted"))
    return Cause.NODE_LOST if node_lost else Cause.KILLED


class Failures:
    """Counts trials that fail, and says when a sweep is hopeless."""

    def __init__(self) -> None:
        self._in_a_row: list[Trial] = []  # by errors

    def ended(self, trial: Trial, searched: Sequence[Trial]) -> str | None:
        """Whether a sweep whose trial has just ended should stop: what failed, with an example of it."""
        if trial.status == Status.INFEASIBLE:
            return _all_out(trial, searched)
        has_error = trial.status == Status.FAILED and not trial.diverged
        self._in_a_row = [*self._in_a_row, trial] if has_error else []
        if len(self._in_a_row) >= MAX_FAILURES:
            return _with_example(f"{MAX_FAILURES} trials in a row failed", self._in_a_row[0])
        for count in (MAX_FAILURES, MAX_HOPELESS):
            first = searched[:count]
            if trial not in first or len(first) < count or not all(t.status == Status.FAILED for t in first):
                continue
            if count == MAX_HOPELESS or not any(t.diverged for t in first):
                return _with_example(f"the first {count} trials failed", first[0])
        return None


def _all_out(trial: Trial, searched: Sequence[Trial]) -> str | None:
    """Whether none of the first trials that trained may be the best: one that did not train has cost nothing."""
    first = [t for t in searched if t.rows or t.status == Status.FAILED][:MAX_HOPELESS]
    if trial not in first or len(first) < MAX_HOPELESS or not all(t.status in NEVER_BEST for t in first):
        return None
    return _with_example(f"the first {MAX_HOPELESS} trials that trained broke a constraint, or failed", trial)


def _with_example(what: str, example: Trial) -> str:
    return f"{what}, {example.trial_id} with: {example.error}"
