"""From the arguments of `sweep` and `train` to a plan and all that it runs with."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from balltrain.api.arguments import Data, Run, refuse_rest, taken, taken_knobs
from balltrain.errors import BalltrainError, UsageError
from balltrain.execution.resources import Resources
from balltrain.programs.command_program import CommandProgram
from balltrain.programs.commands import Command
from balltrain.programs.function import named_function
from balltrain.programs.program import ProgramRef
from balltrain.programs.refs import program_ref
from balltrain.records.goals import Objective, parsed_objectives
from balltrain.search.objectives import single
from balltrain.search.sweep import Sweep, name_of, override
from balltrain.search.sweep_files import find_sweep
from balltrain.storage import Storage
from balltrain.tasks import TaskRef, file_being_run
from balltrain.tasks.base import Task
from balltrain.tasks.sources import ref_of
from balltrain.tracking.mirrors import Mirrors, Tracking
from balltrain.tracking.notices import Notices

if TYPE_CHECKING:
    from balltrain.records.state import Point
    from balltrain.search.plan import Plan

Sweepable = str | os.PathLike[str] | Sweep | Task | type[Task] | Callable[..., Any] | Command
SpaceLike = Mapping[str, Any] | str | os.PathLike[str]  # the latter a TOML file


@dataclass(frozen=True)
class Prepared:
    """A sweep that is ready to run."""

    plan: Plan
    place: Storage
    resources: Resources
    mirrors: Mirrors
    notices: Notices
    data_dir: Path | None
    resume: bool
    began: float  # seconds since 1970


def prepare(
    what: Sweepable, space: SpaceLike | None, options: dict[str, Any], began: float | None = None
) -> Prepared:
    """Resolve and check everything that needs neither data nor Ray. A time budget counts from when it `began`.

    Raises UsageError or BalltrainError, which quote the value and the rule.
    """
    from balltrain.search.plan import make_plan

    began = began or time.time()
    refuse_within_file("sweep")
    options = {name: value for name, value in options.items() if value is not None}
    run, data, tracking = taken(Run, options), taken(Data, options), taken(Tracking, options)
    resources = taken(Resources, options)
    if resources.address is None:
        resources = dataclasses.replace(resources, address=os.environ.get("RAY_ADDRESS"))
    own = taken_knobs(Sweep, options)
    own = single(own)
    first = next(iter(parsed_objectives(own.get("objectives") or ())), Objective(own.get("objective", "")))
    found, ref = found_sweep(what, space, first.figure or None, first.mode or own.get("mode"))
    _refuse_hyperparameters(options, ref)
    refuse_rest(options, "sweep", Sweep, Run, Data, Tracking, Resources, more=("space", "progress"))
    name = run.checked_name(_short_name(what))
    place = Storage(run.uri)
    found = _overridden(found, own, place if run.resume else None, name)
    plan = make_plan(found, ref, name=name, request=data.request(found.seed))
    _check_command(plan, resources)
    if found.from_:
        plan = dataclasses.replace(plan, known=_known(plan, place, run.resume))
    mirrors, notices = tracking.mirrors(_pictures), tracking.notices()
    return Prepared(plan, place, resources, mirrors, notices, data.folder, run.resume, began)


def found_sweep(
    what: Sweepable, space: SpaceLike | None, objective: str | None = None, mode: str | None = None
) -> tuple[Sweep, TaskRef | ProgramRef]:
    """The sweep that is meant, and its task or program. Raises UsageError where it is none."""
    if isinstance(what, Sweep):
        if space is not None:
            raise UsageError("a Sweep has a space: leave out the second argument, or give a task")
        return what, _ref(what.task, objective or what.objective, mode or what.mode)
    if space is None and isinstance(what, str | os.PathLike) and not is_function(what):
        return find_sweep(os.fspath(what))
    if space is None:
        if isinstance(what, Command) or (isinstance(what, str) and is_function(what)):
            whose = f"the command {what.name}" if isinstance(what, Command) else f"the function {what}"
            raise UsageError(f"{whose} needs a space to search: add --space space.toml")
        kind = "function" if is_function(what) else "task"
        raise UsageError(
            f'a {kind} needs a space to search: balltrain.sweep({kind}, {{"lr": tune.loguniform(1e-4, 1e-1)}})'
        )
    ref = _ref(what, objective, mode)
    if isinstance(what, str | os.PathLike) and isinstance(ref, TaskRef):
        return Sweep(os.fspath(what), _checked_space(space, ref)), ref
    trained: Any = what() if isinstance(what, type) else what if isinstance(ref, TaskRef) else ref.load()
    return Sweep(trained, _checked_space(space, ref)), ref


def is_function(what: Any) -> bool:
    """Whether it is a function, or names one: `module:function`, `file.py:function`."""
    return isinstance(what, FunctionType) or (isinstance(what, str) and ":" in what)


def _ref(what: Any, objective: str | None, mode: str | None) -> TaskRef | ProgramRef:
    if (program := program_ref(what, objective, mode)) is not None:
        return program
    return named_function(what, objective, mode) if is_function(what) else ref_of(what)


def _checked_space(space: Any, ref: TaskRef | ProgramRef) -> Mapping[str, Any]:
    """Raises UsageError for a space that is none, or leaves nothing to search."""
    from balltrain.search.space import Space
    from balltrain.search.space_files import read_space

    if isinstance(space, str | os.PathLike):
        space = read_space(Path(space), ref.load().Hyperparameters.model_fields if isinstance(ref, TaskRef) else None)
    example = 'such as {"lr": tune.loguniform(1e-4, 1e-1)}'
    if not isinstance(space, Mapping):
        raise UsageError(f"the space is {space!r}, but must be a dict of hyperparameters, {example}")
    if not Space(space).dimensions:
        raise UsageError(f"the space {dict(space)} has nothing to search: give a range, {example}")
    return space


def _check_command(plan: Plan, resources: Resources) -> None:
    """Raises UsageError where the command of a plan cannot run, or would not see a hyperparameter."""
    if isinstance(plan.task, CommandProgram):
        fixed = plan.sweep.hyperparameters
        searched = [name for name in plan.task.own_hyperparameters if name not in fixed]
        folds, workers = plan.sweep.folds is not None, resources.workers_per_trial or 1
        plan.task.check(searched, fixed, folds=folds, workers=workers)


def refuse_within_file(function: str) -> None:
    """Raises BalltrainError where a user's file calls the API while it is read for its task, which would not end."""
    file = file_being_run()
    if file is not None:
        raise BalltrainError(
            f"{file.name} calls balltrain.{function}() when it is imported, and trials import it: "
            'put the call under `if __name__ == "__main__":`'
        )


def _refuse_hyperparameters(options: Mapping[str, Any], ref: TaskRef | ProgramRef) -> None:
    """Raises UsageError for an argument that `train` would take: a sweep has both spaces and fixed values."""
    for name in options:
        if name in ref.load().Hyperparameters.model_fields:
            raise UsageError(
                f"balltrain.sweep() has no {name!r}, which is a hyperparameter: fix it for every trial by "
                f"hyperparameters={{{name!r}: VALUE}}, or put it into the space"
            )


def _overridden(sweep: Sweep, options: dict[str, Any], resumed: Storage | None, name: str) -> Sweep:
    """With the options given. With `continue_best` and no `continue_epochs`, `epochs` is where the best go on to."""
    from balltrain.execution.resuming import recorded_epochs

    options = dict(options)
    if options.get("continue_best") and "continue_epochs" not in options and "epochs" in options:
        options["continue_epochs"] = options.pop("epochs")
        if resumed is not None:
            options["epochs"] = recorded_epochs(resumed.open(name))
    options["hyperparameters"] = {**sweep.hyperparameters, **options.get("hyperparameters", {})}
    found = override(sweep, **options)
    for option in ("continue_epochs", "continue_patience"):
        if option in options and not found.continue_best:
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"{flag} needs --continue-best K, the number of best trials that go on")
    if "repeats" in options and not found.confirm:
        raise UsageError("--repeats needs --confirm K, the number of best configurations to train again")
    return found


def _known(plan: Plan, place: Storage, resume: bool) -> tuple[Point, ...]:
    """What the sweeps know that it begins from; a resumed one keeps to what they knew when it began."""
    from balltrain.execution.resuming import check_name
    from balltrain.records.journal import read_journal
    from balltrain.records.results import load_results
    from balltrain.search.earlier import best_of

    if resume:
        check_name(folder := place.open(plan.name), resume=True)
        header = next(read_journal(folder), None)
        if header is not None:
            return tuple(header["sweep"].get("known") or ())
    sweeps = [load_results(place.fetch_tables(name).parent, name) for name in plan.sweep.from_]
    return tuple(best_of(sweeps, plan.task, plan.space))


def _short_name(what: Sweepable) -> str:
    if isinstance(what, str | os.PathLike):
        return os.fspath(what).rpartition(":")[2] if ":" in os.fspath(what) else Path(what).stem
    task = what.task if isinstance(what, Sweep) else what
    return task if isinstance(task, str) else name_of(task)


def _pictures(checkpoint: Path, data_dir: Path | None, folder: Path) -> list[Path]:
    from balltrain.reporting.gallery import pictures_of

    return pictures_of(checkpoint, data_dir, folder)
