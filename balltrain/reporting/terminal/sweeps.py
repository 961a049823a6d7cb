"""The sweeps of a storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balltrain.reporting.terminal.style import counts_text, plain_table
from balltrain.reporting.text import short

if TYPE_CHECKING:
    from rich.console import Console


def print_sweeps(sweeps: list[dict[str, Any]], console: Console) -> None:
    """One line a sweep, as `list_sweeps` gives them."""
    from rich.markup import escape

    if not sweeps:
        console.print("No sweeps yet: `balltrain sweep TASK` makes one.", highlight=False)
        return
    table = plain_table()
    for heading in ("sweep", "task", "trials", "objective", "best", "started (UTC)"):
        table.add_column(heading, justify="right" if heading == "best" else "left", overflow="fold")
    for sweep in sweeps:
        trials = f"[red]{escape(sweep['error'])}[/]" if sweep["error"] else counts_text(sweep)
        texts = [escape(sweep[key] or "") for key in ("name", "task", "objective")]
        started = (sweep["started"] or "")[:16].replace("T", " ")
        table.add_row(texts[0], texts[1], trials, texts[2], short(sweep["best"]), started)
    console.print(table, highlight=False)
