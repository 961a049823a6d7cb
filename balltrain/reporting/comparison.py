"""Several sweeps beside each other, as HTML: how fast each got how good, what its trials reached, what differs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.compare import compare, differing
from balltrain.reporting.figures import line_trace, objective_axis, titled_axis
from balltrain.reporting.history import history
from balltrain.reporting.page import bullets, figure_html, grid, note, section, table
from balltrain.reporting.text import duration, method_of, short, time_unit

if TYPE_CHECKING:
    import pandas as pd

NUM_COLORS = 5  # of the palette; more sweeps than that are told apart by dashes
DASHES = ("solid", "dash", "dot", "dashdot")


def comparison(sweeps: list[Results]) -> str:
    """Sections in words, figures and tables. Raises UsageError for objectives that are not the same figure."""
    found = compare(sweeps)
    return "".join(
        (
            section("What it says", bullets(found["remarks"])),
            _best_so_far(sweeps),
            _distributions(sweeps),
            _figures(sweeps, found),
            _spaces(sweeps),
        )
    )


def _best_so_far(sweeps: list[Results]) -> str:
    """By time and by epochs, a line a sweep."""
    histories = [(sweep, history(sweep)) for sweep in sweeps]
    there = [(number, sweep, rows) for number, (sweep, rows) in enumerate(histories) if rows["best"].notna().any()]
    if not there:
        return ""
    size, unit = time_unit(max(float(rows["seconds_since_start"].max()) for _, _, rows in there))
    figures = []
    for title, column, divisor in (
        (f"time since each one's start ({unit})", "seconds_since_start", size),
        ("epochs trained by all trials", "trained", 1),
    ):
        data = [_steps(sweep.name, rows, column, divisor, number) for number, sweep, rows in there]
        values = there[0][2]["best"].dropna()
        axes = {"xaxis": titled_axis(title), "yaxis": objective_axis(there[0][1], values)}
        figures.append(figure_html(data, axes, height=340))
    return section("Best so far", grid(figures))


def _steps(name: str, rows: pd.DataFrame, column: str, divisor: int, number: int) -> dict[str, Any]:
    rows = rows[rows["best"].notna()]
    steps = rows[rows["best"].diff().fillna(1.0) != 0]
    x = [*(steps[column] / divisor), float(rows[column].iloc[-1]) / divisor]
    dash = DASHES[number // NUM_COLORS % len(DASHES)]
    line = line_trace(x, [*steps["best"], rows["best"].iloc[-1]], name, f"@{number % NUM_COLORS}", dash=dash)
    line["line"]["shape"] = "hv"
    return line


def _distributions(sweeps: list[Results]) -> str:
    data = [
        {
            "type": "box",
            "name": escape(sweep.name),
            "y": sweep.ranked[c.OBJECTIVE].tolist(),
            "boxpoints": "all" if len(sweep.ranked) <= 200 else "outliers",
            "jitter": 0.4,
            "pointpos": 0,
            "marker": {"color": f"@{number % NUM_COLORS}", "size": 4, "opacity": 0.6},
        }
        for number, sweep in enumerate(sweeps)
        if len(sweep.ranked)
    ]
    if not data:
        return ""
    values = sweeps[0].ranked[c.OBJECTIVE]
    axes = {"xaxis": {"type": "category"}, "yaxis": objective_axis(sweeps[0], values), "showlegend": False}
    text = "Each dot is the best value of a trial; the box holds the middle half of them."
    return section("What the trials reached", figure_html(data, axes, height=360), note(text))


def _figures(sweeps: list[Results], found: dict[str, Any]) -> str:
    entries = found["sweeps"]
    bests = [entry["best"] or {} for entry in entries]
    rows: list[list[Any]] = [
        ["task", *(entry["task"] for entry in entries)],
        ["method", *(method_of(sweep.sweep) for sweep in sweeps)],
        ["trials", *(entry["trials"] for entry in entries)],
        ["epochs", *(entry["epochs"] for entry in entries)],
        ["time", *(duration(entry["seconds"]) for entry in entries)],
        [f"best {sweeps[0].objective_name}", *(best.get("objective") for best in bests)],
        [f"after {found['equal_epochs']} epochs", *(entry["best_at_equal_epochs"] for entry in entries)],
    ]
    rows += [[name, *(entry["objectives"].get(name) for entry in entries)] for name in ("mean", "std", "50%")]
    for name in differing(sweeps):
        rows.append([name, *(short(best.get("config", {}).get(name)) for best in bests)])
    return section("Side by side", table(["", *(sweep.name for sweep in sweeps)], rows))


def _spaces(sweeps: list[Results]) -> str:
    """The hyperparameters that are not searched alike."""
    spaces = [sweep.sweep.get("space") or {} for sweep in sweeps]
    names = dict.fromkeys(name for space in spaces for name in space)
    rows = [
        [name, *(str(space.get(name, "not searched")) for space in spaces)]
        for name in names
        if len({str(space.get(name)) for space in spaces}) > 1
    ]
    if not rows:
        return section("Their spaces", note("They search the same space."))
    return section("What differs in their spaces", table(["", *(sweep.name for sweep in sweeps)], rows))
