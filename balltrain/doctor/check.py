"""One thing that the doctor looked at, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

OK, WARN, FAIL = "ok", "warn", "fail"
TIMEOUT_S = 1.5  # of each question to another process
GIB = 2**30
STYLE = {OK: "green", WARN: "yellow", FAIL: "bold red"}


@dataclass(frozen=True)
class Check:
    """One thing looked at. `advice` says what to do where `status` is not ok, else it is empty."""

    name: str
    status: str  # "ok", "warn" or "fail"
    detail: str
    advice: str = ""


def print_checks(checks: list[Check], console: Console) -> None:
    """A line a check, its advice below it."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for check in checks:
        table.add_row(f"[{STYLE[check.status]}]{check.status}[/]", check.name, escape(check.detail))
        if check.advice:
            table.add_row("", "", f"[{STYLE[check.status]}]→[/] {escape(check.advice)}")
    console.print(table, highlight=False)


def in_gib(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.1f} GiB"
