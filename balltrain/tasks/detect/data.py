"""Images with labels: generated, or read from a mini_balls folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from balltrain.balls.coco import write_coco
from balltrain.balls.formats import image_number, list_images, load_images, read_image, write_images
from balltrain.balls.images import render_images
from balltrain.balls.world import COLORS, FRAMES_IN_IMAGES, IMAGE_SIZE, NUM_COLORS
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Arrays, DataRequest


def prepare(request: DataRequest, arrays: Arrays, default_size: int) -> dict[str, Any]:
    """Arrays `images` (n, 100, 100, 3) uint8, `presence` (n, 9) uint8 and `boxes` (n, 9, 4) int16, pixels.

    `group` is the sequence that an image shows: its three images share a floor and their balls.
    """
    paths = list_images(Path(request.source)) if request.source is not None else None
    size = request.size or (default_size if paths is None else len(paths))
    if paths is not None and size > len(paths):
        raise BalltrainError(f"{request.source} holds {len(paths)} images, but --size is {size}")
    images = arrays.create("images", (size, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    presence = arrays.create("presence", (size, NUM_COLORS), np.uint8)
    boxes = arrays.create("boxes", (size, NUM_COLORS, 4), np.int16)
    if paths is None:
        render_images(size, request.seed, images, presence, boxes)
        numbers = np.arange(size)
    else:
        load_images(paths[:size], images, presence, boxes)
        numbers = np.array([image_number(path) for path in paths[:size]])
    arrays["group"] = numbers // len(FRAMES_IN_IMAGES)
    return {"colors": list(COLORS), "image_size": IMAGE_SIZE}


def export(folder: Path, data: Mapping[str, np.ndarray]) -> list[str]:
    """Write images and labels as a mini_balls folder."""
    write_images(folder, data["images"], data["presence"], data["boxes"])
    return [f"{len(data['images'])} images and labels in {folder}"]


def export_as_coco(folder: Path, data: Mapping[str, np.ndarray], splits: Mapping[str, np.ndarray]) -> list[str]:
    """Write images and labels in COCO's format, an annotation file a split."""
    write_coco(folder, data["images"], data["presence"], data["boxes"], splits)
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in splits.items())
    return [f"images ({counts}) and annotations in {folder}"]


def read_labels_beside(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """`presence` (9,) and `boxes` (9, 4) of an image's label file, where it lies beside it as in mini_balls."""
    label = path.with_name(path.stem.replace("img_", "p_bb_") + ".npy")
    if label == path or not label.is_file():
        return None
    try:
        values = np.load(label, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return (values[:, 0], values[:, 1:]) if values.shape == (NUM_COLORS, 5) else None


def read_image_files(paths: Sequence[Path]) -> np.ndarray:
    """(n, 100, 100, 3) uint8. Raises BalltrainError naming a file that is no image of that size."""
    return np.stack([read_image(path) for path in paths])
