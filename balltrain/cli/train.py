"""`balltrain train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from balltrain.api.arguments import Data
from balltrain.cli.completion import task_names
from balltrain.cli.options import Json, Restarts, knobs, with_options, with_restarts
from balltrain.cli.output import finish
from balltrain.execution.resources import Resources
from balltrain.knobs import Panel
from balltrain.search.sweep import Sweep
from balltrain.tracking.mirrors import Tracking


@with_options(
    knobs(Sweep, "hyperparameters", "seed"),
    knobs(Data),
    knobs(Resources, "num_gpus", num_gpus="1 a worker, where there are any"),
    knobs(Tracking),
    panel=Panel.RUN,
)
def train(
    ctx: typer.Context,
    task: Annotated[
        str,
        typer.Argument(help="Task's name, or a Python file with one.", autocompletion=task_names, show_default=False),
    ],
    epochs: Annotated[
        int | None,
        typer.Option(help="Most epochs to train.", show_default="the task's best known", rich_help_panel=Panel.MODEL),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Folds of a cross-validation, each a training.", show_default="none", rich_help_panel=Panel.MODEL
        ),
    ] = None,
    restarts: Restarts = None,
    workers: Annotated[int, typer.Option(help="Data-parallel workers.", rich_help_panel=Panel.RESOURCES)] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/TASK-TIME")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, where it was interrupted or killed.")
    ] = False,
    json_: Json = False,
    **options: Any,
) -> None:
    """Train one model, with the best known hyperparameters unless told otherwise."""
    from balltrain.api.progress import Progress, training_view
    from balltrain.api.training import default_folder, train_results

    folder = out if resume else out or default_folder(task)
    to_go_on = ctx.obj.to_go_on("--out", str(folder))
    results = train_results(
        task,
        {"epochs": epochs, "folds": folds, "seed": options.pop("seed")},
        Resources(num_gpus=options.pop("num_gpus", None), workers_per_trial=workers),
        folder,
        resume,
        with_restarts(options, restarts),
        Progress(training_view, to_go_on, quiet=json_),
    )
    finish(results, json_, to_go_on)
