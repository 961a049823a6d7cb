"""The report's timeline: who ran when and where, and when nobody did."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.figures import STATUS_COLOR, titled_axis
from balltrain.reporting.occupancy import idle_share, idle_times, lanes
from balltrain.reporting.page import figure_html, note, section
from balltrain.reporting.text import duration, time_unit

if TYPE_CHECKING:
    import pandas as pd


def timeline(results: Results) -> str:
    """Who ran when and where, and when nobody did."""
    places = lanes(results)
    if len(places) < 2:
        return ""
    size, unit = time_unit(float(places["until"].max()))
    rows = list(dict.fromkeys(places["lane"]))
    data = []
    idle = idle_times(places)
    if len(idle):
        data.append(_bars("idle", "@faint", idle["lane"], idle["since"] / size, idle["until"] / size, None))
    for status, color in STATUS_COLOR.items():
        chosen = places[places[c.STATUS] == status]
        if len(chosen):
            hover = [
                f"{trial_id}, {duration(seconds)}"
                for trial_id, seconds in zip(chosen[c.TRIAL_ID], chosen["until"] - chosen["since"], strict=True)
            ]
            since, until = chosen["since"] / size, chosen["until"] / size
            data.append(_bars(status, color, chosen["lane"], since, until, hover))
    layout = {
        "barmode": "overlay",
        "bargap": 0.15,
        "xaxis": titled_axis(f"time since the start ({unit})"),
        "yaxis": {"autorange": "reversed", "type": "category", "categoryorder": "array", "categoryarray": rows},
    }
    return section(
        "Timeline",
        figure_html(data, layout, height=min(1200, 130 + 22 * len(rows))),
        note(f"A row is one place for a trial on a node{_resources(results)}. {_idle_text(places, idle)}".strip()),
    )


def _idle_text(places: pd.DataFrame, idle: pd.DataFrame) -> str:
    text = f"The places were busy {1 - idle_share(places):.0%} of the time."
    if idle.empty:
        return text
    longest = idle.iloc[int((idle["until"] - idle["since"]).argmax())]
    seconds = longest["until"] - longest["since"]
    if seconds < 0.02 * float(places["until"].max()) * places["lane"].nunique():
        return text
    since = duration(longest["since"])
    return f"{text} The longest gap: {duration(seconds)} on {longest['lane']}, {since} after the start."


def _resources(results: Results) -> str:
    placement = results.sweep.get("placement") or {}
    workers = placement.get("workers") or 1
    held = [
        f"{float(placement[key]) * workers:.3g} {name}"
        for key, name in (("gpus_per_worker", "GPU"), ("cpus_per_worker", "CPU"))
        if placement.get(key)
    ]
    return f", which holds {' and '.join(held)}" if held else ""


def _bars(
    name: str, color: str, lanes: pd.Series, since: pd.Series, until: pd.Series, hover: list[str] | None
) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [escape(lane) for lane in lanes],
        "base": since.round(5).tolist(),
        "x": (until - since).round(5).tolist(),
        "marker": {"color": color, "line": {"color": "@back", "width": 1}},
        "text": hover,
        "textposition": "none",
        "hovertemplate": f"%{{text}}, {name}<extra></extra>" if hover else f"{name}<extra></extra>",
    }
