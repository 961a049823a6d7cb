"""What a sweep is for, where one figure does not say it: several objectives, and which of their front is preferred.

Values of a trial are those of its best epoch by the first objective, in the order of the objectives, signed so that
the less is the better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from balltrain.errors import UsageError
from balltrain.records.bounds import Constraint
from balltrain.records.figures import COSTS, LOSSES
from balltrain.records.front import front_of, front_order, layers_of

MODES = ("min", "max")
FORM = re.compile(r"\s*([^\s:<>=,]+)\s*(?::\s*(\w+))?\s*")
PREFER_EXAMPLE = '"accuracy > 0.9, then num_params"'

Signed = tuple[float, ...]


@dataclass(frozen=True)
class Objective:
    """A figure, and whether the smallest is the best, or the largest; `mode` is None while that is to be said."""

    figure: str
    mode: str | None = None

    @classmethod
    def parsed(cls, text: Any) -> Objective:
        """Raises UsageError that quotes what is none. What a trial costs, and a loss, is to be small."""
        found = FORM.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise UsageError(f"the objective {text!r} is none: write a figure, such as accuracy:max")
        if found[2] not in (None, *MODES):
            raise UsageError(f"the objective {text!r} ends in {found[2]!r}, but must end in :min or :max")
        return cls(found[1], found[2] or ("min" if found[1] in (*COSTS, *LOSSES) else None))

    def __str__(self) -> str:
        return self.figure if self.mode is None else f"{self.figure}:{self.mode}"

    @property
    def sign(self) -> float:
        """What values are multiplied by, so that the less is the better."""
        return -1.0 if self.mode == "max" else 1.0


def parsed_objectives(given: Any) -> tuple[Objective, ...]:
    """Of a list of texts. Raises UsageError for what is none, and for a figure that comes twice."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UsageError(f'objectives is {given!r}, but must be a list, such as ["accuracy:max", "num_params:min"]')
    found = tuple(Objective.parsed(text) for text in given)
    for number, objective in enumerate(found):
        if objective.figure in (other.figure for other in found[:number]):
            raise UsageError(f"the objective {objective.figure} is given twice: leave one out")
    return found


@dataclass(frozen=True)
class Goals:
    """Objectives, all with their modes, and by which steps the front is gone through; none are the objectives."""

    objectives: tuple[Objective, ...]
    steps: tuple[Constraint | Objective, ...] = ()

    @classmethod
    def of(cls, sweep: Mapping[str, Any]) -> Goals | None:
        """Those of a sweep, by what sweep.json says; None where it has one objective."""
        objectives = parsed_objectives(sweep.get("objectives") or ())
        if len(objectives) < 2:
            return None
        prefer = sweep.get("prefer")
        return cls(objectives, () if prefer is None else parsed_preference(prefer, objectives))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the figures."""
        return tuple(objective.figure for objective in self.objectives)

    def signed(self, figure: Callable[[str], float | None]) -> Signed | None:
        """The values of a trial whose figures `figure` gives; None where it lacks one, or one is not finite."""
        found = []
        for objective in self.objectives:
            value = figure(objective.figure)
            if value is None or not math.isfinite(value):
                return None
            found.append(objective.sign * value)
        return tuple(found)

    def plain(self, signed: Sequence[float]) -> list[float]:
        """Values as they were before they were signed."""
        return [o.sign * value for o, value in zip(self.objectives, signed, strict=True)]

    def key(self, signed: Signed) -> tuple[float, ...]:
        """By which the best is the smallest: nothing that another dominates is before that one."""
        plain = dict(zip(self.names, self.plain(signed), strict=True))
        found: list[float] = []
        for step in self.steps:
            if isinstance(step, Constraint):
                value = plain[step.figure]
                found += [0.0, 0.0] if step.holds(value) else [1.0, abs(value - step.bound)]
            else:
                found.append(signed[self.names.index(step.figure)])
        return (*found, *signed)

    def order(self, values: Sequence[Signed]) -> list[int]:
        """Places of trials, the best first: layer by layer, each by preference, or so that its first are spread."""
        if not values:
            return []
        matrix = np.array(values, dtype=float)
        if not self.steps:
            return front_order(matrix)
        layers = layers_of(matrix)
        return sorted(range(len(values)), key=lambda at: (layers[at], self.key(values[at]), at))

    def front(self, values: Sequence[Signed]) -> list[int]:
        """Places of those that none dominates, in that order."""
        places = front_of(np.array(values, dtype=float).reshape(-1, len(self.objectives)))
        return [int(places[at]) for at in self.order([values[at] for at in places])]


def parsed_preference(text: Any, objectives: Sequence[Objective]) -> tuple[Constraint | Objective, ...]:
    """The steps of `accuracy > 0.9, then num_params`: bounds, and objectives by which what is left is ordered.

    Raises UsageError for what is none, for a figure that is no objective, and for a bound on the wrong side.
    """
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"prefer is {text!r}, but must be steps such as {PREFER_EXAMPLE}")
    modes = {objective.figure: objective.mode for objective in objectives}
    steps: list[Constraint | Objective] = []
    for part in text.split(","):
        words = re.sub(r"^\s*then\s+", "", part)
        step = Constraint.parsed(words) if re.search("[<>=]", words) else Objective.parsed(words)
        if step.figure not in modes:
            raise UsageError(
                f"prefer names {step.figure}, which is no objective of the sweep: it has {', '.join(modes)}"
            )
        if isinstance(step, Constraint):
            wrong = step.sign.startswith("<") == (modes[step.figure] == "max") or step.from_epoch > 1
            if wrong:
                sign = ">=" if modes[step.figure] == "max" else "<="
                raise UsageError(
                    f"prefer has {step}, but {step.figure} is to be {_aim(modes[step.figure])}: write "
                    f"{step.figure} {sign} {step.bound:g}"
                )
        elif step.mode not in (None, modes[step.figure]):
            raise UsageError(f"prefer has {step}, but the objective is {step.figure}:{modes[step.figure]}")
        steps.append(step)
    return tuple(steps)


def _aim(mode: str | None) -> str:
    return "large" if mode == "max" else "small"
