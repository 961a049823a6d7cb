"""`balltrain stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from balltrain.api.arguments import storage_uri
from balltrain.cli.results import RunName, StorageUri
from balltrain.storage import Storage


def stop(
    name: RunName,
    trial: Annotated[
        int | None, typer.Option(help="Number of the one trial to stop.", min=0, show_default="all of the sweep")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Leave the epochs that run, as a second Ctrl-C does.")] = False,
    storage: StorageUri = None,
) -> None:
    """Stop a sweep that runs elsewhere, as Ctrl-C does there; or one trial of it, for good."""
    from balltrain.api.stopping import stop as stop_sweep

    print(stop_sweep(Storage(storage_uri(storage)), name, trial, now=now))
