"""The figures of a report as plotly.js's JSON, and the page with the script that draws them.

A colour such as `@muted` is the page's, light or dark.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from balltrain.reporting.results import Results, plain, short
from balltrain.tuning import columns as c

if TYPE_CHECKING:
    import pandas as pd

MAX_CURVE_POINTS = 100
LOG_FROM_RATIO = 100  # largest to smallest value, from which a hyperparameter's axis is logarithmic


def page_html(title: str, body: str) -> str:
    """The whole document, plotly.js in it."""
    from plotly.offline import get_plotlyjs

    return f"""<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta name=color-scheme content="light dark">
<title>{escape(title)} · balltrain</title>
<style>{STYLE}</style>
</head>
<body><main>
{body}
</main>
<script>{get_plotlyjs()}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def figure_html(data: list[dict[str, Any]], layout: dict[str, Any], height: int) -> str:
    text = json.dumps({"data": data, "layout": {"height": height, **layout}}, default=plain, separators=(",", ":"))
    text = text.replace("NaN", "null").replace("<", "\\u003c")
    return f'<div class=figure style="height:{height}px"><script type="application/json">{text}</script></div>'


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
) -> dict[str, Any]:
    label = "%{text}" if text else escape(name)
    return {
        "type": "scatter",
        "mode": "lines+markers" if marks else "lines",
        "x": list(x),
        "y": list(y),
        "name": escape(name),
        "text": text,
        "opacity": opacity,
        "line": {"color": color, "width": width},
        "hovertemplate": f"{label}, %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def titled_axis(title: str, log_of: pd.Series | None = None) -> dict[str, Any]:
    """An axis, logarithmic where `log_of` has the values on it and they ask for one."""
    if log_of is None or not is_log(log_of):
        return {"title": {"text": escape(title)}}
    return {"title": {"text": escape(title)}, "type": "log", **_log_ticks(log_of)}


def objective_axis(results: Results, values: pd.Series, title: str | None = None) -> dict[str, Any]:
    """A loss falls by factors; an accuracy does not."""
    return titled_axis(results.objective_name if title is None else title, values if results.mode == "min" else None)


def parallel_axis(results: Results, rows: pd.DataFrame, column: str) -> dict[str, Any] | None:
    """An axis of the parallel coordinates; a hyperparameter that a trial does not have is its own tick, below."""
    label, values = escape(column.removeprefix(c.CONFIG_PREFIX)), rows[column]
    if values.notna().sum() == 0:
        return None
    if is_choice(results, column):
        places, ticks = _spread(rows, column)
        return {"label": label, "values": places, **ticks}
    numbers = values.astype(float)
    scale = numeric_scale(numbers.dropna(), is_log(numbers, LOG_FROM_RATIO, _declared_log(results, column)))
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
        log = is_log(values, LOG_FROM_RATIO, _declared_log(results, column))
        return values.astype(float).tolist(), {"type": "log", **_log_ticks(values)} if log else {}
    places, ticks = _spread(rows, column)
    return places, {**ticks, "ticktext": [escape(text) for text in ticks["ticktext"]]}


def numeric_scale(values: pd.Series, log: bool) -> dict[str, Any]:
    """Numbers on an axis of their own, with ticks: `parcoords` knows no logarithmic one."""
    import numpy as np

    numbers = np.log10(values.astype(float)) if log else values.astype(float)
    low, high = float(numbers.min()), float(numbers.max())
    places = np.linspace(low, high, 5) if high > low else np.array([low])
    texts = [short(float(10**place if log else place), 2 if log else 3) for place in places]
    return {"values": numbers.tolist(), "tickvals": places.tolist(), "ticktext": texts, "range": [low, high]}


def is_choice(results: Results, column: str) -> bool:
    """Text, truth values, or a choice of numbers."""
    import pandas as pd

    values = results.trials[column].dropna()
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    space = (results.sweep.get("space") or {}).get(column.removeprefix(c.CONFIG_PREFIX))
    options = space.get("choice") if isinstance(space, dict) else None
    return options is not None and not any(isinstance(option, dict) for option in options)


def is_log(values: pd.Series, ratio: float = 5, declared: bool = False) -> bool:
    """Whether all are positive, and `ratio` or more lies between the smallest and the largest."""
    finite = values.dropna()
    if finite.empty or finite.min() <= 0:
        return False
    return declared or float(finite.max()) / float(finite.min()) >= ratio


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
    options = _options(rows[column])
    places = [
        options.index(plain(value)) + (int(number) * 0.618 % 1 - 0.5) * 0.4
        for value, number in zip(rows[column], rows[c.NUMBER], strict=True)
    ]
    ticks = {"tickvals": list(range(len(options))), "ticktext": [_short_text(o) for o in options]}
    return places, {**ticks, "range": [-0.5, len(options) - 0.5]}


def _options(values: pd.Series) -> list[Any]:
    found = {plain(value) for value in values}
    return sorted(found, key=lambda option: (option is not None, isinstance(option, str), option))


def _short_text(option: Any) -> str:
    text = "none" if option is None else short(option)
    return text if len(text) <= 16 else text[:15] + "…"


def _declared_log(results: Results, column: str) -> bool:
    space = (results.sweep.get("space") or {}).get(column.removeprefix(c.CONFIG_PREFIX))
    return '"logfloat"' in json.dumps(space) or '"logint"' in json.dumps(space)


def _log_ticks(values: pd.Series) -> dict[str, Any]:
    decades = float(values.max()) / float(values.min()) >= 1000
    return {"dtick": 1 if decades else "D2", "exponentformat": "power"}


STYLE = """
:root { --back: #fff; --front: #1c1f24; --soft: #626a75; --line: #e1e4e8; --panel: #f6f7f9; --accent: #0b62c4;
  --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171b; --front: #e4e7eb; --soft: #9aa3ae; --line: #2b3038; --panel: #1c2026; --accent: #6cb0ff;
    --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--front);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 64px }
h1 { margin: 0; font-size: 28px; overflow-wrap: anywhere } h2 { font-size: 19px; margin: 40px 0 12px }
.kicker { margin: 0; color: var(--soft) } .lead { font-size: 19px; margin: 12px 0 4px }
.note { color: var(--soft); font-size: 14px; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 4px 20px; margin: 0 }
dt { color: var(--soft); overflow-wrap: anywhere } dd { margin: 0; overflow-wrap: anywhere }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 14px }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)) }
.grid.small { grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)) }
.figure { min-width: 0 } .wide, .scroll { overflow-x: auto } .wide .figure { min-width: 640px }
table { border-collapse: collapse; font-size: 14px; white-space: nowrap }
th, td { padding: 4px 12px 4px 0; text-align: left; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 500 } td.n { font-variant-numeric: tabular-nums }
tr.failed td { color: var(--bad) } td code { white-space: pre-wrap }
"""

SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const palettes = {
  light: { muted: "#a3abb5", faint: "#dfe3e8",
    0: "#0b62c4", 1: "#d9480f", 2: "#2b8a3e", 3: "#862e9c", 4: "#b08800" },
  dark: { muted: "#6b7480", faint: "#343b44",
    0: "#6cb0ff", 1: "#ff9f5a", 2: "#69db7c", 3: "#da9ff9", 4: "#ffd43b" } };
function draw() {
  const css = getComputedStyle(document.documentElement), palette = palettes[dark.matches ? "dark" : "light"];
  const ink = css.getPropertyValue("--soft").trim(), line = css.getPropertyValue("--line").trim();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  for (const box of document.querySelectorAll(".figure")) {
    const figure = JSON.parse(box.querySelector("script").textContent,
      (key, value) => typeof value == "string" && value[0] == "@" && value.slice(1) in palette && key != "text"
        ? palette[value.slice(1)] : value);
    const layout = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 12 },
      margin: { l: 56, r: 12, t: 12, b: 44 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      ...figure.layout, xaxis: { ...axis, ...figure.layout.xaxis }, yaxis: { ...axis, ...figure.layout.yaxis } };
    let target = box.querySelector(".plot");
    if (!target) { target = document.createElement("div"); target.className = "plot"; box.append(target) }
    Plotly.react(target, figure.data, layout, { responsive: true, displayModeBar: false });
  }
}
draw();
dark.addEventListener("change", draw);
"""
