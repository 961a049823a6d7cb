"""Several objectives of a sweep: how they are given, checked and resolved, and who can search for them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from balltrain.errors import UsageError
from balltrain.knobs import Panel, knob
from balltrain.records.figures import COSTS
from balltrain.records.goals import Objective, parsed_objectives, parsed_preference
from balltrain.search.front_searchers import FRONT_SEARCHERS, NSGA2
from balltrain.search.searchers import IN_ORDER

if TYPE_CHECKING:
    from balltrain.tasks.base import Trainable

ONE_BY_ONE = ("random", *IN_ORDER)  # searchers that learn nothing
DEFAULT = NSGA2  # searcher of a sweep with several objectives that names none


@dataclass(frozen=True, kw_only=True)
class Several:
    """Objectives of a sweep that has more than one, and which of their front is preferred."""

    objectives: Sequence[str] = knob(
        (),
        "Figure to optimise, such as accuracy:max or num_params:min. Repeatable; of a function one at least.",
        Panel.SEARCH,
        flag="objective",
        metavar="FIGURE[:min|max]",
        repeated=True,
        says="the task's",
        mixes="other objectives",
        earlier=(),
    )
    prefer: str | None = knob(
        None,
        "Which of the front is the best, such as 'accuracy > 0.9, then num_params'.",
        Panel.SEARCH,
        says="the first objective's best",
        metavar="STEPS",
    )

    def __post_init__(self) -> None:
        objectives = parsed_objectives(self.objectives)
        if len(objectives) == 1:
            raise UsageError(
                f"objectives has {objectives[0]} alone: write objective={objectives[0].figure!r}, or add one"
            )
        object.__setattr__(self, "objectives", tuple(str(objective) for objective in objectives))
        if self.prefer is not None:
            if len(objectives) < 2:
                raise UsageError("prefer chooses from a front: give two objectives at least, or leave it out")
            if not isinstance(self.prefer, str):
                raise UsageError(f"prefer is {self.prefer!r}, but must be a text")

    @property
    def is_several(self) -> bool:
        return len(self.objectives) > 1


def single(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a sweep, where one objective alone is given by the list, and its mode with it."""
    given = options.get("objectives")
    if given is None:
        return options
    objectives = parsed_objectives(given)
    if len(objectives) != 1:
        return options
    (only,) = objectives
    found = {**options, "objectives": (), "objective": only.figure}
    if ":" in str(given[0]):
        found["mode"] = only.mode
    return found


def check_combination(sweep: Any) -> None:
    """Raises UsageError for a sweep of several objectives with what knows one alone."""
    if not sweep.is_several:
        if sweep.searcher == NSGA2:
            raise UsageError(
                f"{NSGA2} is for several objectives: add --objective FIGURE:min, or use another searcher"
            )
        return
    number = len(sweep.objectives)
    if sweep.searcher not in (*ONE_BY_ONE, *FRONT_SEARCHERS):
        raise UsageError(
            f"{sweep.searcher} knows one objective, and this sweep has {number}: use --searcher "
            f"{', '.join(FRONT_SEARCHERS)} or random"
        )
    if sweep.scheduler not in ("asha", "none"):
        raise UsageError(
            f"the scheduler {sweep.scheduler} knows one objective, and this sweep has {number}: use asha"
        )
    for given, what in ((sweep.folds, "folds"), (sweep.confirm, "confirm"), (sweep.continue_best, "continue_best")):
        if given:
            raise UsageError(f"{what} compares trials by one objective, and this sweep has {number}: leave it out")


def resolved(sweep: Several, task: Trainable, names: Sequence[str] | None, mode: str | None) -> tuple[str, ...]:
    """The objectives, each with its mode. `names` are the figures of a task; a program tells its own.

    Raises UsageError for one that is no figure, or whose mode nobody knows.
    """
    objectives = parsed_objectives(sweep.objectives)
    if len(objectives) < 2:
        return ()
    first = objectives[0]
    if names is None and (first.figure in COSTS or first.figure != task.objective):
        raise UsageError(
            f"the first objective is {first.figure}, but must be {task.objective}, by which a trial of {task.name} "
            "keeps its best epoch"
        )
    if names is not None and (first.figure != task.objective or first.mode not in (None, task.mode)):
        second = _second(objectives, task)
        raise UsageError(
            f"the first objective is {first}, but must be that of {task.name}, {task.objective}:{task.mode}, by "
            f"which a trial keeps its best epoch: --objective {task.objective} --objective {second}"
        )
    found = [Objective(first.figure, task.mode if names is not None else first.mode or mode), *objectives[1:]]
    for objective in found:
        if names is not None and objective.figure not in names:
            near = difflib.get_close_matches(objective.figure, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
            raise UsageError(f"the objective {objective.figure} is no figure of {task.name}: {hint}")
        if objective.mode is None:
            raise UsageError(
                f"is {objective.figure} to be small or large? write --objective {objective.figure}:max, or :min"
            )
    if (prefer := sweep.prefer) is not None:
        parsed_preference(prefer, found)
    return tuple(str(objective) for objective in found)


def _second(objectives: Sequence[Objective], task: Trainable) -> str:
    others = [str(objective) for objective in objectives if objective.figure != task.objective]
    return others[0] if others else "num_params:min"
