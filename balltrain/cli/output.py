"""What commands print, and how a sweep or a training ends."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from balltrain.cli.streams import json_stream
from balltrain.errors import EXIT_INTERRUPTED
from balltrain.tasks.plain import strict

if TYPE_CHECKING:
    from rich.console import Console

    from balltrain.api.results import Results

EXIT_SOME_FAILED = 3


def stdout() -> Console:
    from rich.console import Console

    return Console()


def print_json(value: Any) -> None:
    """The one object of --json: strict JSON, null for NaN and infinity."""
    print(json.dumps(strict(value), allow_nan=False, default=str), file=json_stream())


def finish(results: Results, json_: bool, to_go_on: str) -> None:
    """Say what came of a sweep or a training, and exit with its code."""
    from balltrain.reporting.terminal import print_results
    from balltrain.reporting.text import quoted

    summary = results.to_json()
    if json_:
        print_json(summary)
    else:
        print_results(results.tables, stdout())
        print(f"balltrain report {quoted(results.name)} --storage {quoted(results.storage)}")
    if results.interrupted:
        print(f"interrupted; to go on: {to_go_on}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED)
    if summary["failed"]:
        raise typer.Exit(EXIT_SOME_FAILED)
