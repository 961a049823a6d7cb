"""`balltrain doctor`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from balltrain.api.arguments import Data, Run, storage_uri
from balltrain.cli.options import Json, knob_info
from balltrain.cli.output import print_json, stdout
from balltrain.storage import Storage


def doctor(
    storage: Annotated[str | None, knob_info(Run, "storage")] = None,
    data_dir: Annotated[str | None, knob_info(Data, "data_dir")] = None,
    json_: Json = False,
) -> None:
    """Check this machine: Python, torch, CUDA, Ray, W&B, disk. Exits 1 where something fails."""
    from balltrain.data.cache import default_data_dir
    from balltrain.doctor import examine, print_checks

    folder = default_data_dir() if data_dir is None else Path(data_dir)
    checks = examine(Storage(storage_uri(storage)).root, folder)
    if json_:
        print_json({"checks": [dataclasses.asdict(check) for check in checks]})
    else:
        print_checks(checks, stdout())
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
