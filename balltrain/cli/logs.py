"""`balltrain logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from balltrain.cli.output import stdout
from balltrain.cli.results import RunName, StorageUri
from balltrain.storage import Storage


def logs(
    name: RunName,
    trial: Annotated[
        str | None, typer.Argument(help="Trial's number or id.", show_default="the last lines of all")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for new lines until the sweep has ended.")
    ] = False,
    lines: Annotated[
        int | None, typer.Option(help="Last lines to show.", min=0, show_default="all of one trial, 10 of each")
    ] = None,
    storage: StorageUri = None,
) -> None:
    """Show what trials have printed, also trials that run or have failed."""
    from balltrain.api.arguments import storage_uri
    from balltrain.api.results import load_tables
    from balltrain.reporting.output import Outputs, show, trial_named
    from balltrain.reporting.output import follow as follow_output

    place = Storage(storage_uri(storage))
    results = load_tables(place, name)
    outputs = Outputs(place, results, None if trial is None else trial_named(results, place.root / name, trial))
    console = stdout()

    def print_line(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if not follow:
        show(outputs, print_line, lines)
        return
    try:
        follow_output(outputs, print_line, lines, lambda: load_tables(place, name))
    except KeyboardInterrupt:
        return  # of the sweep nothing ends
