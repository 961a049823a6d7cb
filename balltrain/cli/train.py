"""`balltrain train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from balltrain.api.arguments import Data
from balltrain.cli.completion import task_names
from balltrain.cli.options import Json, Restarts, knobs, with_options, with_restarts
from balltrain.cli.output import finish, print_json
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
        typer.Option(
            help="Maximum number of epochs.", show_default="the task's best known", rich_help_panel=Panel.MODEL
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Number of folds of a cross-validation; each fold is a training.",
            show_default="none",
            rich_help_panel=Panel.MODEL,
        ),
    ] = None,
    restarts: Restarts = None,
    workers: Annotated[int, typer.Option(help="Data-parallel workers.", rich_help_panel=Panel.RESOURCES)] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/TASK-TIME")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, where it was interrupted or killed.")
    ] = False,
    find_lr: Annotated[
        bool,
        typer.Option(
            "--find-lr",
            help="Suggest a learning rate, by raising it over an epoch until the loss diverges.",
            rich_help_panel=Panel.MODEL,
        ),
    ] = False,
    json_: Json = False,
    **options: Any,
) -> None:
    """Train one model, with the best known hyperparameters unless told otherwise."""
    from balltrain.api.finding import refuse_beside_find
    from balltrain.api.progress import Progress, training_view
    from balltrain.api.training import default_folder, train_results

    folder = out if resume else out or default_folder(task)
    if find_lr:
        refuse_beside_find({"folds": folds, "restarts": restarts, "resume": resume, "workers": workers > 1})
        _find(task, folder or default_folder(task), epochs, options, json_)
        return
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


def _find(task: str, folder: Path, epochs: int | None, options: dict[str, Any], json_: bool) -> None:
    """Print which learning rate to train with, and write its page."""
    from balltrain.api.finding import found_rate
    from balltrain.api.progress import Progress
    from balltrain.reporting.rates import print_rates, rates_json, write_rates

    hyperparameters = {**({} if epochs is None else {"epochs": epochs}), **options.get("hyperparameters", {})}
    data, seed = Data(**{name: options[name] for name in vars(Data()) if name in options}), options["seed"]
    found = found_rate(task, hyperparameters, data, seed, options.get("num_gpus"), Progress(quiet=json_))
    page = write_rates(found, Path(task).stem, folder)
    print_json(rates_json(found, page)) if json_ else print_rates(found, task, page)
