"""`balltrain.train`: one model."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balltrain.api.arguments import Data, refuse_rest, taken, time_stamped
from balltrain.api.documented import documented
from balltrain.api.model import Model
from balltrain.api.preparing import _pictures, is_function, refuse_within_file
from balltrain.api.progress import Progress, training_view
from balltrain.api.results import Results
from balltrain.api.wording import in_python
from balltrain.errors import BalltrainError, UsageError
from balltrain.execution.resources import Resources
from balltrain.programs.commands import Command
from balltrain.search.sweep import Sweep
from balltrain.search.sweep_files import find_sweep
from balltrain.storage import Storage
from balltrain.tasks import TaskRef
from balltrain.tasks.base import Task
from balltrain.tasks.plain import plain
from balltrain.tasks.sources import ref_of
from balltrain.tracking.mirrors import Tracking


class Trained(Model):
    """A model with the `results` of its training."""

    def __init__(self, checkpoint: Path, results: Results):
        super().__init__(checkpoint)
        self.results = results

    def __repr__(self) -> str:
        best = self.results.best
        figure = f", {self.results.objective} {best.objective:.4g} at epoch {best.epoch}" if best else ""
        return f"Model({str(self.checkpoint)!r}{figure})"


@in_python
@documented(Data, Tracking)
def train(
    task: str | os.PathLike[str] | Task | type[Task],
    *,
    epochs: int | None = None,
    folds: int | None = None,
    workers: int = 1,
    num_gpus: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    hyperparameters: Mapping[str, Any] | None = None,
    progress: bool | Progress = True,
    **options: Any,
) -> Trained:
    """Train one model, with the task's best known hyperparameters unless told otherwise.

    Args:
        task: A task's name, a Python file with one, an object or a class.
        epochs: Most epochs; the task's own unless given.
        folds: Cross-validate: a training for each of so many folds; the best of them is returned.
        workers: Data-parallel workers.
        num_gpus: GPUs to use; one where there is one, unless given.
        seed: Of the data, its splits, and the initialisation.
        out: The run's folder; `runs/TASK-TIME` unless given.
        resume: Go on with the run in `out`.
        hyperparameters: Those that differ from the task's defaults, where they are in a dict.
        progress: Whether a line is printed on standard error after each epoch.
        **options: Those below; all others are hyperparameters, as in `lr=0.002`.

    Returns:
        The model; `model.results` has the figures of all epochs.

    Raises:
        BalltrainError: The training cannot run, or failed.

    Example:
        >>> model = balltrain.train("detect", epochs=1, size=60, lr=0.002, out="runs/one")
        >>> model.hyperparameters["lr"]
        0.002
    """
    results = train_results(
        task,
        {"epochs": epochs, "folds": folds, "seed": seed},
        Resources(num_gpus=num_gpus, workers_per_trial=workers),
        None if out is None else Path(out),
        resume,
        {"hyperparameters": hyperparameters or {}, **options},
        progress,
    )
    if results.best is None:
        raise BalltrainError(f"the training in {results.folder} has no checkpoint yet: go on with resume=True")
    return Trained(results.best.checkpoint, results)


def default_folder(task: str | os.PathLike[str]) -> Path:
    """Where the run of a task or of a file with one is kept unless told."""
    return Path("runs") / time_stamped(Path(task).stem)


def _task_of(task: Any) -> TaskRef:
    """Raises UsageError for what a sweep alone can train, such as a function."""
    program = is_function(task) or isinstance(task, Command)
    if not program and Path(task if isinstance(task, str | os.PathLike) else "").suffix == ".py":
        with contextlib.suppress(BalltrainError):  # of a file without a sweep
            program = not isinstance(find_sweep(os.fspath(task))[1], TaskRef)
    if program:
        raise UsageError(
            "a function or a command is trained by a sweep; one trial is one training: balltrain sweep … --trials 1"
        )
    return ref_of(task)


def train_results(
    task: str | os.PathLike[str] | Task | type[Task],
    budget: dict[str, Any],
    resources: Resources,
    out: Path | None,
    resume: bool,
    options: dict[str, Any],
    progress: bool | Progress,
) -> Results:
    """What `train` does, with the results of all that was trained; those of an interrupted training too."""
    from balltrain.execution.runner import run_sweep
    from balltrain.execution.single import train_once
    from balltrain.search.plan import make_plan

    refuse_within_file("train")
    workers = resources.workers_per_trial or 1
    if workers < 1 or resources.workers_per_trial == 0:
        raise UsageError(f"--workers is {resources.workers_per_trial}, but must be at least 1")
    if resume and out is None:
        raise UsageError("--resume needs the run's folder: --out runs/NAME")
    data, tracking = taken(Data, options), taken(Tracking, options)
    ref, in_dict = _task_of(task), options.pop("hyperparameters", {})
    hyperparameters = list(ref.load().Hyperparameters.model_fields)
    refuse_rest(options, "train", Data, Tracking, more=[*hyperparameters, *inspect.signature(train).parameters])
    settings = plain({**in_dict, **options})
    folder = out or default_folder(task if isinstance(task, str | os.PathLike) else ref.name)
    one = Sweep(ref.name, {}, trials=1, searcher="random", scheduler="none", hyperparameters=settings, **budget)
    plan = make_plan(one, ref, name=folder.resolve().name, request=data.request(one.seed), check_weights=not resume)
    if not isinstance(progress, Progress):
        progress = Progress(training_view, f"the same call with out={str(folder)!r}, resume=True", quiet=not progress)
    common: dict[str, Any] = {
        "data_dir": data.folder,
        "mirrors": tracking.mirrors(_pictures),
        "resume": resume,
        **progress.hooks,
    }
    notices = tracking.notices().about(folder, plan.name, progress.how_to_go_on)
    with progress.cleared(), notices as tell:
        if workers == 1:
            ran = train_once(plan, folder, num_gpus=resources.num_gpus, **common)
        else:
            ran = run_sweep(plan, folder, resources, **common)
        tell(ran.interrupted)
    return Results.of(ran.folder, Storage(str(folder.parent)), ran.seconds, ran.interrupted)
