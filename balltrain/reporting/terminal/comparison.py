"""Several sweeps beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balltrain.records.columns import Status
from balltrain.records.results import Results
from balltrain.reporting.compare import compare, differing
from balltrain.reporting.terminal.style import plain_table
from balltrain.reporting.text import duration, method_of, short

if TYPE_CHECKING:
    from rich.console import Console


def print_comparison(sweeps: list[Results], console: Console) -> None:
    """A column a sweep, and in words which is better."""
    from rich.markup import escape

    found = compare(sweeps)
    table = plain_table()
    table.add_column("")
    for sweep in sweeps:
        table.add_column(escape(sweep.name), justify="right", overflow="fold")
    entries, bests = found["sweeps"], [entry["best"] or {} for entry in found["sweeps"]]

    def add(label: str, cells: list[Any]) -> None:
        table.add_row(f"[dim]{escape(label)}[/]", *(escape(str(cell)) for cell in cells))

    add("task", [entry["task"] for entry in entries])
    add("method", [method_of(sweep.sweep) for sweep in sweeps])
    add("trials", [entry["trials"] for entry in entries])
    add("stopped, failed", [f"{entry[Status.STOPPED]}, {entry[Status.FAILED]}" for entry in entries])
    add("epochs", [entry["epochs"] for entry in entries])
    add("time", [duration(entry["seconds"]) for entry in entries])
    add(f"best {sweeps[0].objective_name}", [short(best.get("objective")) for best in bests])
    add(f"after {found['equal_epochs']} epochs", [short(entry["best_at_equal_epochs"]) for entry in entries])
    if "hypervolume" in entries[0]:
        add("hypervolume", [short(entry["hypervolume"]) for entry in entries])
    for figure in ("mean", "std", "25%", "50%", "75%", "max"):
        add(figure, [short(entry["objectives"].get(figure)) for entry in entries])
    table.add_section()
    add("best trial", [best.get("trial_id", "") for best in bests])
    for name in differing(sweeps):
        add(name, [short(best.get("config", {}).get(name)) for best in bests])
    console.print(table, highlight=False)
    for remark in found["remarks"]:
        console.print(escape(remark), highlight=False)
