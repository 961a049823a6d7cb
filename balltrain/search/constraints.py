"""Bounds on figures of a trial. A trial that breaks one is infeasible: no failure, and never the best."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from balltrain.errors import UsageError
from balltrain.records.bounds import EXAMPLE, Constraint
from balltrain.records.figures import figure_of
from balltrain.training.rows import EpochRow

Foresee = Callable[[Mapping[str, Any]], Mapping[str, float]]  # figures of a configuration that need no training


def parsed_constraints(given: Any) -> tuple[Constraint, ...]:
    """Each once, of a list of texts or of one. Raises UsageError for what is none, or where no value keeps all."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence):
        raise UsageError(f"constraints is {given!r}, but must be a list of texts, such as {EXAMPLE}")
    found = tuple(dict.fromkeys(Constraint.parsed(text) for text in texts))
    for above in (each for each in found if each.sign.startswith(">")):
        for below in (each for each in found if each.sign.startswith("<") and each.figure == above.figure):
            closed = above.sign == ">=" and below.sign == "<="
            if above.bound > below.bound or (above.bound == below.bound and not closed):
                raise UsageError(f"no {above.figure} keeps both {above} and {below}: change one of the bounds")
    return found


def check_known(constraints: Iterable[Constraint], figures: Sequence[str], task: str) -> None:
    """Raises UsageError for a constraint on what is no figure of the task."""
    for constraint in constraints:
        if constraint.figure not in figures:
            near = difflib.get_close_matches(constraint.figure, figures, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(figures)}"
            raise UsageError(f"the constraint {constraint} is on no figure of {task}: {hint}")


class Constraints:
    """Those of a sweep, asked of each trial: before it starts, and at each of its epochs."""

    def __init__(self, constraints: Iterable[Constraint]) -> None:
        self.all = tuple(constraints)

    def broken_before(self, known: Mapping[str, float]) -> str | None:
        """What a trial breaks by figures that are known before it trains, in words; None where it may train."""
        return next((c.broken_by(known[c.figure]) for c in self.all if self._breaks(c, known.get(c.figure))), None)

    def broken_at(self, row: EpochRow, before: Sequence[EpochRow]) -> str | None:
        """The same of the row of an epoch; `before` are those of the epochs before it."""
        for constraint in self.all:
            if row["epoch"] < constraint.from_epoch:
                continue
            value = figure_of(constraint.figure, row, before)
            if value is not None and self._breaks(constraint, value):
                return f"epoch {row['epoch']}: {constraint.broken_by(value)}"
        return None

    def unknown_to(self, row: EpochRow) -> str | None:
        """What a trial's first row should have, and has not; a program's figures are known no earlier."""
        for constraint in self.all:
            if figure_of(constraint.figure, row) is None:
                there = sorted({*row["metrics"], *(n for n in ("val_loss", "train_loss") if figure_of(n, row))})
                return (
                    f"no figure is called {constraint.figure}, which the constraint {constraint} names: it reports "
                    f"{', '.join(there)}"
                )
        return None

    @staticmethod
    def _breaks(constraint: Constraint, value: float | None) -> bool:
        return value is not None and not constraint.holds(value)
