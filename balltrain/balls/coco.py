"""The balls' images as a data set in COCO's format (cocodataset.org/#format-data): colours are its categories."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from balltrain.balls.formats import make_empty
from balltrain.balls.world import COLORS, IMAGE_SIZE


def write_coco(
    folder: Path, images: np.ndarray, presence: np.ndarray, boxes: np.ndarray, splits: Mapping[str, np.ndarray]
) -> None:
    """Write the rows of each split as `<split>/<number>.png` and `annotations/instances_<split>.json`, into a new or
    empty folder.

    `images`: (N, 100, 100, 3) uint8 RGB. `presence`: (N, 9). `boxes`: (N, 9, 4) inclusive pixels: a box of COCO is
    x2 - x1 + 1 wide. Ids are from 1, those of images row + 1.
    """
    make_empty(folder)
    (folder / "annotations").mkdir()
    categories = [{"id": number, "name": name, "supercategory": "ball"} for number, name in enumerate(COLORS, 1)]
    for split, rows in splits.items():
        (folder / split).mkdir()
        entries: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for row in rows.tolist():
            name = f"{row + 1:012d}.png"
            Image.fromarray(images[row]).save(folder / split / name)
            entries.append({"id": row + 1, "file_name": name, "width": IMAGE_SIZE, "height": IMAGE_SIZE})
            for color in np.flatnonzero(presence[row]):
                x1, y1, x2, y2 = boxes[row, color].tolist()
                box = [x1, y1, x2 - x1 + 1, y2 - y1 + 1]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": row + 1,
                        "category_id": int(color) + 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
        content = {"images": entries, "annotations": annotations, "categories": categories}
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
