"""`balltrain sweep`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balltrain.api.arguments import Data, Run
from balltrain.cli.completion import sweep_names
from balltrain.cli.options import Json, Restarts, knobs, with_options, with_restarts
from balltrain.cli.output import finish, print_json, stdout
from balltrain.errors import UsageError
from balltrain.execution.resources import Resources
from balltrain.knobs import Panel
from balltrain.search.sweep import Sweep
from balltrain.tracking.mirrors import Tracking

if TYPE_CHECKING:
    from balltrain.api.preparing import Prepared
    from balltrain.programs.commands import Command


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
        str | None,
        typer.Argument(
            help="Sweep's name, which `balltrain tasks` lists; a Python file with one; or file.py:function.",
            autocompletion=sweep_names,
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            help="Program to sweep in place of a task: 'python train.py --lr {lr}'. Needs --space and --objective.",
            rich_help_panel=Panel.SEARCH,
            show_default=False,
        ),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(
            help="Source of a command's figures: a file, a pattern, report, json or lines.",
            rich_help_panel=Panel.SEARCH,
            show_default="found",
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of what to search of a task, a function or a command: lr = {log = [1e-4, 1e-1]}.",
            rich_help_panel=Panel.SEARCH,
            show_default=False,
        ),
    ] = None,
    restarts: Restarts = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time a few batches, show the plan, run no trial.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show the sweep in a browser too, while it runs: docs/serving.md.")
    ] = False,
    json_: Json = False,
    **options: Any,
) -> None:
    """Search the hyperparameters of a task: many trials, the bad ones stopped early."""
    from balltrain.api.preparing import prepare
    from balltrain.api.progress import Progress, sweep_view
    from balltrain.api.sweeping import foresee, run
    from balltrain.reporting.terminal import print_forecast

    prepared = prepare(_what(task_or_file, command, figures), space, with_restarts(options, restarts), ctx.obj.began)
    if prepared.plan.advice:
        print(prepared.plan.advice, file=sys.stderr)
    to_go_on = ctx.obj.to_go_on("--name", prepared.plan.name)
    progress = Progress(sweep_view, to_go_on, quiet=json_)
    if dry_run:
        forecast = foresee(prepared, progress)
        print_json(forecast) if json_ else print_forecast(forecast, stdout())
        return
    with _page(prepared) if serve else contextlib.nullcontext():
        results = run(prepared, progress)
    finish(results, json_, to_go_on)


def _page(prepared: Prepared) -> contextlib.AbstractContextManager[None]:
    """The page beside a sweep, whose URL is told on standard error."""
    from balltrain.serving.beside import page_beside

    def announce(url: str) -> None:
        print(f"page: {url}", file=sys.stderr, flush=True)

    return page_beside(prepared.place.uri, prepared.plan.name, announce, data_dir=prepared.data_dir)


def _what(task_or_file: str | None, command: str | None, figures: str | None) -> str | Command:
    """What is swept. Raises UsageError where it is not said, or said twice."""
    from balltrain.programs.commands import Command

    if command is None and task_or_file is None:
        raise UsageError(
            "nothing to sweep is given: give a sweep's name, a Python file, or --command 'python train.py'"
        )
    if command is not None and task_or_file is not None:
        raise UsageError(f"--command takes the place of a task: leave out {task_or_file}, or --command")
    if figures is not None and command is None:
        raise UsageError("--figures belongs to --command: add that, or write Command(…, figures=…) in a sweep file")
    return task_or_file or "" if command is None else Command(command, figures)
