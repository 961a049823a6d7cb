"""A sweep: a task, a search space and a budget. What a sweep file defines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from balltrain.errors import UsageError
from balltrain.knobs import Panel, knob, knobs_of, require_at_least
from balltrain.records.bounds import Constraint
from balltrain.records.goals import Objective
from balltrain.search.constraints import parsed_constraints
from balltrain.search.front_searchers import NSGA2
from balltrain.search.limits import DEFAULT_TRIALS, MOST_TRIALS, Limits
from balltrain.search.objectives import DEFAULT as FRONT_SEARCHER
from balltrain.search.objectives import Several, check_combination
from balltrain.search.published import Published
from balltrain.search.searchers import FREEZE_THAW, IN_ORDER, MAX_SOBOL_POINTS, SEARCHERS, Sobol, sobol_range
from balltrain.search.stopping import SCHEDULERS, Asha
from balltrain.tasks.plain import plain

if TYPE_CHECKING:
    from balltrain.programs.commands import Command
    from balltrain.programs.program import Program
    from balltrain.tasks.base import Task  # whose torch the command line's help does without


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many trials, and how long each."""

    trials: int | None = knob(
        None,
        "Number of configurations to try.",
        Panel.SEARCH,
        says=f"{DEFAULT_TRIALS}, with a budget as many as it has room for",
    )
    epochs: int | None = knob(
        None,
        "Maximum number of epochs of a trial.",
        Panel.SEARCH,
        says="the task's",
        mixes="another number of epochs",
    )

    def __post_init__(self) -> None:
        require_at_least(self.trials, 1, "the number of trials")
        require_at_least(self.epochs, 1, "the number of epochs")


@dataclass(frozen=True, kw_only=True)
class SecondStage:
    """The best of the search go on from their checkpoints, no longer stopped by ASHA."""

    continue_best: int = knob(
        0,
        "Number of best trials that go on to --epochs after the search, which keeps the sweep's own epochs.",
        Panel.AFTER,
        earlier=0,
    )
    continue_epochs: int | None = knob(
        None,
        "Last epoch of the trials that go on. With it, --epochs is the limit of the search's trials.",
        Panel.AFTER,
        says="none",
    )

    continue_patience: int | None = knob(
        None,
        "Number of epochs without a better objective, after which a trial that goes on ends.",
        Panel.AFTER,
        says="the patience of the search",
    )

    def __post_init__(self) -> None:
        require_at_least(self.continue_best, 0, "the number of trials to continue")
        require_at_least(self.continue_patience, 1, "the patience of those that go on")
        require_at_least(self.continue_epochs, 1, "the epoch to continue to")


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The best configurations are trained again with new seeds; the winner has the best mean."""

    confirm: int = knob(0, "Number of best configurations to train again with new seeds.", Panel.AFTER, earlier=0)
    repeats: int = knob(
        5, "Number of new seeds for each configuration that --confirm trains.", Panel.AFTER, earlier=5
    )

    def __post_init__(self) -> None:
        require_at_least(self.confirm, 0, "the number of configurations to confirm")
        if self.repeats < 2:
            raise UsageError(f"the number of repeats is {self.repeats}, but an interval needs at least 2")


PARTS = (Budget, Limits, Several, Sobol, Asha, SecondStage, Confirmation)


@dataclass(frozen=True)
class Sweep(Budget, Limits, Several, Sobol, Asha, SecondStage, Confirmation):
    """What to search, and with how much. Every value but the space can be changed on the command line.

    `space` uses Ray Tune's search space API, with names of the task's hyperparameters as keys;
    `hyperparameters` are those that differ from the task's defaults in every trial. `epochs` is the most that
    a trial trains. ASHA stops trials at epochs `grace`, `grace * reduction_factor`, …; `grace` is a tenth of
    the epochs unless given. With `folds` every configuration is trained once a fold of a cross-validation, and the
    searcher is told the mean; a trial is then one fold. With `confirm`, so many of the best configurations are
    trained again at the end, each with `repeats` new seeds and not stopped by ASHA; the winner has the best mean.
    With `continue_best`, so many of the search's best trials go on from their checkpoints once it has ended, up to
    epoch `continue_epochs`, no longer stopped by ASHA, and with the patience `continue_patience`: a second stage,
    after which the best are confirmed.
    `time_budget`, `gpu_hours`, `cpu_hours`, `until` and `stop_when_flat` end the search before its trials are used
    up; where no number of trials is given, they alone do.
    The searcher sobol takes the points of its sequence from `sobol_start` on, scrambled by the seed or not, or those
    of Bratley and Fox's (`sobol_numbers`), which many searches of other projects were made with.
    `start` are configurations to try first, which may leave hyperparameters to the task's defaults; then come
    the best of the sweeps that `from_` names.
    `objectives` are several figures, such as ["accuracy:max", "num_params:min"]: kept is the front, which no other
    trial beats; `prefer` says which of it is the best.
    `constraints` are bounds such as "num_params <= 1e6": a trial that breaks one is infeasible, and never the best.
    `reference` is what was published of this search, which results and report show beside what the sweep reached.
    Of trials that have ended, the checkpoints of the best `keep_checkpoints` are kept, of folds and repeats all.

    Its parts, `Budget`, `Limits`, `Several`, `Sobol`, `Asha`, `SecondStage` and `Confirmation`, check their own
    values and can be made alone.

    Args:
        task: A task's name, a `Task`, or a function that trains: `def train(trial)`, with a `balltrain.Trial`.
        space: Hyperparameters to search, by name. `help(balltrain.sweep)` has all the others.

    Raises:
        UsageError: A value, or a combination, breaks a rule; the message quotes both.

    Example:
        >>> from ray import tune
        >>> space = {"lr": tune.loguniform(1e-4, 1e-2), "channels": tune.choice([16, 24])}
        >>> balltrain.Sweep("detect", space, trials=20, epochs=5)
        Sweep('detect', space of lr and channels, trials=20, epochs=5)
    """

    task: str | Task | Callable[..., Any] | Command | Program
    space: Mapping[str, Any]
    _: KW_ONLY
    hyperparameters: Mapping[str, Any] = knob(
        {},
        "Value of a hyperparameter in every trial. Repeatable.",
        Panel.MODEL,
        flag="set",
        metavar="KEY=VALUE",
        repeated=True,
        mixes="other fixed hyperparameters",
    )
    objective: str | None = knob(
        None,
        "Figure to optimise, of a function or a command; a task has its own.",
        Panel.SEARCH,
        says="the task's",
        mixes="another objective",
        is_option=False,  # --objective is that of objectives, which may be one
    )
    mode: str | None = knob(
        None,
        "Direction of the objective: min if the smallest is the best, or max.",
        Panel.SEARCH,
        says="the task's, else min",
        mixes="another mode",
    )
    constraints: Sequence[str] = knob(
        (),
        "Bound that trials must keep, such as 'num_params <= 1e6'. Repeatable.",
        Panel.SEARCH,
        flag="constraint",
        metavar="FIGURE<=NUMBER",
        repeated=True,
        mixes="other constraints",
        earlier=(),
    )
    searcher: str = knob(
        None,  # filled in when the sweep is made
        f"Method that proposes configurations: {', '.join(SEARCHERS.own_names())}, {NSGA2}, or a plug-in's.",
        Panel.SEARCH,
        says=f"hyperopt, {FRONT_SEARCHER} with several objectives",
        mixes="another searcher",
    )
    start: Sequence[Mapping[str, Any]] = knob(
        (),
        "Configuration to try first, such as lr=0.01,width=16. Repeatable.",
        Panel.SEARCH,
        metavar="KEY=VALUE,…",
        repeated=True,
        mixes="other configurations to begin with",
        earlier=(),
    )
    from_: Sequence[str] = knob(
        (),
        "Earlier sweep of the task, whose best configurations are tried first. Repeatable.",
        Panel.SEARCH,
        flag="from",
        metavar="NAME",
        repeated=True,
        record="from",
        mixes="other earlier sweeps",
        earlier=(),
    )
    scheduler: str = knob(
        "asha",
        f"Rule that stops trials early: {', '.join(SCHEDULERS.own_names())}, or a plug-in's.",
        Panel.STOPPING,
        record="scheduler.name",
        mixes="another scheduler",
    )
    seed: int = knob(
        0,
        "Seed of all that is random: data, splits, proposals, training.",
        Panel.RUN,
        mixes="another seed",
        minimum=0,
    )
    folds: int | None = knob(
        None,
        "Number of folds of a cross-validation. Each configuration is trained on each, and means are compared.",
        Panel.SEARCH,
        says="none",
        mixes="another number of folds",
    )
    reference: Published | None = None  # of the sweep file, which no option replaces
    keep_checkpoints: int = knob(5, "Number of checkpoints to keep, of the best trials that have ended.", Panel.AFTER)

    def __post_init__(self) -> None:
        for entry in knobs_of(self):  # numbers of numpy go into JSON as Python's
            object.__setattr__(self, entry.name, plain(getattr(self, entry.name)))
        for part in PARTS:
            part.__post_init__(self)
        if self.searcher is None:
            object.__setattr__(self, "searcher", FRONT_SEARCHER if self.is_several else "hyperopt")
        if self.is_several:
            self._take_first()
        if self.searcher != NSGA2:
            SEARCHERS.check(self.searcher)
        SCHEDULERS.check(self.scheduler)
        if self.searcher != "sobol" and Sobol() != Sobol(**_values(Sobol, self)):
            raise UsageError(
                f"start, scrambling and numbers of Sobol points need the searcher sobol, not {self.searcher}"
            )
        if self.sobol_start > MAX_SOBOL_POINTS - self.most_trials:
            raise UsageError(f"the Sobol points begin at {self.sobol_start}, but {sobol_range(self.most_trials)}")
        require_at_least(self.seed, 0, "the seed")
        require_at_least(self.keep_checkpoints, 1, "the number of checkpoints to keep")
        require_at_least(self.folds, 2, "the number of folds")
        if self.folds is not None:
            self._check_folds()
        check_combination(self)
        self._check_start()
        object.__setattr__(self, "constraints", tuple(str(bound) for bound in self.bounds))
        if self.searcher == FREEZE_THAW and SCHEDULERS.is_plugin(self.scheduler):
            raise UsageError(
                f"{FREEZE_THAW} pauses trials itself: leave out the scheduler {self.scheduler}, or use the searcher "
                "hyperopt"
            )
        if self.searcher == FREEZE_THAW and Asha() != Asha(**_values(Asha, self)):
            raise UsageError(
                f"grace period and reduction factor belong to ASHA, but {FREEZE_THAW} pauses trials itself: leave "
                "them out, or use --searcher hyperopt"
            )

    @property
    def most_trials(self) -> int:
        """Configurations to try at most: where a budget ends the search, and no number is given, very many."""
        return self.trials or (MOST_TRIALS if self.has_end else DEFAULT_TRIALS)

    def _take_first(self) -> None:
        """The first of several objectives is that by which a trial keeps its best epoch."""
        first = Objective.parsed(self.objectives[0])
        if self.objective not in (None, first.figure):
            raise UsageError(f"the objective is {self.objective}, and objectives begin with {first}: leave one out")
        object.__setattr__(self, "objective", first.figure)
        object.__setattr__(self, "mode", first.mode or self.mode)

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        """The constraints, parsed. Raises UsageError for one that is none."""
        return parsed_constraints(self.constraints)

    def _check_start(self) -> None:
        starts = list(self.start) if isinstance(self.start, list | tuple) else None
        if starts is None or not all(isinstance(start, Mapping) and start for start in starts):
            raise UsageError(
                f"start is {self.start!r}, but must be a list of configurations, such as [{{'lr': 0.01}}]"
            )
        object.__setattr__(self, "start", tuple(dict(start) for start in starts))
        if isinstance(self.from_, str) or not all(isinstance(name, str) for name in self.from_):
            raise UsageError(f"from_ is {self.from_!r}, but must be a list of names of sweeps")
        object.__setattr__(self, "from_", tuple(self.from_))
        for given, flag in ((self.start, "--start"), (self.from_, "--from")):
            if given and self.searcher in IN_ORDER:
                raise UsageError(f"{self.searcher} goes through points of its own: leave out {flag}, or the searcher")

    def _check_folds(self) -> None:
        if self.until is not None:
            raise UsageError(
                "folds are compared by their mean, but until ends the search at one trial: leave out one of them"
            )
        if self.searcher == FREEZE_THAW:
            raise UsageError(
                f"folds are compared by their mean, but {FREEZE_THAW} compares curves of trials: use another searcher"
            )
        if self.scheduler != "none":
            raise UsageError(
                "folds are compared by their mean, for which all must train in full: use the scheduler none"
            )
        if self.confirm:
            raise UsageError("folds give each configuration an interval already: leave out confirm, or the folds")
        if self.continue_best:
            raise UsageError(
                "the folds of a configuration cannot be continued: leave out continue_best, or the folds"
            )

    def __repr__(self) -> str:
        """The task, the names in its space, and what differs from the defaults."""
        plain = Sweep("", {})
        values = {entry.name: getattr(self, entry.name) for entry in knobs_of(self)}
        changed = [f"{name}={value!r}" for name, value in values.items() if value != getattr(plain, name)]
        task = self.task if isinstance(self.task, str) else name_of(self.task)
        return f"Sweep({', '.join([repr(task), 'space of ' + ' and '.join(self.space), *changed])})"

    def main(self, file: str) -> None:
        """Run this file's sweep with the options of `balltrain sweep`: the last line of a sweep file."""
        import sys
        from importlib.metadata import entry_points

        # the command as a shell finds it: what defines a sweep is imported by the command line, not the reverse
        (command,) = entry_points(group="console_scripts", name="balltrain")
        command.load()(["sweep", file, *sys.argv[1:]])


def name_of(trained: Any) -> str:
    """Of a task or a program, as an object or as a class, or of a function."""
    return str(getattr(trained, "name", None) or getattr(trained, "__name__", type(trained).__name__))


def override(sweep: Sweep, **options: Any) -> Sweep:
    """The sweep with the options that were given (not None) in place of its own.

    A budget that is given without a number of trials takes the place of the sweep's number.
    Raises UsageError for a combination that the sweep would refuse or that says two things at once.
    """
    if options.get("searcher") == FREEZE_THAW and options.get("scheduler") not in (None, "none"):
        raise UsageError(
            f"{FREEZE_THAW} pauses trials itself: leave out --scheduler {options['scheduler']}, or use --searcher "
            "hyperopt"
        )
    if options.get("searcher", sweep.searcher) == FREEZE_THAW != sweep.searcher:  # what the sweep has of ASHA goes
        options = {"grace": None, "reduction_factor": Asha.reduction_factor, **options}
        sweep = dataclasses.replace(sweep, grace=None)
    if sweep.searcher == FREEZE_THAW and options.get("searcher") is None and _asks_for_asha(options):
        options["searcher"] = "hyperopt"
    if len(options.get("objectives") or ()) > 1 and sweep.searcher == "hyperopt" and not options.get("searcher"):
        options = {**options, "searcher": FRONT_SEARCHER}
    if options.get("objectives") is not None:  # in place of the sweep's own
        sweep = dataclasses.replace(sweep, objectives=(), objective=None, mode=None, prefer=None)
    limits = {field.name: options.get(field.name) for field in dataclasses.fields(Limits)}
    if options.get("trials") is None and Limits(**limits).has_end:
        sweep = dataclasses.replace(sweep, trials=None)
    numbers = options.get("sobol_numbers") or sweep.sobol_numbers
    if options.get("sobol_scramble") and numbers != "scipy":
        raise UsageError(f"the Sobol numbers {numbers} are not scrambled: leave out --sobol-scramble")
    return dataclasses.replace(sweep, **{name: value for name, value in options.items() if value is not None})


def _asks_for_asha(options: Mapping[str, Any]) -> bool:
    return any(options.get(name) is not None for name in ("scheduler", "grace", "reduction_factor", "folds"))


def _values(part: type, sweep: Sweep) -> dict[str, Any]:
    return {field.name: getattr(sweep, field.name) for field in dataclasses.fields(part)}
