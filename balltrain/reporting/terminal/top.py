"""The best trials, as many columns of them as the terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.terminal.style import GAP, STATUS_STYLE, plain_table
from balltrain.reporting.text import duration, short

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: list[str]
    importance: int  # the least important are left out where the terminal is too narrow
    right: bool = True
    after: _Column | None = None  # left out wherever this one is

    @property
    def width(self) -> int:
        return max(len(text) for text in [*self.cells, *self.heading.split("\n")])


def print_top(results: Results, console: Console, top: int) -> None:
    from rich.markup import escape

    columns = _top_columns(results, top)
    shown = _that_fit(columns, console.width)
    table = plain_table()
    for column in shown:
        table.add_column(escape(column.heading), justify="right" if column.right else "left", no_wrap=True)
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*(f"[{STATUS_STYLE[cell]}]{cell}[/]" if cell in STATUS_STYLE else escape(cell) for cell in row))
    console.print(table, highlight=False)
    left_out = ", ".join(column.heading.replace("\n", "") for column in columns if column not in shown)
    if left_out:
        console.print(f"[dim]not shown: {escape(left_out)}; a wider terminal or --json has them[/]")


def _top_columns(results: Results, top: int) -> list[_Column]:
    rows = results.listed.head(top)
    ranks = {trial_id: rank for rank, trial_id in enumerate(results.ranked[c.TRIAL_ID], 1)}

    def cells(column: str, show: Callable[[Any], str] = short) -> list[str]:
        return [show(value) for value in rows[column]]

    epochs = [f"{best}/{all_}" for best, all_ in zip(cells(c.BEST_EPOCH), cells(c.EPOCHS), strict=True)]
    columns = [
        _Column("#", [str(ranks[trial_id]) for trial_id in rows[c.TRIAL_ID]], 100),
        _Column("trial", cells(c.TRIAL_ID), 100, right=False),
        _Column("status", cells(c.STATUS), 80, right=False),
        _Column(_broken(results.objective_name), cells(c.OBJECTIVE), 100),
        *_others(results, rows.index),
        _Column("epoch", epochs, 70),
        _Column("time", cells(c.SECONDS, duration), 40),
    ]
    before = None
    shown_already = () if results.goals is None else results.goals.names
    metrics = [name for name in results.metrics if name.removeprefix(c.METRIC_PREFIX) not in shown_already]
    for number, name in enumerate(metrics):
        heading, importance = _broken(name.removeprefix(c.METRIC_PREFIX)), 65 if number == 0 else 30 - number
        before = _Column(heading, cells(name), importance, after=before)
        columns.append(before)
    for name in results.varied:
        shown = [value if len(value) <= 24 else value[:23] + "…" for value in cells(name, lambda v: short(v, 3))]
        right = not any(isinstance(value, str) for value in rows[name])
        columns.append(_Column(_broken(name.removeprefix(c.CONFIG_PREFIX)), shown, 60, right))
    return columns


def _others(results: Results, rows: pd.Index) -> list[_Column]:
    """Of several objectives those after the first, and which trials no other beats in all of them."""
    if results.goals is None:
        return []
    figures = results.figures.loc[rows]
    on = ["yes" if at in results.front.index else "" for at in rows]
    others = [_Column(_broken(name), [short(v) for v in figures[name]], 95) for name in results.goals.names[1:]]
    return [*others, _Column("front", on, 90, right=False)]


def _that_fit(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The most important ones that fit, in their own order; of equally important ones the narrow."""
    left = width
    chosen = []
    for column in sorted(columns, key=lambda column: (-column.importance, column.width)):
        fits = column.width + GAP <= left and (column.after is None or column.after in chosen)
        if fits or column.importance == 100:
            left -= column.width + GAP
            chosen.append(column)
    return [column for column in columns if column in chosen]


def _broken(heading: str) -> str:
    """`color_weight` on two lines: a heading is seldom to be wider than its numbers."""
    return heading.replace("_", "_\n") if len(heading) > 8 else heading
