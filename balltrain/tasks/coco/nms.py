"""From the network's outputs to at most 100 detections an image."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from balltrain.tasks.coco.anchors import box_iou, decode

MAX_DETECTIONS = 100  # an image, as COCO counts them
MAX_CANDIDATES = 1000  # (anchor, class) pairs that go into suppression; the paper has as many a level
MIN_SCORE, MAX_IOU = 0.05, 0.5  # RetinaNet's: arXiv 1708.02002, section 4, "Inference"


def detect(logits: Tensor, offsets: Tensor, anchors: Tensor, height: Tensor, width: Tensor) -> tuple[Tensor, ...]:
    """Boxes (100, 4), scores (100,) and labels (100,) of one image, best first; scores 0 and labels -1 fill up.

    `logits` (anchors, classes), `offsets` (anchors, 4). Boxes end at `height` and `width`, both () in pixels.
    """
    num_classes = logits.shape[1]
    scores, order = logits.float().sigmoid().flatten().topk(min(MAX_CANDIDATES, logits.numel()))
    kept = scores > MIN_SCORE
    scores, order = scores[kept], order[kept]
    anchor, labels = order // num_classes, order % num_classes
    boxes = decode(offsets[anchor].float(), anchors[anchor])
    edges = torch.stack([width, height, width, height]).to(boxes.dtype)
    boxes = torch.minimum(boxes.clamp(min=0), edges)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
    best = suppress(boxes, scores, labels, MAX_IOU)[:MAX_DETECTIONS]
    found = len(best)
    filled = (
        boxes.new_zeros(MAX_DETECTIONS, 4),
        scores.new_zeros(MAX_DETECTIONS),
        labels.new_full((MAX_DETECTIONS,), -1),
    )
    for whole, part in zip(filled, (boxes, scores, labels), strict=True):
        whole[:found] = part[best]
    return filled


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, max_iou: float) -> Tensor:
    """Indices of the boxes that remain, best first: none overlaps a better one of its class more than `max_iou`."""
    return _operator()(boxes, scores, labels, max_iou)


@cache  # an import that fails is tried anew each time
def _operator() -> Callable[..., Tensor]:
    """torchvision's where it imports (it does not beside a CPU build of torch)."""
    try:
        from torchvision.ops import batched_nms
    except (ImportError, RuntimeError):  # RuntimeError: its operators are of another torch
        return greedy_nms
    found: Callable[..., Tensor] = batched_nms
    return found


def greedy_nms(boxes: Tensor, scores: Tensor, labels: Tensor, max_iou: float) -> Tensor:
    """`suppress` in whole matrices: a box goes if a better one that stays overlaps it, until nothing changes.

    The fixed point is that of the usual loop over boxes, and is reached in as many rounds as suppressions depend
    on each other (Zheng et al., arXiv 2005.03572, "Cluster-NMS").
    """
    order = scores.argsort(descending=True, stable=True)
    boxes, labels = boxes[order], labels[order]
    overlaps = ((box_iou(boxes, boxes) > max_iou) & (labels[:, None] == labels)).triu(diagonal=1)
    stays = torch.ones_like(labels, dtype=torch.bool)
    while True:
        now = ~(overlaps & stays[:, None]).any(dim=0)
        if torch.equal(now, stays):
            return order[stays]
        stays = now
