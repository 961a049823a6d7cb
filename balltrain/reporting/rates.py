"""What the learning-rate finder has found: in a terminal, as JSON, and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.reporting.figures import line_trace, titled_axis
from balltrain.reporting.live import sparkline
from balltrain.reporting.page import figure_html, page_html, paragraph, write_page
from balltrain.reporting.ticks import log_axis

if TYPE_CHECKING:
    from balltrain.training.finder import FoundRate

FILE = "find-lr.html"
NUM_COLUMNS = 60  # of the curve in a terminal


def rates_json(found: FoundRate, page: Path) -> dict[str, Any]:
    return {
        "suggestion": found.suggestion,
        "reason": found.reason,
        "lowest": found.lowest,
        "diverged": found.diverged,
        "rates": found.rates,
        "smoothed": found.smoothed,
        "page": str(page),
    }


def print_rates(found: FoundRate, task: str, page: Path) -> None:
    """The curve of the smoothed loss by the rate, the suggestion below its place, and the reason."""
    columns = min(NUM_COLUMNS, len(found.rates))
    places = [round(column * (len(found.rates) - 1) / (columns - 1)) for column in range(columns)]
    print(f"{found.rates[0]:.1e} {sparkline([found.smoothed[place] for place in places])} {found.rates[-1]:.1e}")
    if found.suggestion is not None:
        at = found.rates.index(found.suggestion)
        column = min(range(columns), key=lambda column: abs(places[column] - at))
        print(f"{'':8}{' ' * column}^ {found.suggestion:.1e}")
    print(found.reason)
    print(f"the curve: {page}")
    if found.suggestion is not None:
        print(f"balltrain train {task} --set lr={found.suggestion:.2g}")


def write_rates(found: FoundRate, title: str, folder: Path) -> Path:
    """A page with the loss and the smoothed loss by the rate. Raises BalltrainError where it cannot be written."""
    data = [
        line_trace(found.rates, found.losses, "loss of a batch", "@muted", width=1, opacity=0.6),
        line_trace(found.rates, found.smoothed, "smoothed", "@0", width=3),
    ]
    if found.suggestion is not None:
        ends = [min(found.smoothed), max(found.smoothed)]
        name = f"suggestion, {found.suggestion:.1e}"
        data.append(line_trace([found.suggestion] * 2, ends, name, "@1", dash="dash"))
    # the loss of the last batches, which diverge, would flatten all others
    low, high = min(found.smoothed), max(found.smoothed[: max(1, len(found.smoothed) // 2)])
    margin = 0.3 * ((high - low) or 1.0)
    axes = {
        "xaxis": {**titled_axis("learning rate"), **log_axis(found.rates)},
        "yaxis": {**titled_axis("training loss"), "range": [low - margin, high + margin]},
    }
    body = f"<header><h1>Learning rate of {title}</h1></header>" + paragraph(found.reason.capitalize() + ".")
    return write_page(page_html(f"{title}: learning rate", body + figure_html(data, axes, height=420)), folder / FILE)
