"""Detections drawn on enlarged images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from balltrain.balls.world import COLOR_RGB, COLORS, NUM_COLORS

ZOOM = 6  # an image of 100 px is shown with 600
FONT_PX = 15


def draw_detections(
    paths: Sequence[Path],
    images: np.ndarray,
    presence: np.ndarray,
    boxes_px: np.ndarray,
    out: Path,
    truths: Sequence[tuple[np.ndarray, np.ndarray] | None] | None = None,
) -> list[dict[str, Any]]:
    """One PNG an image under `out`; returns what was found, as JSON.

    `images`: (n, 100, 100, 3) uint8. `presence`: (n, 9) probabilities. `boxes_px`: (n, 9, 4) whole pixels.
    `truths`: labels where they are known, `presence` (9,) and boxes (9, 4), drawn in black below the detections.
    """
    results = []
    for path, image, scores, boxes, label in zip(
        paths, images, presence, boxes_px, truths or [None] * len(paths), strict=True
    ):
        found = [
            {
                "color": COLORS[color],
                "score": round(float(scores[color]), 4),
                # none of a model that learned colours alone
                "box": [int(value) for value in boxes[color]] if boxes[color].any() else None,
            }
            for color in range(NUM_COLORS)
            if scores[color] > 0.5
        ]
        picture = out / f"{path.stem}.png"
        truth = None if label is None else _labels(*label)
        _draw(image, found, truth or ()).save(picture)
        entry = {"input": str(path), "picture": str(picture), "balls": found}
        results.append(entry if truth is None else {**entry, "truth": truth})
    return results


def draw_labels(image: np.ndarray, presence: np.ndarray, boxes_px: np.ndarray) -> np.ndarray:
    """An enlarged image (100, 100, 3) uint8 with the balls that are in it: `presence` (9,), `boxes_px` (9, 4)."""
    return np.asarray(_draw(image, _labels(presence, boxes_px)))


def _labels(presence: np.ndarray, boxes_px: np.ndarray) -> list[dict[str, Any]]:
    there = [color for color in range(NUM_COLORS) if presence[color] > 0]
    return [{"color": COLORS[color], "box": [int(value) for value in boxes_px[color]]} for color in there]


def _draw(image: np.ndarray, balls: list[dict[str, Any]], truth: Sequence[dict[str, Any]] = ()) -> Image.Image:
    size = image.shape[0] * ZOOM
    picture = Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(FONT_PX)
    for ball in truth:
        x1, y1, x2, y2 = ball["box"]
        draw.rectangle([x1 * ZOOM, y1 * ZOOM, (x2 + 1) * ZOOM - 1, (y2 + 1) * ZOOM - 1], outline="black", width=4)
    if truth:
        draw.text((8, size - FONT_PX - 6), "black: truth", fill="black", font=font)
    for number, ball in enumerate(balls):
        text = f"{ball['color']} {ball['score']:.2f}" if "score" in ball else ball["color"]
        width, height = draw.textlength(text, font), FONT_PX + 4
        if ball["box"] is None:  # a list in the corner
            left, top = 0, number * height
        else:
            (x1, x2), (y1, y2) = (sorted(ball["box"][axis::2]) for axis in (0, 1))  # early ones may be inside out
            outline = [x1 * ZOOM - 1, y1 * ZOOM - 1, (x2 + 1) * ZOOM, (y2 + 1) * ZOOM]
            draw.rectangle(outline, outline="white", width=2)
            # above the box where there is room, and never over the picture's edge
            left = min(max(0, outline[0]), size - width - 8)
            top = outline[1] - height if outline[1] >= height else outline[3]
        red, green, blue = (int(value) for value in COLOR_RGB[COLORS.index(ball["color"])])
        draw.rectangle([left, top, left + width + 8, top + height], fill=(red, green, blue))
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 120  # ITU-R BT.601 luma
        draw.text((left + 4, top + 1), text, fill="black" if bright else "white", font=font)
    return picture
