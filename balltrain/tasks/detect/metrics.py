"""Figures of a detector on a whole split. Boxes are (items, 9, 4) xyxy in pixels, ends included."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from balltrain.balls.world import IMAGE_SIZE, NUM_COLORS


def color_accuracy(logits: Tensor, presence: Tensor) -> float:
    """Part of the images in which all nine presences are right."""
    return float(((logits > 0) == (presence > 0.5)).all(dim=1).float().mean())


def mean_iou(predicted: Tensor, boxes: Tensor, presence: Tensor) -> float:
    """Mean over the true boxes of the IoU with the predicted box of the same colour."""
    present = presence > 0.5
    return float(box_iou(predicted[present], boxes[present]).mean())


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """(n,) intersection over union of (n, 4) boxes pair by pair; a box is x2 - x1 + 1 wide."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    intersection = (high - low + 1).clamp(min=0).prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2] + 1).clamp(min=0).prod(dim=1) for box in (a, b)]
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-9)


def mean_average_precision(logits: Tensor, predicted: Tensor, boxes: Tensor, presence: Tensor) -> float:
    """COCO's AP over IoU .50:.05:.95 (cocodataset.org/#detection-eval), colours as categories.

    Every colour's box is a detection, scored by its logit (only the order of scores counts, and a sigmoid
    would make sure ones equal); a box that the model left empty is none.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    def coco_box(box: np.ndarray) -> list[float]:
        return [float(box[0]), float(box[1]), float(box[2] - box[0] + 1), float(box[3] - box[1] + 1)]

    scores = logits.numpy()
    truth, found = boxes.numpy(), predicted.numpy()
    annotations: list[dict[str, Any]] = []
    for image, color in np.argwhere(presence.numpy() > 0.5):
        box = coco_box(truth[image, color])
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": int(image),
                "category_id": int(color) + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
        )
    detections = [
        {
            "image_id": int(image),
            "category_id": int(color) + 1,
            "bbox": coco_box(found[image, color]),
            "score": float(scores[image, color]),
        }
        for image, color in np.argwhere(found[:, :, 2] > found[:, :, 0])
    ]
    if not detections:
        return 0.0
    images = [{"id": n, "width": IMAGE_SIZE, "height": IMAGE_SIZE} for n in range(len(truth))]
    categories = [{"id": n + 1, "name": str(n)} for n in range(NUM_COLORS)]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its table
        coco = COCO({"images": images, "annotations": annotations, "categories": categories})
        evaluation = COCOeval_faster(coco, coco.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])
