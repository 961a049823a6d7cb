"""What a row says to those who judge it: the searcher and the stopping rule, by one objective or by several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from balltrain.records import columns as c
from balltrain.records.columns import NEVER_BEST
from balltrain.records.figures import figure_of
from balltrain.records.goals import Goals, Signed
from balltrain.records.state import SweepState, Trial
from balltrain.training.rows import EpochRow


def is_finite(goals: Goals | None, row: EpochRow, before: Sequence[EpochRow]) -> bool:
    """Whether all is finite that has to be; a program may lack some of it."""
    others = [] if goals is None else [figure_of(name, row, before) for name in goals.names]
    return all(math.isfinite(value) for value in (row["objective"], row[c.TRAIN_LOSS], *others) if value is not None)


def heard(goals: Goals | None, row: EpochRow, before: Sequence[EpochRow]) -> Any:
    """What the stopping rule is told of a row: its objective, or the values of several; None where it lacks one."""
    if goals is None:
        return row["objective"]
    return goals.signed(lambda name: figure_of(name, row, before))


def ended_at(goals: Goals, trial: Trial, state: SweepState) -> Signed | None:
    """The values that a searcher is told of a trial that ended; None where it cannot be the best."""
    first = trial if trial.same_as is None else state.trials[trial.same_as]
    return None if first.status in NEVER_BEST else goals.signed(first.figure)
