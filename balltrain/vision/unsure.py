"""Predictions that a classifier is not sure of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from balltrain.errors import UsageError
from balltrain.vision.predict import FONT_PX, PICTURE_PX

COLOR = "#b3261e"


def check_threshold(below: float | None) -> None:
    """Raises UsageError where it is no probability."""
    if below is not None and not 0 < below <= 1:
        raise UsageError(f"--unsure-below is {below:g}, but it is a probability: more than 0, at most 1")


def mark_unsure(predictions: Sequence[dict[str, Any]], below: float, task: str) -> int:
    """Say of each prediction, and in the picture of those that are, whether it is `unsure`; how many are.

    That is where the likeliest class, the first of `top`, has a probability below the threshold. Raises UsageError
    where predictions have no such classes.
    """
    if any("top" not in found for found in predictions):
        raise UsageError(f"{task} predicts no class with a probability: leave out --unsure-below")
    for found in predictions:
        found["unsure"] = found["top"][0]["probability"] < below
        if found["unsure"] and "picture" in found:
            _write_unsure(Path(found["picture"]))
    return sum(found["unsure"] for found in predictions)


def _write_unsure(file: Path) -> None:
    """On the right of the last line beside the picture, whose left is the truth's."""
    with Image.open(file) as drawing:
        drawing.load()
    draw, font = ImageDraw.Draw(drawing), ImageFont.load_default(FONT_PX)
    place = (drawing.width - 16 - draw.textlength("unsure", font), PICTURE_PX - 1.75 * FONT_PX)
    draw.text(place, "unsure", fill=COLOR, font=font)
    drawing.save(file)
