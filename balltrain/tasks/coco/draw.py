"""Detections drawn on images."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MIN_SIDE_PX = 640  # a smaller picture is enlarged, so that labels can be read
FONT_PX = 14
MIN_SCORE = 0.3  # of the detections that are drawn; the files have all
GOLDEN = 0.618  # neighbouring labels get hues far apart


def draw_detections(pixels: np.ndarray, objects: Sequence[dict[str, Any]]) -> Image.Image:
    """An image (height, width, 3) uint8 with its objects: `box` x, y, width, height, `category`, `label`, `score`.

    Those without a score are labels, and drawn whatever there is.
    """
    height, width = pixels.shape[:2]
    zoom = max(1, -(-MIN_SIDE_PX // max(height, width)))
    picture = Image.fromarray(pixels).resize((width * zoom, height * zoom), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(FONT_PX)
    for found in sorted(objects, key=lambda found: found.get("score", 1.0)):  # the best on top
        if found.get("score", 1.0) < MIN_SCORE:
            continue
        x, y, box_width, box_height = (value * zoom for value in found["box"])
        color = _color(found["label"])
        draw.rectangle([x, y, x + box_width, y + box_height], outline=color, width=2)
        text = f"{found['category']} {found['score']:.2f}" if "score" in found else found["category"]
        text_width, text_height = draw.textlength(text, font) + 6, FONT_PX + 4
        # above the box where there is room, and never over the picture's edge
        left = min(max(0, x), max(0, picture.width - text_width))
        top = y - text_height if y >= text_height else y
        draw.rectangle([left, top, left + text_width, top + text_height], fill=color)
        draw.text((left + 3, top + 1), text, fill="black", font=font)
    return picture


def _color(label: int) -> tuple[int, int, int]:
    """Bright ones: the text on them is black."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1, 0.55, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
