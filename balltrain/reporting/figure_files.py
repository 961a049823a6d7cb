"""The figures of a report as files, one by one, for a paper or a slide: kaleido draws them in a browser."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError
from balltrain.records.results import Results
from balltrain.reporting.gallery import gallery
from balltrain.reporting.page import PALETTES, anchor, figures_in
from balltrain.reporting.report import SECTIONS

if TYPE_CHECKING:
    import types

FORMATS = ("png", "svg")
CSS_PPI, PRINT_PPI = 96, 300  # pixels an inch: of a browser, and of a PNG
WIDTH_IN, LEAST_HEIGHT_IN = 6.5, 3.6  # the text of a page is 6.5 inches wide
FONT_PT, LEGEND_PT = 11, 10
FONTS = "Arial, Helvetica, Liberation Sans, DejaVu Sans, sans-serif"
GRID = "#d9dde2"
TIMEOUT_S = 90.0  # of one figure


def write_figures(results: Results, folder: Path, kind: str) -> list[Path]:
    """Write each figure of the report into `folder`, as `learning-curves-val-loss.svg`; `kind` is one of FORMATS.

    Predictions are no figures. Raises BalltrainError where kaleido, a browser or any figure is missing, or the folder
    cannot be written.
    """
    kaleido = _kaleido()
    figures = dict(named_figures(results))
    if not figures:
        raise BalltrainError(f"{results.name} has no figure yet: no trial has an objective")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{name}.{kind}" for name in figures}
        _draw(kaleido, [{**_drawing(spec, kind), "path": str(paths[name])} for name, spec in figures.items()])
        if kind == "png":
            for path in paths.values():
                _tell_size(path)
    except OSError as error:
        raise BalltrainError(
            f"cannot write figures to {folder}: {error.strerror or error}; choose another folder"
        ) from error
    return list(paths.values())


def named_figures(results: Results) -> Iterator[tuple[str, dict[str, Any]]]:
    """The report's figures in its order, each with a name for its file: that of the function that draws the section,
    and what tells it from the section's others.
    """
    for draw in SECTIONS:
        if draw is gallery:  # which has pictures, and no figures
            continue
        specs = figures_in(draw(results))
        for detail, spec in zip(_details(specs), specs, strict=True):
            yield "-".join(part for part in (anchor(draw.__name__), detail) if part), spec


def for_print(spec: dict[str, Any]) -> dict[str, Any]:
    """A figure in black on white, with fonts of 11 points on 6.5 inches; its colours are the light page's."""
    figure = _coloured(spec)
    layout = figure["layout"]
    ink = PALETTES["light"]["ink"]
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": ink, "automargin": True, "ticks": "outside"}
    layout = {
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"color": ink, "family": FONTS, "size": _px(FONT_PT)},
        "margin": {"l": 64, "r": 16, "t": 16, "b": 56},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "font": {"size": _px(LEGEND_PT)}},
        **layout,
        "xaxis": {**axis, **layout.get("xaxis", {})},
        "yaxis": {**axis, **layout.get("yaxis", {})},
    }
    layout["width"] = round(WIDTH_IN * CSS_PPI)
    layout["height"] = max(layout["height"], round(LEAST_HEIGHT_IN * CSS_PPI))
    return {"data": figure["data"], "layout": layout}


def _kaleido() -> types.ModuleType:
    try:
        import kaleido
    except ImportError:
        raise BalltrainError(
            "figures as files need kaleido, which is not installed: pip install 'balltrain[figures]'"
        ) from None
    return kaleido  # type: ignore[no-any-return]  # kaleido's own stubs do not say what it is


def _drawing(spec: dict[str, Any], kind: str) -> dict[str, Any]:
    figure = for_print(spec)
    size = {key: figure["layout"][key] for key in ("width", "height")}
    scale = PRINT_PPI / CSS_PPI if kind == "png" else 1
    return {"fig": figure, "opts": {"format": kind, "scale": scale, **size}}


def _draw(kaleido: types.ModuleType, drawings: list[dict[str, Any]]) -> None:
    """Draw all in one browser. kaleido starts it without its sandbox, which root and most containers do not have; it
    loads plotly.js from the Python package, and no MathJax, which would come from the network.
    """
    from choreographer.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError

    for name in ("kaleido", "choreographer"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they warn of a browser that is slow to end
    try:
        kaleido.write_fig_from_object_sync(
            drawings, kopts={"mathjax": False, "timeout": TIMEOUT_S}, cancel_on_error=True
        )
    except ChromeNotFoundError:
        told = os.environ.get("BROWSER_PATH")
        where = f"there is none at BROWSER_PATH, {told}" if told else "none was found"
        raise BalltrainError(
            f"figures as files are drawn by Chrome or Chromium, and {where}: install one (apt-get install chromium), "
            "or set BROWSER_PATH to its program"
        ) from None
    except (BrowserClosedError, BrowserFailedError, TimeoutError) as error:
        reason = str(error).strip().splitlines()
        raise BalltrainError(
            f"the browser did not draw the figures ({reason[0] if reason else type(error).__name__}): try again, or "
            "set BROWSER_PATH to another Chrome or Chromium"
        ) from error


def _details(specs: list[dict[str, Any]]) -> list[str]:
    """What tells the figures of a section apart: what is on an axis, on both, or their numbers."""
    if len(specs) < 2:
        return [""] * len(specs)
    titles = [[_title(spec, axis) for axis in ("xaxis", "yaxis")] for spec in specs]
    choices: tuple[Callable[[list[str]], str], ...] = (lambda xy: xy[1], lambda xy: xy[0], "-".join)
    for choice in choices:
        found = [anchor(choice(pair)) for pair in titles]
        if len(set(found)) == len(found) and all(found):
            return found
    return [str(number) for number in range(1, len(specs) + 1)]


def _title(spec: dict[str, Any], axis: str) -> str:
    return re.sub(r"\(.*\)", "", str(spec["layout"].get(axis, {}).get("title", {}).get("text", "")))


def _coloured(spec: dict[str, Any]) -> dict[str, Any]:
    """With the light page's colours for their names, but in what is text."""

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: walk(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, key) for inner in value]
        if isinstance(value, str) and value[:1] == "@" and key != "text":
            return PALETTES["light"].get(value[1:], value)
        return value

    return dict(walk(json.loads(json.dumps(spec))))


def _tell_size(path: Path) -> None:
    """Write the pixels an inch into a PNG, so that a document shows it as wide as it is meant."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.load()
        picture.save(path, dpi=(PRINT_PPI, PRINT_PPI))


def _px(points: float) -> float:
    return round(points * CSS_PPI / 72, 2)
