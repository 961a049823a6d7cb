"""`balltrain serve`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from balltrain.api.arguments import Data, Run, storage_uri
from balltrain.cli.options import knob_info
from balltrain.storage import Storage

HOST, PORT = "127.0.0.1", 8765


def serve(
    storage: Annotated[str | None, knob_info(Run, "storage")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than 127.0.0.1 are reached from other machines.")
    ] = HOST,
    allow_control: Annotated[
        bool, typer.Option("--allow-control", help="Let the page stop sweeps and trials, star trials, and note.")
    ] = False,
    data_dir: Annotated[str | None, knob_info(Data, "data_dir")] = None,
) -> None:
    """Show the sweeps of a storage in a browser, as they run. Ctrl-C ends it, and no sweep."""
    from balltrain.serving.security import is_loopback
    from balltrain.serving.server import serve as serve_page

    if not is_loopback(host):
        told = f"who reaches {host} with the URL sees these sweeps, and it travels in the clear"
        print(f"warning: {told}: docs/security.md", file=sys.stderr)
    serve_page(
        Storage(storage_uri(storage)), host, port, data_dir=data_dir, allow_control=allow_control, announce=_announce
    )


def _announce(url: str) -> None:
    print(url, flush=True)
