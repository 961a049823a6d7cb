"""Which trials compare, in which order, and which is the best: the one definition, for a sweep that runs (`state.py`)
and for what is read of it (`results.py`), so that `best/` and the report cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Protocol, TypeVar

from balltrain.records.columns import NEVER_BEST
from balltrain.records.confirmation import Confirmed, confirmations
from balltrain.records.goals import Goals, Signed


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
    def figure(self, name: str) -> float | None:
        """One of its figures at its best epoch; None where it has none of that name."""


T = TypeVar("T", bound=Standing)
PLACE = itemgetter(0, 1)  # of what `_scored` gives, by which it is sorted


def trained_by_search(trials: Iterable[T]) -> list[T]:
    """Without those that confirm, and those whose configuration was trained before."""
    return [trial for trial in trials if trial.confirms is None and trial.same_as is None]


def ranked(trials: Iterable[T], mode: str, goals: Goals | None = None) -> list[T]:
    """Those that trained to an objective, and neither failed nor broke a constraint, the best first.

    `mode` is `min` or `max`. Equal ones by number, whoever asks: the best, and what is kept of the best, must agree.
    With several objectives the front comes first, then what would be the front without it, and so on.
    """
    if goals is not None:
        found = _valued(trials, goals)
        return [found[at][-1] for at in goals.order([values for values, *_ in found])]
    return [trial for *_, trial in sorted(_scored(trials, mode), key=PLACE)]


def front(trials: Iterable[T], goals: Goals) -> list[T]:
    """Of what the search trained those that none dominates, the best first."""
    found = _valued(trained_by_search(trials), goals)
    return [found[at][-1] for at in goals.front([values for values, *_ in found])]


def best(trials: Iterable[T], mode: str, repeats: int, goals: Goals | None = None) -> T | None:
    """The first of what the search trained; once there is a confirmed winner, its best training that is kept."""
    trials = list(trials)
    among = trained_by_search(trials)
    if goals is not None:
        keyed = [(goals.key(values), number, trial) for values, number, trial in _valued(among, goals)]
        return min(keyed, key=PLACE)[-1] if keyed else None
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


def _valued(trials: Iterable[T], goals: Goals) -> list[tuple[Signed, int, T]]:
    """(values, number, trial) of those that have a place, by number."""
    found = [
        (values, trial.number, trial)
        for _, _, trial in _scored(trials, "min")
        if (values := goals.signed(trial.figure)) is not None
    ]
    return sorted(found, key=lambda entry: entry[1])


def _scored(trials: Iterable[T], mode: str) -> list[tuple[float, int, T]]:
    """(objective, the less the better; number; trial) of those that have a place."""
    sign = 1 if mode == "min" else -1
    return [
        (sign * objective, trial.number, trial)
        for trial in trials
        if (objective := trial.objective) is not None and trial.status not in NEVER_BEST and trial.same_as is None
    ]
