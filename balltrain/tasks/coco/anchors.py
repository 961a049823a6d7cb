"""Anchors, which object each one answers for, and the coding of boxes. Boxes are xyxy in pixels.

Lin et al., "Focal Loss for Dense Object Detection" (RetinaNet), arXiv 1708.02002, section 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STRIDES = (8, 16, 32, 64, 128)  # of the pyramid's levels P3 … P7
OCTAVES = (2 ** (0 / 3), 2 ** (1 / 3), 2 ** (2 / 3))  # sizes at a level
RATIOS = (0.5, 1.0, 2.0)  # height / width
NUM_ANCHORS = len(OCTAVES) * len(RATIOS)  # at a place
POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
CROWD_SHARE = 0.5  # of an anchor that lies in a crowd, from which on it is not trained
MAX_LOG_SCALE = math.log(1000 / 16)  # of a decoded box to its anchor; exp would overflow (Detectron's value)

NEGATIVE, IGNORED = -1, -2


def make_anchors(height: int, width: int, anchor_scale: float) -> Tensor:
    """(anchors, 4) of an image, a level after the other, row by row, the nine of a place together.

    `anchor_scale` strides is the side of a level's smallest square anchor; 4 in the paper: 32 px at P3. `height`
    and `width` are those that the network sees; each level's map is that of the one before halved, rounded up.
    """
    levels = []
    for stride in STRIDES:
        size = anchor_scale * stride
        shapes = torch.tensor(
            [(size * octave / ratio**0.5, size * octave * ratio**0.5) for octave in OCTAVES for ratio in RATIOS]
        )  # (9, 2) width and height
        y = (torch.arange(-(-height // stride)) + 0.5) * stride
        x = (torch.arange(-(-width // stride)) + 0.5) * stride
        centers = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 1, 2)
        levels.append(torch.cat([centers - shapes / 2, centers + shapes / 2], dim=2).reshape(-1, 4))
    return torch.cat(levels)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) intersection over union of (n, 4) and (m, 4) boxes; 0 for boxes without area."""
    intersection = _intersection(a, b)
    union = _area(a)[:, None] + _area(b) - intersection
    return intersection / union.clamp(min=1e-9)


def assign(anchors: Tensor, boxes: Tensor, crowds: Tensor) -> Tensor:
    """(anchors,) int64: the number of the box that each anchor answers for, NEGATIVE or IGNORED.

    An anchor answers for the box that it overlaps most, from an IoU of 0.5 on; below 0.4 it is background, and
    between the two it is not trained (section 4 of the paper). A box that no anchor overlaps so much gets those
    that overlap it most, as in Faster R-CNN, unless they answer for a box that they overlap more: thin and small
    objects would be left out. `crowds` (k, 4) hold an unknown number of objects: an anchor that lies in one by half,
    and is no object's, is not trained.
    """
    assigned = anchors.new_full((len(anchors),), NEGATIVE, dtype=torch.int64)
    if len(boxes):
        iou = box_iou(boxes, anchors)
        best, box = iou.max(dim=0)
        assigned = torch.where(best >= POSITIVE_IOU, box, torch.where(best >= NEGATIVE_IOU, IGNORED, NEGATIVE))
        most = iou.amax(dim=1, keepdim=True)
        lacking = (iou == most) & (most > 0) & (most < POSITIVE_IOU) & (best < POSITIVE_IOU)
        # the box is one that lacks an anchor, not the one that the anchor overlaps most
        overlap, box = torch.where(lacking, iou, 0.0).max(dim=0)
        assigned = torch.where(overlap > 0, box, assigned)
    if len(crowds):
        share = _intersection(crowds, anchors) / _area(anchors)
        in_crowd = share.amax(dim=0) >= CROWD_SHARE
        assigned = torch.where(in_crowd & (assigned < 0), IGNORED, assigned)
    return assigned


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """(n, 4) offsets of the centre in anchor sizes, and log ratios of the sizes (R-CNN, arXiv 1311.2524, app. C)."""
    size, anchor_size = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + boxes[..., 2:] - anchors[..., :2] - anchors[..., 2:]) / 2
    return torch.cat([shift / anchor_size, torch.log(size / anchor_size)], dim=-1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """The boxes (…, 4) that `encode` made offsets of."""
    anchor_size = anchors[..., 2:] - anchors[..., :2]
    center = (anchors[..., :2] + anchors[..., 2:]) / 2 + offsets[..., :2] * anchor_size
    half = offsets[..., 2:].clamp(max=MAX_LOG_SCALE).exp() * anchor_size / 2
    return torch.cat([center - half, center + half], dim=-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
    return (high - low).clamp(min=0).prod(dim=2)
