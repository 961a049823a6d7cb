"""`balltrain sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from balltrain.api.arguments import Data, Run
from balltrain.cli.completion import sweep_names
from balltrain.cli.options import Json, Restarts, knobs, with_options, with_restarts
from balltrain.cli.output import finish, print_json, stdout
from balltrain.execution.resources import Resources
from balltrain.knobs import Panel
from balltrain.search.sweep import Sweep
from balltrain.tracking.mirrors import Tracking


@with_options(
    knobs(Sweep, unset="the sweep's"),
    knobs(Data),
    knobs(Resources),
    knobs(Tracking),
    knobs(Run),
    panel=Panel.RUN,
)
def sweep(
    ctx: typer.Context,
    task_or_file: Annotated[
        str,
        typer.Argument(
            help="Sweep's name, which `balltrain tasks` lists, or a Python file with one.",
            autocompletion=sweep_names,
            show_default=False,
        ),
    ],
    space: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of what to search, for a task: lr = {log = [1e-4, 1e-1]}.",
            rich_help_panel=Panel.SEARCH,
            show_default="the sweep's",
        ),
    ] = None,
    restarts: Restarts = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time a few batches, show the plan, run no trial.")
    ] = False,
    json_: Json = False,
    **options: Any,
) -> None:
    """Search the hyperparameters of a task: many trials, the bad ones stopped early."""
    from balltrain.api.preparing import prepare
    from balltrain.api.progress import Progress, sweep_view
    from balltrain.api.sweeping import foresee, run
    from balltrain.reporting.terminal import print_forecast

    prepared = prepare(task_or_file, space, with_restarts(options, restarts))
    if prepared.plan.advice:
        print(prepared.plan.advice, file=sys.stderr)
    to_go_on = ctx.obj.to_go_on("--name", prepared.plan.name)
    progress = Progress(sweep_view, to_go_on, quiet=json_)
    if dry_run:
        forecast = foresee(prepared, progress)
        print_json(forecast) if json_ else print_forecast(forecast, stdout())
        return
    finish(run(prepared, progress), json_, to_go_on)
