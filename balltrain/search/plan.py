"""A plan: what a sweep resolves to. Everything checked that needs neither data nor Ray."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_jsonable_python

from balltrain.errors import UsageError
from balltrain.knobs import recorded
from balltrain.programs.program import Program, ProgramRef
from balltrain.records.figures import COSTS, LOSSES
from balltrain.records.goals import Goals
from balltrain.records.state import Point
from balltrain.search.constraints import check_known
from balltrain.search.freeze_thaw import FreezeThaw
from balltrain.search.front_searchers import FRONT_SEARCHERS
from balltrain.search.front_stopping import FrontStopping
from balltrain.search.grid import grid_points
from balltrain.search.objectives import resolved as resolved_objectives
from balltrain.search.searchers import FREEZE_THAW, GRID, Searcher, build_searcher
from balltrain.search.space import Space
from balltrain.search.starts import start_point
from balltrain.search.stopping import StoppingRule, build_stopping
from balltrain.search.sweep import Sweep
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Trainable, options_of, resolve
from balltrain.tasks.plain import plain, refuse_no_json
from balltrain.tasks.protocols import ChecksWeights
from balltrain.training.running import training_names


@dataclass(frozen=True)
class Plan:
    """A sweep with everything resolved and checked: made by `make_plan`.

    `sweep` has its epochs and grace period filled in, and no epochs to continue to where nothing is continued.
    """

    name: str
    sweep: Sweep
    ref: TaskRef | ProgramRef
    task: Trainable
    space: Space
    request: DataRequest
    known: tuple[Point, ...] = ()  # the best of earlier sweeps, as they were when this one began

    @property
    def epochs(self) -> int:
        """The most that a trial of the search trains."""
        assert self.sweep.epochs is not None  # make_plan has filled it in
        return self.sweep.epochs

    @property
    def most_epochs(self) -> int:
        """Of the trials that go on after the search, and of those that confirm it."""
        return self.sweep.continue_epochs or self.epochs

    @property
    def num_searched(self) -> int:
        """Trials of the search: one for each configuration and fold."""
        return self.sweep.most_trials * (self.sweep.folds or 1)

    @property
    def num_trials(self) -> int:
        """Trainings in all, those that confirm the best among them; fewer where the search found fewer."""
        return self.num_searched + min(self.sweep.confirm, self.sweep.most_trials) * self.sweep.repeats

    @property
    def after_search(self) -> dict[str, Any]:
        """What trials that go on after the search, or confirm it, have in place of the search's values."""
        patience = self.sweep.continue_patience
        return {"epochs": self.most_epochs, **({} if patience is None else {"patience": patience})}

    def configure(self, values: Mapping[str, Any], epochs: int | None = None) -> dict[str, Any]:
        """All hyperparameters of a trial, as JSON. Raises UsageError where they break the task's rules.

        `epochs` are the search's unless given.
        """
        hp = resolve(self.task, {**self.sweep.hyperparameters, **values, "epochs": epochs or self.epochs})
        return as_json(hp)

    def asks_for(self, figure: str) -> bool:
        """Whether an objective or a constraint names it."""
        names = () if self.goals is None else self.goals.names
        return figure in (*names, *(bound.figure for bound in self.sweep.bounds))

    @functools.cached_property
    def goals(self) -> Goals | None:
        """Where the sweep has several objectives."""
        return Goals.of({"objectives": self.sweep.objectives, "prefer": self.sweep.prefer})

    def build_stopping(self) -> StoppingRule:
        """The rule that stops trials, which knows of no trial yet."""
        sweep = self.sweep
        if self.goals is not None:
            return FrontStopping(sweep.scheduler, self.epochs, sweep.grace or 1, sweep.reduction_factor)
        return build_stopping(sweep.scheduler, self.task.mode, self.epochs, sweep.grace or 1, sweep.reduction_factor)

    def build_freeze_thaw(self) -> FreezeThaw | None:
        """The search that decides on trials and on their epochs; None where the searcher is another."""
        if self.sweep.searcher != FREEZE_THAW:
            return None
        return FreezeThaw(
            self.space,
            self.task.mode,
            self.sweep.seed,
            self.epochs,
            self.sweep.most_trials,
            first=self.first_points(),
        )

    def first_points(self) -> list[Point]:
        """What is tried before the searcher proposes: the user's own guesses; before freeze-thaw the defaults too.

        Raises UsageError for a guess that the space does not hold.
        """
        defaults = self.configure({})
        found = [start_point(start, defaults, self.space) for start in self.sweep.start]
        found += [point for point in self.known if point not in found]
        return [*found, self.space.nearest(defaults)] if self.sweep.searcher == FREEZE_THAW else found

    @property
    def search_epochs(self) -> int | None:
        """That freeze-thaw trains in all; None where the end of the search is that of its trials."""
        found = self.build_freeze_thaw()
        return None if found is None or self.sweep.trials is None else math.ceil(found.budget)

    @property
    def follows_search(self) -> bool:
        """Whether trials go on, or are confirmed, after the search."""
        return bool(self.sweep.continue_best or self.sweep.confirm)

    @property
    def fewest_epochs(self) -> int:
        """That say anything of a new trial: those before it may be stopped, or may pause."""
        found = self.build_freeze_thaw()
        if found is not None:
            return found.milestones[0]
        return (self.sweep.grace or 1) if self.sweep.scheduler != "none" else self.epochs

    @property
    def epochs_after_search(self) -> int:
        """Of the best that go on, and of those that are confirmed; at most, for patience may end them."""
        going_on = min(self.sweep.continue_best, self.sweep.most_trials) * (self.most_epochs - self.epochs)
        return going_on + (self.num_trials - self.num_searched) * self.most_epochs

    def build_searcher(self) -> Searcher:
        """The searcher, which has proposed nothing yet."""
        if self.goals is not None and self.sweep.searcher in FRONT_SEARCHERS:
            made = FRONT_SEARCHERS[self.sweep.searcher]
            return made(self.space, len(self.goals.objectives), self.sweep.seed)
        return build_searcher(self.sweep.searcher, self.space, self.task.mode, self.sweep.seed, self.sweep)

    @property
    def advice(self) -> str | None:
        """What could be better about a plan that is right."""
        trials = self.sweep.trials
        if trials is None:
            return None
        if self.sweep.searcher == GRID and trials < (points := len(grid_points(self.space))):
            return f"{trials} of the grid's {points} points are tried: --trials {points} tries all"
        below = 2 ** (trials.bit_length() - 1)
        if self.sweep.searcher != "sobol" or trials == below or self.sweep.sobol_numbers != "scipy":
            return None
        return (
            f"{trials} Sobol points cover the space less evenly than a power of two: --trials {below} or {2 * below}"
        )

    def to_json(self) -> dict[str, Any]:
        """The part of `sweep.json` that follows from the sweep alone."""
        return {
            "name": self.name,
            "task": self.task.name,
            **({"program": self.task.kind} if isinstance(self.task, Program) else {}),
            "task_file": self.ref.file,
            "task_code": self.ref.code_id,
            "space": self.space.to_json(),
            **to_jsonable_python(recorded(self.sweep), fallback=repr),
            "objective": self.task.objective,
            "mode": self.task.mode,
            "search_epochs": self.search_epochs,
            "known": list(self.known),
            **({} if self.sweep.reference is None else {"reference": self.sweep.reference.to_json()}),
            "data": self.request.to_dict(),
        }


def make_plan(
    sweep: Sweep, ref: TaskRef | ProgramRef, *, name: str, request: DataRequest, check_weights: bool = True
) -> Plan:
    """Resolve a sweep, and check all that needs neither data nor Ray.

    Files of weights need not be there any more where nothing but begun trainings go on: `check_weights` is then
    false. Raises UsageError that quotes the value and the rule.
    """
    task, space = ref.load(), Space(sweep.space)
    if isinstance(task, Program):
        _take(task, sweep, space, request)
    else:
        options_of(task, request)
        own = (sweep.objective or task.objective, sweep.mode or task.mode)
        if not sweep.is_several and own != (task.objective, task.mode):
            raise UsageError(
                f"the task {task.name} has an objective of its own, {task.objective} ({task.mode}): leave out "
                "objective and mode"
            )
        check_known(sweep.bounds, figures_of_task(task), task.name)
    for reserved in {"epochs"} & {label.split("/")[0] for label in sweep.space}:
        raise UsageError(f"{reserved} cannot be in the space: it is the scheduler's budget, Sweep(epochs=…)")
    plan = Plan(name, _resolved(sweep, task, space), ref, task, space, request)
    if not space.dimensions and plan.sweep.searcher == "hyperopt":
        raise UsageError(
            'the space has nothing to search: give a range, such as {"lr": tune.loguniform(1e-4, 1e-1)}, or train '
            "the defaults by balltrain train"
        )
    plan.build_stopping()
    if space.grids and plan.sweep.searcher != GRID:
        raise UsageError(
            f"{space.grids[0]}: tune.grid_search needs the searcher {GRID}, but this one is "
            f"{plan.sweep.searcher}: add --searcher {GRID}, or use tune.choice"
        )
    if plan.sweep.searcher not in (FREEZE_THAW, "hyperopt", "random"):
        plan.build_searcher()  # it has limits on the space
    plan.first_points()
    _check_corners(plan, check_weights)
    return plan


def as_json(hp: Any) -> dict[str, Any]:
    """Hyperparameters as journals and checkpoints have them. Raises UsageError by its name for what JSON lacks."""
    try:
        found = hp.model_dump(mode="json", warnings=False)
    except ValueError:  # pydantic's, which does not say of which field
        found = {}
        for name, value in hp:
            try:
                found[name] = to_jsonable_python(plain(value))
            except ValueError:
                refuse_no_json(plain(value), f"the hyperparameter {name}")
                raise
    # a tuple becomes a list, as when it is read back; equal names and words of all trials are one string
    return dict(from_json(json.dumps(found), cache_strings="all"))


def _take(program: Program, sweep: Sweep, space: Space, request: DataRequest) -> None:
    """Tell a program what hyperparameters it has. Raises UsageError for what only tasks have."""
    if request.to_dict() != DataRequest(seed=request.seed).to_dict():
        raise UsageError(f"{program.name} reads its data by itself: leave out source, size and data")
    if sweep.epochs is None:
        raise UsageError(f"a trial of {program.name} needs a maximum number of epochs: add epochs=N (--epochs N)")
    values: dict[str, list[Any]] = {name: [value] for name, value in sweep.hyperparameters.items()}
    middle = space.from_unit_cube([0.5] * len(space.dimensions))
    points = [space.decode(point) for point in (middle, *space.corners())]
    for point in points:
        for name, value in point.items():
            # what only some options of a choice have is null with the others
            absent = [] if all(name in other for other in points) else [None]
            values.setdefault(name, absent).append(plain(value))
    for name in ("epochs", "patience"):
        values.pop(name, None)
    program.take(values)


def figures_of_task(task: Trainable) -> list[str]:
    """What objectives and constraints of a task may name."""
    return [*task.metric_names, *LOSSES, *COSTS, *training_names(task)]


def _resolved(sweep: Sweep, task: Trainable, space: Space) -> Sweep:
    names = None if isinstance(task, Program) else figures_of_task(task)
    sweep = dataclasses.replace(sweep, objectives=resolved_objectives(sweep, task, names, sweep.mode))
    if sweep.searcher == FREEZE_THAW:
        sweep = dataclasses.replace(sweep, scheduler="none")  # it pauses trials itself
    if sweep.searcher == GRID:
        sweep = dataclasses.replace(sweep, trials=min(sweep.most_trials, len(grid_points(space))))
    if not sweep.has_end:
        sweep = dataclasses.replace(sweep, trials=sweep.most_trials)
    epochs = sweep.epochs or resolve(task, sweep.hyperparameters).epochs
    continue_epochs, continue_patience = sweep.continue_epochs, sweep.continue_patience
    if not sweep.continue_best:
        continue_epochs = continue_patience = None
    elif sweep.continue_epochs is None:
        raise UsageError("the best trials need an epoch to go on to: add --epochs N, or Sweep(continue_epochs=N)")
    elif sweep.continue_epochs <= epochs:
        raise UsageError(
            f"the best go on to epoch {sweep.continue_epochs}, but all trials of the search train to epoch {epochs} "
            "already: continue to a higher one, or search with fewer epochs"
        )
    grace = sweep.grace
    if grace is None and sweep.searcher != FREEZE_THAW:
        grace = max(1, math.ceil(epochs / 10))
    return dataclasses.replace(
        sweep, epochs=epochs, grace=grace, continue_epochs=continue_epochs, continue_patience=continue_patience
    )


def _check_corners(plan: Plan, check_weights: bool) -> None:
    """Every bound and option of the space, by the task's own rules."""
    for point in plan.space.corners():
        try:
            hp = plan.task.Hyperparameters(**plan.configure(plan.space.decode(point)))
            if check_weights and isinstance(plan.task, ChecksWeights):
                plan.task.check_weights(hp)
            plan.configure(plan.space.decode(point), plan.most_epochs)
        except UsageError as error:
            raise UsageError(f"the space of the sweep allows what {plan.task.name} refuses: {error}") from None
