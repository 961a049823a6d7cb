"""What is wrong with a task's class, found once, when it is loaded: not in its trials, an hour later."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from balltrain.errors import UsageError
from balltrain.tasks.base import DataOptions, Hyperparameters, Task

# what the loop calls each method with; `metrics` with `thorough` by its name
ARGUMENTS = {
    "prepare": ("request", "arrays"),
    "build_model": ("hp", "facts"),
    "loss": ("model", "batch", "hp"),
    "predict": ("model", "batch", "hp"),
    "metrics": ("outputs", "targets", "hp"),
}
LOSSES = ("val_loss", "train_loss")  # objectives that every task has
# columns of a row of an epoch, in reports and in the tables: a metric of the same name would be taken for it
ROW_COLUMNS = frozenset({
    "sweep", "trial_id", "epoch", "seconds", "lr", "train_loss", "val_loss", "metrics", "objective",
    "num_params", "latency_seconds", "digest", "first_loss", "start", "node", "decision", "reported_at"
})  # fmt: skip
# columns of a row of a trial; the hyperparameters that every task has stand beside theirs
TRIAL_COLUMNS = frozenset({
    "sweep", "task", "trial_id", "number", "status", "objective", "best_epoch", "epochs", "seconds",
    "started_at", "ended_at", "error", "checkpoint", "node", "seed", "num_params", "latency_seconds",
    "data_fingerprint", "fold", "digest", "first_loss", "start", "continued_after", "same_as", "confirms",
    "stopped_by"
}) - frozenset(Hyperparameters.model_fields)  # fmt: skip


def check_task(task: Task, where: str, taken_names: Iterable[str] = ()) -> Task:
    """The task, where nothing is wrong with it; `where` is what it was loaded from, a file or an entry point.

    Raises UsageError that quotes the class, the value and the rule.
    """
    check_name(task, f"the task in {where}", taken_names)
    what = f"{type(task).__name__} in {where}"
    _check_methods(task, what)
    _check_class(task.Hyperparameters, Hyperparameters, f"{what}: Hyperparameters")
    _check_class(task.DataOptions, DataOptions, f"{what}: DataOptions")
    _check_hyperparameters(task, what)
    for attribute in ("metric_names", "inputs"):
        _check_names(getattr(task, attribute), f"{what}: {attribute}")
    _check_metrics(task, what)
    _check_objective(task, what)
    return task


def check_name(task: Task | type[Task], what: str, taken_names: Iterable[str]) -> None:
    """Raises UsageError for a task that has no name, or one that a built-in one has."""
    name = getattr(task, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f'{what} needs a name, an identifier: set `name = "…"` in its class')
    if name in taken_names:
        raise UsageError(f"{what} is called {name}, as a built-in one: rename it")


def _check_methods(task: Task, what: str) -> None:
    missing = [name for name in ARGUMENTS if _function(task, name) is _function(Task, name)]
    if missing:
        own = [name for name, value in vars(type(task)).items() if callable(value) and not hasattr(Task, name)]
        near = difflib.get_close_matches(missing[0], own, n=1)
        hint = f"rename its {near[0]} to {missing[0]}" if near else f"define {_call(missing[0], 'self')}"
        raise UsageError(f"{what} has no {' and no '.join(missing)}: {hint}")
    for name, arguments in ARGUMENTS.items():
        if not callable(getattr(task, name)):
            raise UsageError(f"{what}: {name} is {getattr(task, name)!r}, but must be a method")
        by_name = {"thorough": True} if name == "metrics" else {}
        try:
            signature = inspect.signature(getattr(task, name))
            signature.bind(*arguments, **by_name)
        except ValueError:  # a callable that has no signature
            continue
        except TypeError as error:
            raise UsageError(f"{what}: {name}{signature} is called as {_call(name)}, but {error}") from None


def _function(owner: Task | type[Task], name: str) -> Any:
    found = getattr(owner, name)
    return getattr(found, "__func__", found)


def _call(name: str, *first: str) -> str:
    arguments = [*first, *ARGUMENTS[name]]
    if name == "metrics":
        arguments += ["*, thorough"] if first else ["thorough=True"]
    return f"{name}({', '.join(arguments)})"


def _check_class(found: object, base: type[BaseModel], what: str) -> None:
    if isinstance(found, type) and issubclass(found, base):
        return
    if not isinstance(found, type):
        shown = f"{found!r}, which is no class"
    elif dataclasses.is_dataclass(found):
        shown = f"the dataclass {found.__name__}"
    elif issubclass(found, BaseModel):
        shown = f"{found.__name__}, another pydantic model"
    else:
        shown = f"the class {found.__name__}"
    name = found.__name__ if isinstance(found, type) else base.__name__
    raise UsageError(f"{what} is {shown}: begin it with `class {name}(balltrain.{base.__name__}):`")


def _check_hyperparameters(task: Task, what: str) -> None:
    names = list(task.Hyperparameters.model_fields)
    for name in names:
        if name.lower() in TRIAL_COLUMNS:
            raise UsageError(f"{what}: the hyperparameter {name} has the name of a column of the results: rename it")
    _refuse_twins(names, f"{what}: the hyperparameters")


def _check_names(found: object, what: str) -> None:
    if not isinstance(found, tuple | list) or not all(isinstance(name, str) and name for name in found):
        hint = f'write ("{found}",)' if isinstance(found, str) else 'write ("…", "…")'
        raise UsageError(f"{what} = {found!r}, but must be a tuple of names: {hint}")


def _check_metrics(task: Task, what: str) -> None:
    for name in task.metric_names:
        if name.lower() == "loss":
            raise UsageError(
                f"{what}: metric_names has loss, which becomes the column val_loss by itself: leave it out"
            )
        if name.lower() in ROW_COLUMNS:
            hint = "return it as loss" if name == "val_loss" else "rename it"
            raise UsageError(f"{what}: the metric {name} has the name of a column of each row: {hint}")
    _refuse_twins(task.metric_names, f"{what}: the metrics")


def _check_objective(task: Task, what: str) -> None:
    if task.mode not in ("min", "max"):
        raise UsageError(f"{what}: mode = {task.mode!r}: choose min or max")
    known = (*task.metric_names, *LOSSES)
    if task.objective not in known:
        near = difflib.get_close_matches(str(task.objective), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"
        raise UsageError(f"{what}: the objective {task.objective!r} is none of its metrics: {hint}")


def _refuse_twins(names: Iterable[str], what: str) -> None:
    """Columns of tables do not differ by case in the SQL of `--where`."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.get(name.lower())
        if other is not None:
            differ = f"{other} and {name} differ in case alone" if other != name else f"{name} is there twice"
            raise UsageError(f"{what}: {differ}: rename one")
        seen[name.lower()] = name
