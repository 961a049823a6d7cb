"""`balltrain results`, `watch` and `report`: sweeps as they run and after."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from balltrain.api.arguments import Data, Run, storage_uri
from balltrain.cli.completion import run_names
from balltrain.cli.options import Json, knob_info
from balltrain.cli.output import print_json, stdout
from balltrain.cli.shape import CONTEXT, Command, Group
from balltrain.errors import UsageError
from balltrain.storage import Storage

StorageUri = Annotated[str | None, knob_info(Run, "storage")]
RunName = Annotated[str, typer.Argument(help="Sweep's name.", autocompletion=run_names, show_default=False)]


class _ResultsGroup(Group):
    """`results [NAME]` and `results export NAME`: what is no subcommand belongs to the default one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["export"] else ["show", *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == "show" else name, command, rest  # the usage text says `balltrain results`


results = typer.Typer(
    cls=_ResultsGroup, add_completion=False, pretty_exceptions_enable=False, context_settings=CONTEXT
)


@results.command(
    "show",
    cls=Command,
    hidden=True,
    context_settings=CONTEXT,
    epilog="balltrain results export NAME --optuna URL: write a sweep as an Optuna study.",
)
def show(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Names of sweeps. Several are compared; without a name all sweeps are listed.",
            autocompletion=run_names,
        ),
    ] = None,
    storage: StorageUri = None,
    top: Annotated[int, typer.Option(help="Trials to show.", min=1)] = 10,
    where: Annotated[str | None, typer.Option(help="Trials to show, as SQL: 'config.lr < 1e-3'.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="Order, as SQL: 'seconds desc'.", show_default="the best first")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="CSV file for all rows, also of failed trials.")] = None,
    json_: Json = False,
) -> None:
    """Show a sweep's best trials, compare several sweeps, or list them; also while they run."""
    from balltrain.api.results import load_tables
    from balltrain.records.results import list_sweeps
    from balltrain.reporting import query, terminal
    from balltrain.reporting.compare import compare
    from balltrain.reporting.summary import results_json

    place = Storage(storage_uri(storage))
    if len(names or []) != 1 and (where, sort, csv) != (None, None, None):
        raise UsageError("--where, --sort and --csv are for one sweep: balltrain results NAME")
    if not names:
        sweeps = list_sweeps(place.fetch_list())
        print_json({"sweeps": sweeps}) if json_ else terminal.print_sweeps(sweeps, stdout())
        return
    several = [load_tables(place, name) for name in names]
    if len(several) > 1:
        print_json(compare(several)) if json_ else terminal.print_comparison(several, stdout())
        return
    found = query.select(several[0], where, sort)
    if csv is not None:
        query.write_csv(found, csv)
    print_json(results_json(found, top)) if json_ else terminal.print_results(found, stdout(), top)


@results.command("export", cls=Command, context_settings=CONTEXT)
def export(
    name: RunName,
    optuna: Annotated[
        str, typer.Option(help="Storage of Optuna, for `optuna-dashboard`: sqlite:///study.db.", metavar="URL")
    ],
    storage: StorageUri = None,
) -> None:
    """Write a sweep as an Optuna study of the same name, and replace the study of an earlier export."""
    from balltrain.api.results import load_tables
    from balltrain.reporting.optuna_study import export_study

    count = export_study(load_tables(Storage(storage_uri(storage)), name), optuna)
    print(f"{count} trials in {optuna}, study {name}: optuna-dashboard {shlex.quote(optuna)}")


def watch(name: RunName, storage: StorageUri = None) -> None:
    """Watch a sweep that runs elsewhere, from its storage; ends when the sweep has ended."""
    from balltrain.reporting.terminal import print_results
    from balltrain.reporting.watch import watch as watch_sweep

    try:
        found = watch_sweep(Storage(storage_uri(storage)), name, stdout())
    except KeyboardInterrupt:
        return  # of the sweep nothing ends
    print_results(found, stdout())


class Format(StrEnum):
    HTML = "html"
    PNG = "png"
    SVG = "svg"


def report(
    name: RunName,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder for figures, with --format.", show_default=False)
    ] = None,
    storage: StorageUri = None,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="STORAGE/NAME/report.html")] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="HTML page, or each figure as a file for a paper or a slide.")
    ] = Format.HTML,
    data_dir: Annotated[str | None, knob_info(Data, "data_dir")] = None,
    wandb: Annotated[bool, typer.Option("--wandb", help="Make a report in W&B too.")] = False,
) -> None:
    """Draw a sweep's results as one HTML file, or its figures as files."""
    from balltrain.api.results import load

    if format_ is not Format.HTML:
        if folder is None:
            raise UsageError(f"figures need a folder: balltrain report {name} --format {format_.value} DIR")
        if out is not None or wandb:
            raise UsageError(f"--out and --wandb are for the page: leave them out of --format {format_.value}")
        for path in load(name, storage_uri(storage)).figures(folder, format_.value):
            print(path)
        return
    if folder is not None:
        raise UsageError(f"a folder such as {folder} is for figures: add --format png or svg, or use --out FILE")
    found = load(name, storage_uri(storage))
    written = found.report(out, data_dir)
    print(written)
    if wandb:
        from balltrain.reporting.wandb_report import publish

        print(publish(found.tables, written.path.parent))
