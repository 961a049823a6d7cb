"""`balltrain.sweep`, and what it would do."""

from __future__ import annotations

from typing import Any

from balltrain.api.arguments import Data, Run
from balltrain.api.documented import documented
from balltrain.api.preparing import Prepared, SpaceLike, Sweepable, prepare
from balltrain.api.progress import Progress, sweep_view
from balltrain.api.results import Results
from balltrain.api.wording import in_python
from balltrain.execution.resources import Resources
from balltrain.search.sweep import Sweep
from balltrain.tracking.mirrors import Tracking


@in_python
@documented(Sweep, Run, Data, Resources, Tracking, optional=Sweep)
def sweep(
    task: Sweepable, space: SpaceLike | None = None, *, progress: bool | Progress = True, **options: Any
) -> Results:
    """Search the hyperparameters of a task: many trials, the bad ones stopped early.

    Args:
        task: A sweep's name (`balltrain tasks` lists them), a Python file with a sweep, a `Sweep`; or a task, by
            name, object or class, with a `space`.
        space: Hyperparameters to search, in Ray Tune's search space API, or a TOML file of them. For a task alone.
        progress: Whether the sweep is shown on standard error, or in the notebook, while it runs.
        **options: Those below, which are `balltrain sweep`'s with `_` for `-`. None leaves the sweep's own value.

    Returns:
        The results, also of a sweep that Ctrl-C interrupted: `results.interrupted` says so.

    Raises:
        BalltrainError: The sweep cannot run, or too many of its trials failed; what was recorded can be resumed
            by the same call with its `name` and `resume=True`. `UsageError` is one, of a wrong argument.

    Example:
        >>> results = balltrain.sweep("detect_heatmap", trials=2, epochs=1, size=60, name="first")
        >>> len(results.trials)
        2
    """
    prepared = prepare(task, space, options)
    return run(prepared, _shown(progress, prepared))


@in_python
@documented(Sweep, Run, Data, Resources, Tracking, optional=Sweep)
def forecast(
    task: Sweepable, space: SpaceLike | None = None, *, progress: bool | Progress = True, **options: Any
) -> dict[str, Any]:
    """What `sweep` would do with the same arguments, and cost: that of `balltrain sweep --dry-run --json`.

    Prepares the data and times a few batches; runs no trial.

    Args:
        task: As for `sweep`.
        space: As for `sweep`.
        progress: Whether what takes its time is named on standard error, or in the notebook.
        **options: As for `sweep`.

    Returns:
        JSON: trials at a time, rungs, epochs, seconds, bytes on disk.

    Raises:
        BalltrainError: As for `sweep`, where the sweep could not run.

    Example:
        >>> plan = balltrain.forecast("detect_heatmap", trials=4, epochs=2, size=60)
        >>> plan["all_epochs"]["at_most"]
        8
    """
    prepared = prepare(task, space, options)
    return foresee(prepared, _shown(progress, prepared))


def foresee(prepared: Prepared, progress: Progress) -> dict[str, Any]:
    """What `run` would do, and cost."""
    from balltrain.execution.preflight import forecast_sweep

    with progress.cleared():
        return forecast_sweep(
            prepared.plan,
            prepared.place.root / prepared.plan.name,
            prepared.resources,
            data_dir=prepared.data_dir,
            wandb_mode=prepared.mirrors.wandb,
            on_phase=progress.phase,
        )


def run(prepared: Prepared, progress: Progress) -> Results:
    """Run what `prepare` made."""
    from balltrain.execution.runner import run_sweep

    plan, place = prepared.plan, prepared.place
    folder = place.open(plan.name)

    def waiting(text: str) -> None:
        prepared.notices.waiting(text)
        progress.waiting(text)

    with progress.cleared(), prepared.notices.about(folder, plan.name, progress.how_to_go_on) as tell:
        ran = run_sweep(
            plan,
            folder,
            prepared.resources,
            data_dir=prepared.data_dir,
            mirrors=prepared.mirrors,
            resume=prepared.resume,
            storage=place,
            on_waiting=waiting,
            began=prepared.began,
            **progress.hooks,
        )
        tell(ran.interrupted)
    return Results.of(ran.folder, place, ran.seconds, ran.interrupted)


def _shown(progress: bool | Progress, prepared: Prepared) -> Progress:
    if isinstance(progress, Progress):
        return progress
    how = f"the same call with name={prepared.plan.name!r}, resume=True"
    return Progress(sweep_view, how, quiet=not progress)
