"""Sections of the report on the hyperparameters: which matter, and which values are good."""

from __future__ import annotations

import itertools
import json
from html import escape
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results, plain
from balltrain.reporting.figures import (
    at_most,
    numeric_scale,
    objective_axis,
    parallel_axis,
    parallel_scale,
    slice_axis,
    titled_axis,
)
from balltrain.reporting.importance import MAX_TRIALS, MIN_TRIALS, importances
from balltrain.reporting.page import figure_html, grid, note, section
from balltrain.reporting.scales import bounds, is_choice, is_log, is_log_scale
from balltrain.reporting.ticks import log_axis

if TYPE_CHECKING:
    import pandas as pd

MAX_CURVES = 200  # more lines than that no eye tells apart
MAX_POINTS = 2000
MAX_CONTOUR_TRIALS = 100  # a contour's grid has a column and a row for each
NUM_CONTOURED = 3  # hyperparameters, of which every pair has its plane and its contours
# the area of a dot, in square points, of a trial with the quality v from 0 to 1: 0.2 (1 + v)^10, from 0.2 to 205, as
# three-dimensional searches were published
AREA_PT, AREA_POWER, PIXELS_PER_PT = 0.2, 10, 4 / 3


def importance(results: Results) -> str:
    found = importances(results)
    if not found:
        if not results.varied:
            return ""
        what = f"it takes {MIN_TRIALS} trials with an objective and two hyperparameters that vary"
        return section("Importance of the hyperparameters", note(f"Not estimated: {what}."))
    shown = found[::-1]  # plotly draws the first one lowest
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [escape(entry.name) for entry in shown],
        "x": [entry.share for entry in shown],
        "marker": {"color": ["@0" if entry.is_clear else "@muted" for entry in shown]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [entry.high - entry.share for entry in shown],
            "arrayminus": [entry.share - entry.low for entry in shown],
            "color": "@ink",
            "thickness": 1.2,
        },
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    chance = {
        "type": "scatter",
        "mode": "markers",
        "y": bars["y"],
        "x": [entry.by_chance for entry in shown],
        "marker": {"symbol": "line-ns", "size": 20, "line": {"color": "@1", "width": 2.5}},
        "hovertemplate": "%{y} by chance: %{x:.1%}<extra></extra>",
    }
    layout = {
        "xaxis": {**titled_axis("part of the variance explained alone"), "tickformat": ".0%", "rangemode": "tozero"},
        "showlegend": False,
    }
    used = min(len(results.compared), MAX_TRIALS)
    text = (
        f"fANOVA over {used} trials; the thin lines hold 90 % of the estimates from resampled trials. The orange "
        "mark is the most of 19 shuffles of the objectives: a bar that ends left of it, grey, cannot be told from no "
        "effect. Trials that were stopped early count by the best value they reached."
    )
    return section(
        "Importance of the hyperparameters",
        figure_html([bars, chance], layout, height=90 + 28 * len(found)),
        note(text),
    )


def parallel_coordinates(results: Results) -> str:
    """A line a trial through its hyperparameters, the better the more colour."""
    if len(results.compared) < 2 or not results.varied:
        return ""
    rows = at_most(results.compared, MAX_CURVES)
    dimensions = [parallel_axis(results, rows, column) for column in by_importance(results)]
    dimensions = [dimension for dimension in dimensions if dimension]
    objective = parallel_scale(rows[c.OBJECTIVE], results.mode == "min" and is_log(rows[c.OBJECTIVE]))
    dimensions.append({"label": escape(results.objective_name), **objective})
    ranks = [1 - rank / (len(rows) - 1) for rank in range(len(rows))]  # 1 is the best, and drawn on top
    line = {
        "color": ranks,
        "colorscale": [[0, "@faint"], [0.75, "@faint"], [0.75, "@0"], [1, "@0"]],
        "cmin": 0,
        "cmax": 1,
    }
    data = [
        {
            "type": "parcoords",
            "dimensions": dimensions,
            "line": line,
            "labelangle": -20,
            "ids": rows[c.TRIAL_ID].tolist(),
        }
    ]
    figure = figure_html(data, {"margin": {"l": 60, "r": 60, "t": 80, "b": 20}}, height=420)
    text = f"The best quarter of {len(rows)} trials is coloured. Drag along an axis to keep those in that range."
    return section("Hyperparameters together", f"<div class=wide>{figure}</div>", note(text))


def slices(results: Results) -> str:
    """The objective over each hyperparameter that varies."""
    if len(results.compared) < 2 or not results.varied:
        return ""
    rows = at_most(results.compared, MAX_POINTS).iloc[::-1]  # the best on top
    figures = []
    for column in by_importance(results):
        there = rows[rows[column].notna()] if not is_choice(results, column) else rows
        if there.empty:
            continue
        x, axis = slice_axis(results, there, column)
        is_best = [False] * (len(there) - 1) + [True]
        marker = {
            "size": [10 if best else 6 for best in is_best],
            "opacity": 0.75,
            "line": {"width": 0},
            "color": ["@1" if best else "@0" for best in is_best],
        }
        axes = {
            "xaxis": {**titled_axis(column.removeprefix(c.CONFIG_PREFIX)), **axis},
            "yaxis": objective_axis(results, rows[c.OBJECTIVE]),
            "showlegend": False,
        }
        figures.append(figure_html([_points(there, x, there[c.OBJECTIVE].tolist(), marker)], axes, height=240))
    text = f"{results.objective_name} of each trial; the larger dot is the best of those shown."
    return section("Hyperparameters one by one", note(text), grid(figures, "small"))


def planes(results: Results) -> str:
    """The trials in the planes of the most important hyperparameters, the larger the dot the better: three planes of
    three, one of two.
    """
    columns = by_importance(results)[:NUM_CONTOURED]
    pairs = itertools.combinations(columns, 2)
    figures = [(pair, figure) for pair in pairs if (figure := _plane(results, pair))]
    if not figures:
        return ""
    names = [[column.removeprefix(c.CONFIG_PREFIX) for column in pair] for pair, _ in figures]
    if len(figures) == 1:
        title = f"The plane of {names[0][0]} and {names[0][1]}"
    else:
        title = f"The {len(figures)} planes of {', '.join(dict.fromkeys(name for pair in names for name in pair))}"
    shown = figures[0][1] if len(figures) == 1 else grid(figure for _, figure in figures)
    what = (
        f"v is the {results.objective_name}"
        if _is_share(results)
        else f"v falls evenly from 1, the best {results.objective_name}, to 0, the worst: by rank, as it has no scale"
    )
    text = f"A dot a trial; its area grows as 0.2 (1 + v)^10 square points, where {what}. The best stands out."
    return section(title, shown, note(text))


def _plane(results: Results, pair: tuple[str, str]) -> str:
    rows = at_most(results.compared, MAX_POINTS).dropna(subset=list(pair))
    if len(rows) < 3:
        return ""
    (x, x_axis), (y, y_axis) = (slice_axis(results, rows, column) for column in pair)
    if _is_share(results):
        quality = rows[c.OBJECTIVE].tolist()
    else:
        quality = [1 - rank / (len(rows) - 1) for rank in range(len(rows))]
    marker = {
        "size": [AREA_PT * (1 + part) ** AREA_POWER for part in quality],
        "sizemode": "area",
        "sizeref": PIXELS_PER_PT**-2,  # the size is the square of the diameter, in points, as matplotlib has it
        "sizemin": 1,  # px, of the radius
        "color": ["@1" if rank == 0 else "@0" for rank in range(len(rows))],
        "opacity": 0.55,
        "line": {"width": 0},
    }
    names = [column.removeprefix(c.CONFIG_PREFIX) for column in pair]
    axes = {
        "xaxis": {**titled_axis(names[0]), **x_axis},
        "yaxis": {**titled_axis(names[1]), **y_axis},
        "showlegend": False,
    }
    return figure_html([_points(rows, x, y, marker)], axes, height=420)


def _is_share(results: Results) -> bool:
    """Whether the objective is a part of a whole, such as an accuracy: 0 to 1, the higher the better."""
    return results.mode == "max" and bool(results.compared[c.OBJECTIVE].between(0, 1).all())


def contours(results: Results) -> str:
    """The objective over pairs of the most important hyperparameters, by Optuna."""
    columns = [column for column in by_importance(results) if results.compared[column].nunique() > 1][:NUM_CONTOURED]
    figures = [_contour(results, pair) for pair in itertools.combinations(columns, 2)]
    figures = [figure for figure in figures if figure]
    if not figures:
        return ""
    text = f"{results.objective_name}, interpolated between trials, by Optuna. Far from any dot it says nothing."
    return section("Hyperparameters in pairs", note(text), grid(figures))


def by_importance(results: Results) -> list[str]:
    """The columns that vary, the most important first."""
    known = [entry.column for entry in importances(results)]
    return known + [column for column in results.varied if column not in known]


def _contour(results: Results, pair: tuple[str, str]) -> str:
    import numpy as np
    import optuna

    rows = at_most(results.compared, MAX_CONTOUR_TRIALS).dropna(subset=list(pair))
    if len(rows) < MIN_TRIALS or any(rows[column].nunique() < 2 for column in pair):
        return ""
    values = np.log10(rows[c.OBJECTIVE]) if _is_log(results) else rows[c.OBJECTIVE]
    names = [column.removeprefix(c.CONFIG_PREFIX) for column in pair]
    (xs, x_domain), (ys, y_domain) = (_optuna_domain(results, rows, column) for column in pair)
    study = optuna.create_study(direction="minimize" if results.mode == "min" else "maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={"x": x, "y": y}, distributions={"x": x_domain, "y": y_domain}, value=float(value)
            )
            for x, y, value in zip(xs, ys, values, strict=True)
        ]
    )
    drawn = json.loads(optuna.visualization.plot_contour(study, params=["x", "y"]).to_json())
    field, points = drawn["data"][:2]  # a third one holds infeasible trials, of which there are none
    colors = ["@0", "@back"] if results.mode == "min" else ["@back", "@0"]
    field |= {"colorscale": [[0, colors[0]], [1, colors[1]]], "reversescale": False, "line": {"width": 0}}
    bar = numeric_scale(rows[c.OBJECTIVE], _is_log(results))
    ticks = {key: bar[key] for key in ("tickvals", "ticktext")}
    field |= {"colorbar": {"thickness": 10, "outlinewidth": 0, **ticks}, "hoverinfo": "skip"}
    dots = {"color": "@ink", "size": 5, "line": {"color": "@back", "width": 1}}
    points |= {"marker": dots, "hoverinfo": "skip"}
    axes = {}
    for axis, name, values in (("xaxis", names[0], xs), ("yaxis", names[1], ys)):
        axes[axis] = {key: drawn["layout"][axis][key] for key in ("type", "range") if key in drawn["layout"][axis]}
        axes[axis] |= titled_axis(name)
        if axes[axis].get("type") == "category":
            axes[axis].pop("range", None)
        elif axes[axis].get("type") == "log":
            axes[axis] |= log_axis(values)
    return figure_html([field, points], {**axes, "showlegend": False}, height=340)


def _optuna_domain(results: Results, rows: pd.DataFrame, column: str) -> tuple[list[Any], Any]:
    """The values of a hyperparameter as Optuna takes them, and its distribution."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if is_choice(results, column):
        options = [plain(value) for value in rows[column]]
        return options, CategoricalDistribution(list(dict.fromkeys(options)))
    values = rows[column].astype(float)
    low, high = bounds(results, column) or (values.min(), values.max())
    low, high = min(float(low), float(values.min())), max(float(high), float(values.max()))
    return values.tolist(), FloatDistribution(low, high, log=is_log_scale(results, column) and low > 0)


def _is_log(results: Results) -> bool:
    return results.mode == "min" and is_log(results.compared[c.OBJECTIVE])


def _points(rows: pd.DataFrame, x: list[Any], y: list[Any], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "text": rows[c.TRIAL_ID].tolist(),
        "customdata": rows[c.OBJECTIVE].tolist(),
        "hovertemplate": "%{text}: %{customdata:.4g}<extra></extra>",
        "marker": marker,
    }
