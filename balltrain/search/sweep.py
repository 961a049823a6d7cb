"""A sweep: a task, a search space and a budget. What a sweep file defines, and what a run of it resolves to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balltrain.errors import UsageError
from balltrain.search.searchers import MAX_SOBOL_POINTS, SEARCHERS, Searcher, build_searcher
from balltrain.search.space import Space
from balltrain.search.stopping import Stopping
from balltrain.tasks import TaskRef, only_task, read_source, run_file, task_ref
from balltrain.tasks.base import DataRequest, Task, options_of, resolve

INSTALLED_SWEEPS = Path(__file__).parents[1] / "sweeps"  # in a wheel
CHECKOUT_SWEEPS = Path(__file__).parents[2] / "sweeps"  # in a clone


@dataclass(frozen=True)
class Sweep:
    """What to search, and with how much. Every value but the space can be changed on the command line.

    `space` uses Ray Tune's search space API, with names of the task's hyperparameters as keys;
    `hyperparameters` are those that differ from the task's defaults in every trial. `epochs` is the most that
    a trial trains. ASHA stops trials at epochs `grace`, `grace * reduction_factor`, …; `grace` is a tenth of
    the epochs unless given. With `folds` every configuration is trained once a fold of a cross-validation, and the
    searcher is told the mean; a trial is then one fold. With `confirm`, so many of the best configurations are
    trained again at the end, each with `repeats` new seeds and not stopped by ASHA; the winner has the best mean.
    With `continue_best`, so many of the search's best trials go on from their checkpoints once it has ended, up to
    epoch `continue_epochs`, no longer stopped by ASHA: a second stage, after which the best are confirmed.
    The searcher sobol takes the points of its sequence from `sobol_start` on, scrambled by the seed or not.
    Of trials that have ended, the checkpoints of the best `keep_checkpoints` are kept, of folds and repeats all.
    """

    task: str | Task
    space: Mapping[str, Any]
    trials: int = 100
    epochs: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    searcher: str = "hyperopt"
    sobol_start: int = 0
    sobol_scramble: bool = True
    scheduler: str = "asha"
    grace: int | None = None
    reduction_factor: float = 3
    seed: int = 0
    folds: int | None = None
    keep_checkpoints: int = 5
    continue_best: int = 0
    continue_epochs: int | None = None
    confirm: int = 0
    repeats: int = 5

    def main(self, file: str) -> None:
        """Run this file's sweep with the options of `balltrain sweep`: the last line of a sweep file."""
        import sys
        from importlib.metadata import entry_points

        # the command as a shell finds it: what defines a sweep is imported by the command line, not the reverse
        (command,) = entry_points(group="console_scripts", name="balltrain")
        command.load()(["sweep", file, *sys.argv[1:]])


@dataclass(frozen=True)
class Plan:
    """A sweep with everything resolved and checked: made by `make_plan`."""

    name: str
    ref: TaskRef
    task: Task
    space: Space
    trials: int
    epochs: int
    hyperparameters: dict[str, Any]
    searcher: str
    scheduler: str
    grace: int
    reduction_factor: float
    seed: int
    folds: int | None
    request: DataRequest
    keep_checkpoints: int = 5
    confirm: int = 0
    repeats: int = 5
    sobol_start: int = 0
    sobol_scramble: bool = True
    continue_best: int = 0
    continue_epochs: int | None = None

    @property
    def most_epochs(self) -> int:
        """Of the trials that go on after the search, and of those that confirm it."""
        return self.continue_epochs or self.epochs

    @property
    def num_searched(self) -> int:
        """Trials of the search: one for each configuration and fold."""
        return self.trials * (self.folds or 1)

    @property
    def num_trials(self) -> int:
        """Trainings in all, those that confirm the best among them; fewer where the search found fewer."""
        return self.num_searched + min(self.confirm, self.trials) * self.repeats

    def configure(self, values: Mapping[str, Any], epochs: int | None = None) -> dict[str, Any]:
        """All hyperparameters of a trial, as JSON. Raises UsageError where they break the task's rules.

        `epochs` are the search's unless given.
        """
        hp = resolve(self.task, {**self.hyperparameters, **values, "epochs": epochs or self.epochs})
        return hp.model_dump(mode="json")

    def build_stopping(self) -> Stopping:
        return Stopping(self.scheduler, self.task.mode, self.epochs, self.grace, self.reduction_factor)

    def build_searcher(self) -> Searcher:
        options = {"start": self.sobol_start, "scramble": self.sobol_scramble} if self.searcher == "sobol" else {}
        return build_searcher(self.searcher, self.space, self.task.mode, self.seed, **options)

    @property
    def advice(self) -> str | None:
        """What could be better about a plan that is right."""
        below = 2 ** (self.trials.bit_length() - 1)
        if self.searcher != "sobol" or self.trials == below:
            return None
        return (
            f"{self.trials} Sobol points cover the space less evenly than a power of two: "
            f"--trials {below} or {2 * below}"
        )

    def to_json(self) -> dict[str, Any]:
        """The part of `sweep.json` that follows from the sweep alone."""
        return {
            "name": self.name,
            "task": self.task.name,
            "task_file": self.ref.file,
            "objective": self.task.objective,
            "mode": self.task.mode,
            "space": self.space.to_json(),
            "hyperparameters": dict(self.hyperparameters),
            "searcher": self.searcher,
            "sobol_start": self.sobol_start,
            "sobol_scramble": self.sobol_scramble,
            "scheduler": {
                "name": self.scheduler,
                "grace": self.grace,
                "reduction_factor": self.reduction_factor,
            },
            "trials": self.trials,
            "epochs": self.epochs,
            "seed": self.seed,
            "folds": self.folds,
            "keep_checkpoints": self.keep_checkpoints,
            "continue_best": self.continue_best,
            "continue_epochs": self.continue_epochs,
            "confirm": self.confirm,
            "repeats": self.repeats,
            "data": self.request.to_dict(),
        }


def find_sweep(task_or_file: str) -> tuple[Sweep, TaskRef]:
    """The sweep for what a user typed: a Python file, or the name of one in `sweeps/`.

    Raises UsageError where there is none, or the file holds no sweep.
    """
    path = Path(task_or_file)
    if path.suffix != ".py":
        path = _shipped(task_or_file)
    source = read_source(path)
    module = run_file(path, source)
    sweeps = [value for value in vars(module).values() if isinstance(value, Sweep)]
    if len(sweeps) != 1:
        raise UsageError(f"{path} has {len(sweeps)} sweeps: define exactly one, `sweep = balltrain.Sweep(…)`")
    (sweep,) = sweeps
    if isinstance(sweep.task, str):
        return sweep, task_ref(sweep.task)
    return sweep, TaskRef(only_task(module, str(path)).name, str(path.resolve()), source)


def make_plan(sweep: Sweep, ref: TaskRef, *, name: str, request: DataRequest, check_weights: bool = True) -> Plan:
    """Check everything that needs neither data nor Ray. Raises UsageError that quotes the value and the rule.

    Files of weights need not be there any more where nothing but begun trainings go on.
    """
    task = ref.load()
    options_of(task, request)
    if sweep.trials < 1:
        raise UsageError(f"the number of trials is {sweep.trials}, but must be at least 1")
    if sweep.searcher not in SEARCHERS:
        raise UsageError(f"unknown searcher {sweep.searcher!r}: choose one of {', '.join(SEARCHERS)}")
    if sweep.searcher != "sobol" and (sweep.sobol_start, sweep.sobol_scramble) != (0, True):
        raise UsageError(f"a start and scrambling are of the searcher sobol, and this one is {sweep.searcher}")
    if not 0 <= sweep.sobol_start <= MAX_SOBOL_POINTS - sweep.trials:
        raise UsageError(
            f"the Sobol points begin at {sweep.sobol_start}, but with {sweep.trials} of them that must be from 0 "
            f"to {MAX_SOBOL_POINTS - sweep.trials}"
        )
    if sweep.keep_checkpoints < 1:
        raise UsageError(f"the number of checkpoints to keep is {sweep.keep_checkpoints}, but must be at least 1")
    if sweep.folds is not None and sweep.folds < 2:
        raise UsageError(f"the number of folds is {sweep.folds}, but must be at least 2")
    if sweep.folds is not None and sweep.scheduler != "none":
        raise UsageError("folds compare by their mean, which needs all of them in full: use the scheduler none")
    if sweep.confirm < 0:
        raise UsageError(f"the number of configurations to confirm is {sweep.confirm}, but must be at least 0")
    if sweep.repeats < 2:
        raise UsageError(f"the number of repeats is {sweep.repeats}, but an interval needs at least 2")
    if sweep.confirm and sweep.folds is not None:
        raise UsageError("folds give each configuration an interval already: leave out confirm, or the folds")
    if sweep.continue_best < 0:
        raise UsageError(f"the number of trials to continue is {sweep.continue_best}, but must be at least 0")
    if sweep.continue_best and sweep.folds is not None:
        raise UsageError("the folds of a configuration cannot be continued: leave out continue_best, or the folds")
    if sweep.continue_best and sweep.continue_epochs is None:
        raise UsageError("the best go on to which epoch? add --epochs N, or Sweep(continue_epochs=N)")
    space = Space(sweep.space)
    for reserved in {"epochs"} & {label.split("/")[0] for label in sweep.space}:
        raise UsageError(f"{reserved} cannot be in the space: it is the scheduler's budget, Sweep(epochs=…)")
    fixed = dict(sweep.hyperparameters)
    epochs = sweep.epochs or resolve(task, fixed).epochs
    if sweep.epochs is not None and sweep.epochs < 1:
        raise UsageError(f"the number of epochs is {sweep.epochs}, but must be at least 1")
    if sweep.continue_best and sweep.continue_epochs is not None and sweep.continue_epochs <= epochs:
        raise UsageError(
            f"the best go on to epoch {sweep.continue_epochs}, but all trials of the search train to epoch {epochs} "
            "already: continue to a higher one, or search with fewer epochs"
        )
    plan = Plan(
        name=name,
        ref=ref,
        task=task,
        space=space,
        trials=sweep.trials,
        epochs=epochs,
        hyperparameters=fixed,
        searcher=sweep.searcher,
        scheduler=sweep.scheduler,
        grace=sweep.grace if sweep.grace is not None else max(1, math.ceil(epochs / 10)),
        reduction_factor=sweep.reduction_factor,
        seed=sweep.seed,
        folds=sweep.folds,
        keep_checkpoints=sweep.keep_checkpoints,
        request=request,
        confirm=sweep.confirm,
        repeats=sweep.repeats,
        sobol_start=sweep.sobol_start,
        sobol_scramble=sweep.sobol_scramble,
        continue_best=sweep.continue_best,
        continue_epochs=sweep.continue_epochs if sweep.continue_best else None,
    )
    plan.build_stopping()
    if plan.searcher == "sobol":
        plan.build_searcher()  # it has limits on the space
    for point in space.corners():
        try:
            hp = task.Hyperparameters(**plan.configure(space.decode(point)))
            if check_weights:
                task.check_weights(hp)
            plan.configure(space.decode(point), plan.most_epochs)
        except UsageError as error:
            raise UsageError(f"the space of the sweep allows what {task.name} refuses: {error}") from None
    return plan


def override(sweep: Sweep, **options: Any) -> Sweep:
    """The sweep with the options that were given (not None) in place of its own."""
    return dataclasses.replace(sweep, **{name: value for name, value in options.items() if value is not None})


def shipped_sweeps() -> list[str]:
    """Names of the sweep files that come with balltrain."""
    return sorted(path.stem for path in _folder().glob("*.py"))


def _shipped(name: str) -> Path:
    if name not in shipped_sweeps():
        raise UsageError(f"no sweep of {name!r}: choose one of {', '.join(shipped_sweeps())}, or a Python file")
    return _folder() / f"{name}.py"


def _folder() -> Path:
    return INSTALLED_SWEEPS if INSTALLED_SWEEPS.is_dir() else CHECKOUT_SWEEPS
