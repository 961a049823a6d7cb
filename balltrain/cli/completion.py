"""What the Tab key offers: names of tasks, sweeps and runs. Where nothing fits, the shell offers files."""

from __future__ import annotations

import os
from collections.abc import Iterable

import typer

from balltrain.errors import BalltrainError
from balltrain.storage import SWEEP_FILE, Storage


def task_names(incomplete: str) -> list[str]:
    """Built-in tasks and those of plug-ins."""
    from balltrain.tasks import known_tasks

    return _beginning(incomplete, known_tasks())


def sweep_names(incomplete: str) -> list[str]:
    """Sweep files that come with balltrain."""
    from balltrain.search.sweep_files import shipped_sweeps

    return _beginning(incomplete, shipped_sweeps())


def run_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Sweeps in the storage, where it is a folder: the Tab key asks no server."""
    uri = ctx.params.get("storage") or os.environ.get("BALLTRAIN_STORAGE", "runs")
    try:
        place = Storage(uri)
        if place.remote is not None:
            return []
        return _beginning(incomplete, sorted(path.parent.name for path in place.root.glob(f"*/{SWEEP_FILE}")))
    except (BalltrainError, OSError):
        return []


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
