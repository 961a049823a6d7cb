"""COCO's twelve figures (cocodataset.org/#detection-eval), and the AP of each category."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from balltrain.tasks.base import Table

# in the order of COCOeval.stats; -1 where there is no object of that kind
FIGURES = (
    "map",
    "map_50",
    "map_75",
    "map_small",
    "map_medium",
    "map_large",
    "mar_1",
    "mar_10",
    "mar_100",
    "mar_small",
    "mar_medium",
    "mar_large",
)


def detections_of(outputs: dict[str, Tensor]) -> list[dict[str, Any]]:
    """COCO's results of the outputs of a split, boxes xyxy; a label is the category_id, a row the image_id."""
    boxes = outputs["boxes"].double().numpy()
    scores, labels = outputs["scores"].double().numpy(), outputs["labels"].long().numpy()
    boxes[..., 2:] -= boxes[..., :2]
    return [
        {
            "image_id": int(row),
            "category_id": int(labels[row, column]),
            "bbox": boxes[row, column].tolist(),
            "score": float(scores[row, column]),
        }
        for row, column in np.argwhere(labels >= 0)
    ]


def coco_figures(
    detections: list[dict[str, Any]],
    *,
    truth: np.ndarray,
    labels: np.ndarray,
    crowd: np.ndarray,
    area: np.ndarray,
) -> tuple[dict[str, float], dict[int, float]]:
    """FIGURES, and the AP of each label that has objects, of results whose category_id is a label and whose image_id
    a row.

    `truth` (n, objects, 4): x, y, width, height; `labels` (n, objects), -1 where there is no object; `crowd` and
    `area` (n, objects). As in pycocotools, a crowd is an area where detections count neither for nor against, and
    categories without objects count in no mean.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    annotations = [
        {
            "id": number,  # not that of the file: pycocotools takes an object with the id 0 for one not found
            "image_id": int(row),
            "category_id": int(labels[row, column]),
            "bbox": truth[row, column].tolist(),
            "area": float(area[row, column]),
            "iscrowd": int(crowd[row, column]),
        }
        for number, (row, column) in enumerate(np.argwhere(labels >= 0), 1)
    ]
    num_categories = max(1, int(labels.max()) + 1)
    # sizes are needed for masks alone
    images = [{"id": row, "width": 1, "height": 1} for row in range(len(labels))]
    categories = [{"id": label, "name": str(label)} for label in range(num_categories)]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its table
        coco = COCO({"images": images, "annotations": annotations, "categories": categories})
        evaluation = COCOeval_faster(coco, coco.loadRes(detections), "bbox")
        evaluation.run()
    figures = {name: float(value) for name, value in zip(FIGURES, evaluation.stats[: len(FIGURES)], strict=True)}
    # (IoUs, recalls, categories, areas, detections) at all areas and most detections; -1 without objects
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_label = {
        label: float(precision[:, :, label].mean())
        for label in range(num_categories)
        if (precision[:, :, label] > -1).any()
    }
    return figures, by_label


def by_category(ap: dict[int, float], categories: Sequence[dict[str, Any]]) -> dict[str, Table]:
    """The AP of each label as a table, under the names of the categories."""
    rows = [categories[label]["name"] for label in ap]
    return {"ap_by_category": Table("AP by category", rows, ["AP"], [[value] for value in ap.values()])}
