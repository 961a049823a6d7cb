"""`balltrain tasks`."""

from __future__ import annotations

from typing import Any

from balltrain.cli.options import Json
from balltrain.cli.output import print_json, stdout


def tasks(json_: Json = False) -> None:
    """List the tasks and the sweeps that come with them."""
    from balltrain.search.sweep_files import shipped_sweeps
    from balltrain.tasks import known_tasks

    found = [_described(name) for name in known_tasks()]
    if json_:
        print_json({"tasks": found, "sweeps": shipped_sweeps()})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("task", "objective", "metrics", "what"):
        table.add_column(title, overflow="fold")
    for entry in found:
        objective = f"{entry['objective']} ({entry['mode']})"
        table.add_row(entry["name"], objective, ", ".join(entry["metrics"]), entry["description"])
    stdout().print(table)
    stdout().print(f"\nsweeps: {', '.join(shipped_sweeps())}; your own: balltrain sweep my_task.py", highlight=False)


def _described(name: str) -> dict[str, Any]:
    from balltrain.tasks import task_ref

    task = task_ref(name).load()
    return {
        "name": name,
        "description": (type(task).__doc__ or "").strip().splitlines()[0],
        "objective": task.objective,
        "mode": task.mode,
        "metrics": list(task.metric_names),
        "hyperparameters": task.Hyperparameters().model_dump(mode="json"),
        "data": task.DataOptions().model_dump(mode="json"),
    }
