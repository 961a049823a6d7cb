"""The layers of a network, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balltrain.reporting.terminal.style import plain_table
from balltrain.reporting.text import short

if TYPE_CHECKING:
    from rich.console import Console

    from balltrain.training.network import Network


def print_network(network: Network, console: Console) -> None:
    """A row a layer, and their sum; the shape is of the output for one item."""
    from rich.markup import escape

    table = plain_table()
    for heading in ("layer", "kind", "output", "parameters", "bytes", "MFLOP"):
        table.add_column(heading, justify="left" if heading in ("layer", "kind") else "right", overflow="fold")
    for layer in network.layers:
        shapes = ", ".join("x".join(map(str, shape)) or "1" for shape in layer.shapes)
        table.add_row(
            escape(layer.name),
            layer.kind,
            shapes,
            _count(layer.num_params),
            _count(layer.num_bytes),
            short(layer.mflop),
        )
    table.add_section()
    total = (_count(network.num_params), _count(network.num_bytes), short(network.mflop))
    table.add_row("all", "", "", *total, style="bold")
    console.print(table, highlight=False)
    console.print(
        "[dim]MFLOP: of convolutions and matrix products, of one item; bytes: of parameters and buffers.[/]",
        highlight=False,
    )


def _count(number: int) -> str:
    """Groups of three digits."""
    return f"{number:,}".replace(",", " ")
