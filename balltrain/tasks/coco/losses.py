"""The losses of RetinaNet: focal loss of the classes; smooth L1 or GIoU of the boxes."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from balltrain.tasks.coco.anchors import IGNORED, assign, decode, encode

# of offsets in anchor sizes: quadratic below. torchvision and Detectron2 have 0 (L1); 1/9 is that of Detectron
SMOOTH_L1_BETA = 1 / 9
BoxLoss = Literal["smooth_l1", "giou"]


def detection_losses(
    logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    boxes: Tensor,
    labels: Tensor,
    crowd: Tensor,
    *,
    alpha: float,
    gamma: float,
    box_loss: BoxLoss,
) -> Tensor:
    """(batch,) loss of each image: of classes and of boxes, each over the number of the image's positive anchors.

    `logits` (batch, anchors, classes), `offsets` (batch, anchors, 4). `boxes` (batch, objects, 4) xyxy pixels,
    `labels` (batch, objects) with -1 where there is no object, `crowd` (batch, objects) bool.
    """
    extended = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)  # a box of zero width cannot be coded
    is_object, is_crowd = (labels >= 0) & ~crowd & extended, (labels >= 0) & crowd & extended
    losses = []
    for n in range(len(logits)):
        objects, classes = boxes[n][is_object[n]], labels[n][is_object[n]].long()
        assigned = assign(anchors, objects, boxes[n][is_crowd[n]])
        positive = torch.nonzero(assigned >= 0)[:, 0]
        matched = assigned[positive]
        classification = focal_loss(logits[n], positive, classes[matched], assigned != IGNORED, alpha, gamma)
        regression = box_regression_loss(offsets[n][positive], anchors[positive], objects[matched], box_loss)
        losses.append((classification + regression) / max(1, len(positive)))
    return torch.stack(losses)


def focal_loss(
    logits: Tensor, positive: Tensor, classes: Tensor, trained: Tensor, alpha: float, gamma: float
) -> Tensor:
    """The sum over (anchors, classes) of -alpha_t (1 - p_t)^gamma log(p_t): arXiv 1708.02002, equation 5.

    `positive` (n,) are the anchors of objects, of the classes `classes` (n,); all else is background. Anchors that
    are not `trained` (anchors,) do not count.

    All entries are taken for background first, in place of a target for each of them, then the n are corrected.
    """
    logits = logits.float()
    background = _focal_background(logits, gamma).sum(dim=1)[trained].sum() * (1 - alpha)
    scores = logits[positive, classes]
    correction = alpha * _focal_background(-scores, gamma) - (1 - alpha) * _focal_background(scores, gamma)
    return background + correction.sum()


def _focal_background(logits: Tensor, gamma: float) -> Tensor:
    """p^gamma times -log(1 - p). The gradient of p^gamma itself is infinite where p is 0 and gamma below 1."""
    return torch.exp(gamma * F.logsigmoid(logits)) * F.softplus(logits)


def box_regression_loss(offsets: Tensor, anchors: Tensor, boxes: Tensor, kind: BoxLoss) -> Tensor:
    """The sum over (n, 4) offsets of positive anchors and the boxes (n, 4) that they answer for."""
    if kind == "smooth_l1":
        return F.smooth_l1_loss(offsets.float(), encode(boxes, anchors), beta=SMOOTH_L1_BETA, reduction="sum")
    return (1 - generalized_iou(decode(offsets.float(), anchors), boxes)).sum()


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """(n,) of boxes (n, 4) pair by pair: IoU less the part of the enclosing box that neither covers; -1 … 1.

    Rezatofighi et al., arXiv 1902.09630.
    """
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    outer = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - inner
    return inner / union.clamp(min=1e-9) - (outer - union) / outer.clamp(min=1e-9)
