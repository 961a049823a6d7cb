"""The search's best configurations, trained again with new seeds: which one wins once luck is taken out.

The first place of a search is the best of many draws, and looks better than it is. The mean of trainings that had
no part in choosing it does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import sqrt

from balltrain.records.columns import NEVER_BEST, Status


@dataclass
class Confirmed:
    """One configuration's trainings with new seeds. `trial_id` is that of the search's trial that they repeat."""

    trial_id: str
    repeats: int  # planned
    objectives: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def complete(self) -> bool:
        return len(self.objectives) + self.failed >= self.repeats

    @property
    def mean(self) -> float | None:
        return sum(self.objectives) / len(self.objectives) if self.objectives else None

    @property
    def interval(self) -> float | None:
        """Half the width of the mean's 95 % interval, Student's t; None of fewer than two."""
        if self.mean is None or len(self.objectives) < 2:
            return None
        from statistics import stdev

        from scipy.stats import t

        count = len(self.objectives)
        return float(t.ppf(0.975, count - 1)) * stdev(self.objectives) / sqrt(count)


def confirmations(
    repetitions: Iterable[tuple[str, str, float | None]], repeats: int, mode: str
) -> tuple[list[Confirmed], Confirmed | None]:
    """What was confirmed, the best mean first, and the winner: the first, once all have been trained `repeats` times.

    `repetitions` are the trial_id that one repeats, its status and its objective. A configuration of which a
    training failed cannot win.
    """
    found: dict[str, Confirmed] = {}
    for trial_id, status, objective in repetitions:
        entry = found.setdefault(trial_id, Confirmed(trial_id, repeats))
        if status in (*NEVER_BEST, Status.STOPPED):  # the latter by a user: none of these tells what it is worth
            entry.failed += 1
        elif status == Status.COMPLETED and objective is not None:
            entry.objectives.append(objective)
    sign = 1 if mode == "min" else -1
    ranked = sorted(found.values(), key=lambda e: (e.mean is None, e.failed > 0, sign * (e.mean or 0.0)))
    wins = ranked and all(entry.complete for entry in ranked) and not ranked[0].failed
    return ranked, ranked[0] if wins else None
