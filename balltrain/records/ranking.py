"""Which trials compare, in which order, and which is the best: the one definition, for a sweep that runs (`state.py`)
and for what is read of it (`results.py`), so that `best/` and the report cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Protocol, TypeVar

from balltrain.records.columns import NEVER_BEST
from balltrain.records.confirmation import Confirmed, confirmations


class Standing(Protocol):
    """What is asked of a trial: `records.state.Trial` is one, a row of trials.parquet another."""

    @property
    def number(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def objective(self) -> float | None:
        """The best over its epochs."""

    @property
    def confirms(self) -> int | None:
        """Number of the searched trial that this one repeats."""

    @property
    def same_as(self) -> int | None:
        """Number of the earlier trial with the same configuration, in whose place it was not trained."""

    @property
    def has_checkpoint(self) -> bool: ...


T = TypeVar("T", bound=Standing)
PLACE = itemgetter(0, 1)  # of what `_scored` gives, by which it is sorted


def trained_by_search(trials: Iterable[T]) -> list[T]:
    """Without those that confirm, and those whose configuration was trained before."""
    return [trial for trial in trials if trial.confirms is None and trial.same_as is None]


def ranked(trials: Iterable[T], mode: str) -> list[T]:
    """Those that trained to an objective, and neither failed nor broke a constraint, the best first.

    `mode` is `min` or `max`. Equal ones by number, whoever asks: the best, and what is kept of the best, must agree.
    """
    return [trial for *_, trial in sorted(_scored(trials, mode), key=PLACE)]


def best(trials: Iterable[T], mode: str, repeats: int) -> T | None:
    """The first of what the search trained; once there is a confirmed winner, its best training that is kept."""
    trials = list(trials)
    among = trained_by_search(trials)
    _, winner = confirmed(trials, mode, repeats)
    if winner is not None:
        number = int(winner.trial_id)
        among = [trial for trial in trials if number in (trial.number, trial.confirms) and trial.has_checkpoint]
    first = min(_scored(among, mode), key=PLACE, default=None)
    return None if first is None else first[-1]


def confirmed(trials: Iterable[Standing], mode: str, repeats: int) -> tuple[list[Confirmed], Confirmed | None]:
    """What was trained again, `repeats` times each: the best mean first, and the winner, if all of it has ended.

    Of equal means the first is that of the better place in the search, which was repeated first.
    """
    repeating = sorted((trial for trial in trials if trial.confirms is not None), key=lambda trial: trial.number)
    return confirmations(((f"{t.confirms:05d}", t.status, t.objective) for t in repeating), repeats, mode)


def _scored(trials: Iterable[T], mode: str) -> list[tuple[float, int, T]]:
    """(objective, the less the better; number; trial) of those that have a place."""
    sign = 1 if mode == "min" else -1
    return [
        (sign * objective, trial.number, trial)
        for trial in trials
        if (objective := trial.objective) is not None and trial.status not in NEVER_BEST and trial.same_as is None
    ]
