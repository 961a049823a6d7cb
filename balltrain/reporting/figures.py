"""Traces and axes of a report's figures, as plotly.js's JSON.

A colour such as `@muted` is the page's, light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results
from balltrain.reporting.scales import categories, is_choice, is_log, is_log_scale
from balltrain.reporting.ticks import labelled, linear_ticks, log_axis, log_ticks

if TYPE_CHECKING:
    import pandas as pd

MAX_CURVE_POINTS = 100
STATUS_COLOR = {
    Status.COMPLETED: "@0",
    Status.STOPPED: "@4",
    Status.FAILED: "@1",
    Status.RUNNING: "@2",
    Status.INTERRUPTED: "@3",
    Status.PAUSED: "@muted",
    Status.INFEASIBLE: "@faint",
}


def line_trace(
    x: Iterable[Any],
    y: Iterable[Any],
    name: str,
    color: str,
    *,
    width: float = 2,
    opacity: float = 1.0,
    text: list[str] | None = None,
    marks: bool = False,
    dash: str = "solid",
    meta: dict[str, str] | None = None,
) -> dict[str, Any]:
    """`meta` says of which `trial` and `column` of epochs it is, where rows that come later belong to it."""
    label = "%{text}" if text else escape(name)
    return {
        "type": "scatter",
        "mode": "lines+markers" if marks else "lines",
        "x": list(x),
        "y": list(y),
        "name": escape(name),
        "text": text,
        "opacity": opacity,
        "line": {"color": color, "width": width, "dash": dash},
        "hovertemplate": f"{label}, %{{x}}: %{{y:.4g}}<extra></extra>",
        **({} if meta is None else {"meta": meta}),
    }


def titled_axis(title: str, log_of: pd.Series | None = None) -> dict[str, Any]:
    """An axis, logarithmic where `log_of` has the values on it and they ask for one."""
    if log_of is None or not is_log(log_of):
        return {"title": {"text": escape(title)}}
    return {"title": {"text": escape(title)}, **log_axis(log_of)}


def objective_axis(results: Results, values: pd.Series) -> dict[str, Any]:
    """A loss falls by factors; an accuracy does not."""
    return titled_axis(results.objective_name, values if results.mode == "min" else None)


def parallel_axis(results: Results, rows: pd.DataFrame, column: str) -> dict[str, Any] | None:
    """An axis of the parallel coordinates; a hyperparameter that a trial does not have is its own tick, below."""
    label, values = escape(column.removeprefix(c.CONFIG_PREFIX)), rows[column]
    if values.notna().sum() == 0:
        return None
    if is_choice(results, column):
        places, ticks = _spread(rows, column)
        return {"label": label, "values": places, **_to_the_ends(ticks)}
    numbers = values.astype(float)
    scale = parallel_scale(numbers.dropna(), is_log_scale(results, column))
    if numbers.isna().any():
        low, high = min(scale["range"]), max(scale["range"])
        below = low - 0.15 * ((high - low) or 1.0)
        filled = iter(scale["values"])
        scale["values"] = [below if missing else next(filled) for missing in numbers.isna()]
        scale["tickvals"], scale["ticktext"] = [below, *scale["tickvals"]], ["none", *scale["ticktext"]]
        scale["range"] = [below, high]
    return {"label": label, **scale}


def slice_axis(results: Results, rows: pd.DataFrame, column: str) -> tuple[list[float], dict[str, Any]]:
    values = rows[column]
    if not is_choice(results, column):
        numbers = values.astype(float).tolist()
        return numbers, log_axis(numbers) if is_log_scale(results, column) else {}
    places, ticks = _spread(rows, column)
    return places, {**ticks, "ticktext": [escape(text) for text in ticks["ticktext"]]}


def numeric_scale(values: pd.Series, log: bool) -> dict[str, Any]:
    """Numbers on an axis of their own, with ticks: neither `parcoords` nor bars have a logarithmic one."""
    numbers = [float(value) for value in values]
    low, high = min(numbers), max(numbers)
    ticks = log_ticks(low, high) if log else linear_ticks(low, high)
    found = [math.log10(number) if log else number for number in (*numbers, *ticks, low, high)]
    places = found[len(numbers) : -2]
    return {"values": found[: len(numbers)], **labelled(ticks, places), "range": found[-2:]}


def parallel_scale(values: pd.Series, log: bool) -> dict[str, Any]:
    """The same for `parcoords`, which draws an axis from its first tick to its last."""
    return _to_the_ends(numeric_scale(values, log))


def _to_the_ends(scale: dict[str, Any]) -> dict[str, Any]:
    low, high = scale["range"]
    ticks = zip(scale["tickvals"], scale["ticktext"], strict=True)
    shown = {low: "", high: "", **{place: text for place, text in ticks if low <= place <= high}}
    return {**scale, "tickvals": [*shown], "ticktext": [*shown.values()]}


def at_most(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """The first half of `number`, and the rest evenly."""
    if len(rows) <= number:
        return rows
    import numpy as np

    places = np.r_[: number // 2, np.linspace(number // 2, len(rows) - 1, number // 2).astype(int)]
    return rows.iloc[np.unique(places)]


def thinned(curve: pd.DataFrame) -> pd.DataFrame:
    return curve.iloc[:: -(-len(curve) // MAX_CURVE_POINTS)]


def _spread(rows: pd.DataFrame, column: str) -> tuple[list[float], dict[str, Any]]:
    """The options of a choice at 0, 1, …: equal ones beside each other, else one would hide the others."""
    at, options = categories(rows[column])
    places = (at + (rows[c.NUMBER].to_numpy(float) * 0.618 % 1 - 0.5) * 0.4).tolist()
    ticks = {"tickvals": list(range(len(options))), "ticktext": [_short_text(option) for option in options]}
    return places, {**ticks, "range": [-0.5, len(options) - 0.5]}


def _short_text(text: str) -> str:
    return text if len(text) <= 16 else text[:15] + "…"
