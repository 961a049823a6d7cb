"""How sure a classifier is, as a page shows it: confidence by class, and what leaving out the unsure gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from balltrain.reporting.figures import line_trace, titled_axis
from balltrain.reporting.page import figure_html, grid, note, section, table
from balltrain.tasks.base import Certainty
from balltrain.vision.metrics import risk_coverage

NUM_BARS = 20
HEIGHT_PX = 280
MAX_CLASSES = 50
LESS_WRONG = (1, 2, 4, 10)  # times as few of those that are left, for which a threshold is looked for
RIGHT, WRONG = "@0", "@1"


def histograms(values: Mapping[str, Sequence[float]], axis: str) -> str:
    """A figure for each name, all with the same bins."""
    edges = np.histogram_bin_edges([value for each in values.values() for value in each], NUM_BARS)
    return grid(
        figure_html([_bars(each, edges, name, f"@{number}")], _axes(f"{axis}, {name}", edges), HEIGHT_PX)
        for number, (name, each) in enumerate(values.items())
    )


def certainty_sections(found: Certainty, axis: str) -> list[str]:
    """Confidence by class, and accuracy against coverage."""
    return [_by_class(found, axis), _coverage(found)]


def _by_class(found: Certainty, axis: str) -> str:
    confidence, right = np.array(found.confidence), np.array(found.right)
    of_class = np.array(found.classes)
    names = list(dict.fromkeys(sorted(found.classes)))
    edges = np.histogram_bin_edges(confidence, NUM_BARS)
    figures = []
    for name in names[:MAX_CLASSES]:
        bars = [
            _bars(confidence[(of_class == name) & (right == good)], edges, what, color)
            for what, good, color in (("right", True, RIGHT), ("wrong", False, WRONG))
        ]
        counts = [int(((of_class == name) & (right == good)).sum()) for good in (True, False)]
        title = f"{name}: {counts[0]} right, {counts[1]} wrong"
        figures.append(figure_html(bars, {**_axes(title, edges), "barmode": "stack", "showlegend": True}, HEIGHT_PX))
    more = f" The first {MAX_CLASSES} of {len(names)} classes are shown." if len(names) > MAX_CLASSES else ""
    said = f"By an item's true class: {axis}, of those that are predicted right and, above them, wrong.{more}"
    return section("Confidence by class", note(said), grid(figures, "small"))


def _coverage(found: Certainty) -> str:
    """The curve, and a row for each threshold that makes so many times fewer errors among what is left."""
    threshold, coverage, accuracy = risk_coverage(found.confidence, found.right)
    rows: list[list[Any]] = []
    for times in LESS_WRONG:
        wanted = 1 - (1 - accuracy[-1]) / times
        enough = np.flatnonzero(accuracy >= wanted - 1e-12)
        if len(enough) and (times == 1 or accuracy[-1] < 1):
            last = enough[-1]  # of all that do, the one that leaves most
            below = np.floor(threshold[last] * 1e4) / 1e4 if last < len(threshold) - 1 else 0.0
            row = [
                float(below),
                round(coverage[last] * len(found.right)),
                float(coverage[last]),
                float(accuracy[last]),
            ]
            rows += [row] if row not in rows else []
    curve = line_trace(coverage.tolist(), accuracy.tolist(), "accuracy", "@0")
    axes = {"xaxis": {**titled_axis("coverage"), "range": [0, 1]}, "yaxis": titled_axis("accuracy of what is left")}
    said = (
        "What is predicted with a probability below a threshold is left out as unsure: coverage is the part of the "
        "items that stays, and accuracy the part of these that is right. The first row is of all items; with the "
        "thresholds of the others errors are half, a quarter and a tenth as frequent. What no threshold reaches is "
        "missing. "
    )
    if len(rows) > 1:
        said += f"balltrain predict --unsure-below {rows[1][0]:.4g} says «unsure» of what is below the second row's."
    return section(
        "Accuracy against coverage",
        note(said),
        figure_html([curve], axes, HEIGHT_PX),
        table(["threshold", "items", "coverage", "accuracy"], rows),
    )


def _bars(values: Sequence[float] | np.ndarray, edges: np.ndarray, name: str, color: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
        "y": np.histogram(values, edges)[0].tolist(),
        "marker": {"color": color},
        "hovertemplate": f"{name}, %{{x:.3g}}: %{{y}}<extra></extra>",
    }


def _axes(title: str, edges: np.ndarray) -> dict[str, Any]:
    return {
        "xaxis": {**titled_axis(title), "range": [edges[0], edges[-1]]},
        "yaxis": titled_axis("items"),
        "bargap": 0.05,
    }
