"""What commands print, and how a sweep or a training ends."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from balltrain.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from balltrain.api.results import Results

EXIT_SOME_FAILED = 3


def stdout() -> Console:
    from rich.console import Console

    return Console()


def print_json(value: Any) -> None:
    print(json.dumps(value, allow_nan=False, default=str))


def finish(results: Results, json_: bool, to_go_on: str) -> None:
    """Say what came of a sweep or a training, and exit with its code."""
    from balltrain.reporting.terminal import print_results

    summary = results.to_json()
    if json_:
        print_json(summary)
    else:
        print_results(results.tables, stdout())
        print(f"balltrain report {results.name} --storage {results.storage}")
    if results.interrupted:
        print(f"interrupted; to go on: {to_go_on}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED)
    if summary["failed"]:
        raise typer.Exit(EXIT_SOME_FAILED)
