"""What `balltrain evaluate` found, as JSON and in a terminal."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from balltrain.reporting.text import short

if TYPE_CHECKING:
    from rich.console import Console

    from balltrain.training.evaluation import Evaluation


def evaluation_json(found: Evaluation) -> dict[str, Any]:
    """Figures and tables; with several checkpoints, also each one's figures and how they decide."""
    together: dict[str, Any] = {}
    if found.members:
        members = [{"checkpoint": str(folder), "metrics": metrics} for folder, metrics in found.members]
        together = {"vote": found.vote, "members": members}
    return {
        "task": found.task.name,
        "split": found.split,
        "items": found.items,
        "metrics": found.metrics,
        **{name: dataclasses.asdict(table) for name, table in found.tables.items()},
        **together,
    }


def print_evaluation(found: Evaluation, console: Console) -> None:
    """The figures, the tables, and with several checkpoints those beside each other."""
    from rich.table import Table

    print(f"{found.task.name}, {found.items} items of {found.split}")
    for name, value in found.metrics.items():
        print(f"  {name:<24} {value:.6g}")
    for each in found.tables.values():
        console.print(f"\n{each.title}", highlight=False)
        table = Table("", *each.columns, box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify, column.overflow = "right", "fold"
        for name, values in zip(each.rows, each.values, strict=True):
            table.add_row(name, *(short(value) for value in values))
        console.print(table)
    if found.members:
        console.print()
        print_members(found, console)


def print_form(form: dict[str, Any]) -> None:
    """That a file of results has the right form, and what is worth a look in it."""
    images, categories = form["images"], form["categories"]
    against = ", ".join(form["against"])
    compared = f", as {against} has them" if against else "; --source FILE compares images and categories too"
    print(f"{form['file']}: {form['results']} results of {images} images and {categories} categories{compared}")
    print("the form is right")
    for note in form["notes"]:
        print(f"note: {note}")


def print_members(found: Evaluation, console: Console) -> None:
    """Each checkpoint's figures, and those of all together."""
    from rich.table import Table

    names = [name for name in ("loss", *found.task.metric_names) if name in found.metrics]
    table = Table(f"{found.items} items of {found.split}", *names, box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for folder, metrics in found.members:
        table.add_row(str(folder), *(_with_interval(metrics, name) for name in names))
    table.add_row(f"together ({found.vote})", *(_with_interval(found.metrics, name) for name in names), style="bold")
    console.print(table, highlight=False)


def _with_interval(metrics: dict[str, float], name: str) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    margin = "" if low is None or high is None else f" ({short(low)} to {short(high)})"
    return f"{short(metrics[name])}{margin}"
