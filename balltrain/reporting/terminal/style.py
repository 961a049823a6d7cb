"""What the tables of a terminal have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balltrain.records.columns import Status

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2  # characters between two columns of a terminal table
STATUS_STYLE = {
    Status.RUNNING: "cyan",
    Status.COMPLETED: "green",
    Status.STOPPED: "yellow",
    Status.FAILED: "red",
    Status.INTERRUPTED: "magenta",
    Status.PAUSED: "blue",
    Status.INFEASIBLE: "dim",
}


def plain_table() -> Table:
    """Columns with room between them, and a line below their headings."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0))


def counts_text(counts: dict[str, Any]) -> str:
    """`24 trials: 9 completed, 15 stopped`, with colours; `counts` has each status, and `trials` and `planned`."""
    several = [f"[{STATUS_STYLE[s]}]{counts[s]} {s}[/]" for s in Status if counts[s]]
    begun, planned = counts["trials"], counts["planned"]
    total = f"{begun} of {num_trials(planned)}" if begun < planned else num_trials(begun)
    return f"{total}: {', '.join(several)}" if several else total


def num_trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"
