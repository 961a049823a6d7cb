"""A forecast to look at: the observed paths with prediction and truth, and a rollout as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from balltrain.balls.world import COLOR_RGB, COLORS, IMAGE_SIZE, NUM_STEPS

ZOOM = 6  # an image of 100 px is shown with 600
FRAME_MS = 150
FLOOR, GRID, TRUTH = (238, 238, 234), (214, 214, 208), (30, 30, 30)


def draw_forecasts(
    paths: Sequence[Path],
    sequences: Sequence[tuple[np.ndarray, np.ndarray]],
    predicted: np.ndarray,
    rollouts: np.ndarray,
    out: Path,
) -> list[dict[str, Any]]:
    """One PNG and one GIF a sequence under `out`; returns what was forecast, as JSON.

    `sequences`: boxes (20 or 19, 3, 4) and colours (3,). `predicted`: (n, 3, 4) boxes at t = 19. `rollouts`:
    (n, 10, 3, 4), those of t = 10 … 19 from t = 0 … 9. All boxes in pixels.
    """
    results = []
    for path, (boxes, colors), forecast, rollout in zip(paths, sequences, predicted, rollouts, strict=True):
        truth = boxes[NUM_STEPS - 1] if len(boxes) == NUM_STEPS else None
        picture, animation = out / f"{path.stem}.png", out / f"{path.stem}.gif"
        _picture(boxes[: NUM_STEPS - 1], colors, forecast, truth).save(picture)
        frames = _frames(boxes, colors, rollout)
        frames[0].save(animation, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
        balls = [_ball(k, colors, forecast, truth) for k in range(len(colors))]
        results.append({"input": str(path), "picture": str(picture), "animation": str(animation), "balls": balls})
    return results


def draw_sequence(boxes: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """(600, 600, 3) uint8: the path of each ball, its last box that is seen, pale, and the one to be forecast.

    `boxes`: (20, 3, 4) in pixels. `colors`: (3,).
    """
    image, draw = _floor()
    for k, color in enumerate(colors):
        _path(draw, boxes[:, k], _rgb(color))
        _outline(draw, boxes[-2, k], _pale(_rgb(color)), 2)
        _outline(draw, boxes[-1, k], _rgb(color), 4)
    return np.asarray(image)


def _ball(k: int, colors: np.ndarray, forecast: np.ndarray, truth: np.ndarray | None) -> dict[str, Any]:
    ball: dict[str, Any] = {"color": COLORS[colors[k]], "box": [round(float(value), 2) for value in forecast[k]]}
    if truth is not None:
        distance = np.linalg.norm(_center(forecast[k]) - _center(truth[k]))
        ball |= {"truth": [round(float(value), 2) for value in truth[k]], "pixel_error": round(float(distance), 3)}
    return ball


def _picture(seen: np.ndarray, colors: np.ndarray, forecast: np.ndarray, truth: np.ndarray | None) -> Image.Image:
    """Observed centres as dots on a line, the last box pale, the forecast in colour and the truth in black."""
    image, draw = _floor()
    for k, color in enumerate(colors):
        rgb = _rgb(color)
        _path(draw, seen[:, k], rgb)
        _outline(draw, seen[-1, k], _pale(rgb), 2)
        _outline(draw, forecast[k], rgb, 4)
        if truth is not None:
            _outline(draw, truth[k], TRUTH, 1)
    legend = f"pale: t = {NUM_STEPS - 2}   thick: forecast of t = {NUM_STEPS - 1}"
    draw.text((8, 4), legend + "   black: truth" * (truth is not None), fill=TRUTH)
    return image


def _frames(boxes: np.ndarray, colors: np.ndarray, rollout: np.ndarray) -> list[Image.Image]:
    """What was seen, then the rollout: balls filled, the truth as a black outline where it is known."""
    start = NUM_STEPS - len(rollout)
    shown = np.concatenate([boxes[:start], rollout])
    frames = []
    for step in range(NUM_STEPS):
        image, draw = _floor()
        for k, color in enumerate(colors):
            rgb = _rgb(color)
            _path(draw, shown[: step + 1, k], rgb)
            draw.ellipse(_corners(shown[step, k]), fill=rgb if step < start else _pale(rgb), outline=rgb, width=3)
            if start <= step < len(boxes):
                _outline(draw, boxes[step, k], TRUTH, 1)
        draw.text((8, 4), f"t = {step}" + (", predicted" if step >= start else ""), fill=TRUTH)
        frames.append(image)
    return frames


def _floor() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    size = IMAGE_SIZE * ZOOM
    image = Image.new("RGB", (size, size), FLOOR)
    draw = ImageDraw.Draw(image)
    for at in range(0, size, 10 * ZOOM):
        draw.line([(at, 0), (at, size)], fill=GRID)
        draw.line([(0, at), (size, at)], fill=GRID)
    return image, draw


def _path(draw: ImageDraw.ImageDraw, boxes: np.ndarray, rgb: tuple[int, int, int]) -> None:
    points = [((x + 0.5) * ZOOM, (y + 0.5) * ZOOM) for x, y in (_center(box).tolist() for box in boxes)]
    if len(points) > 1:
        draw.line(points, fill=_pale(rgb), width=2)
    for x, y in points:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=rgb)


def _outline(draw: ImageDraw.ImageDraw, box: np.ndarray, rgb: tuple[int, int, int], width: int) -> None:
    draw.rectangle(_corners(box), outline=rgb, width=width)


def _corners(box: np.ndarray) -> list[float]:
    """The last pixel of a box belongs to it. A forecast may turn a box inside out; it is drawn as a point."""
    x1, y1, x2, y2 = (float(value) * ZOOM for value in box)
    return [x1, y1, max(x1, x2 + ZOOM), max(y1, y2 + ZOOM)]


def _center(box: np.ndarray) -> np.ndarray:
    center: np.ndarray = (box[:2] + box[2:]) / 2
    return center


def _rgb(color: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in COLOR_RGB[color])
    return red, green, blue


def _pale(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = ((value + 2 * floor) // 3 for value, floor in zip(rgb, FLOOR, strict=True))
    return red, green, blue
