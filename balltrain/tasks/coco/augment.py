"""Flips and scale jitter of a batch on its device, boxes along with images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from balltrain.tasks.coco.model import PIXEL_MEAN

MIN_VISIBLE = 0.25  # of a box's area, below which what is left of the object is not to be found


def jitter(
    images: Tensor, boxes: Tensor, labels: Tensor, *, flip: bool, scale_jitter: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Each image flipped left to right or not, scaled by 1 ± `scale_jitter`, and cut or padded to its canvas.

    `images` (batch, height, width, 3), `boxes` (batch, objects, 4) xyxy pixels, `labels` (batch, objects). A box
    is cut as its image is; the label of an object of which less than a quarter is left becomes -1.
    """
    batch, height, width, _ = images.shape
    canvas = images.new_tensor([width, height], dtype=torch.float32)
    uniform = torch.rand(4, batch, 1).to(images.device)  # drawn on the CPU: a seed gives the same everywhere
    flipped = (uniform[0] < 0.5) & flip
    scale = 1 + scale_jitter * (2 * uniform[1] - 1)
    shift = (canvas - scale * canvas) * torch.cat([uniform[2], uniform[3]], dim=1)  # (batch, 2)
    moved = boxes.float() * scale[:, :, None] + shift.repeat(1, 2)[:, None]
    x1, y1, x2, y2 = moved.unbind(dim=2)
    moved = torch.where(flipped[:, :, None], torch.stack([width - x2, y1, width - x1, y2], dim=2), moved)
    cut = torch.minimum(moved.clamp(min=0), canvas.repeat(2))
    visible = _area(cut) >= MIN_VISIBLE * _area(moved)
    labels = torch.where(visible, labels, torch.full_like(labels, -1))
    if scale_jitter == 0:
        return torch.where(flipped[:, :, None, None], images.flip(2), images), cut, labels
    return _resample(images, flipped, scale, shift / canvas), cut, labels


def _resample(images: Tensor, flipped: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`flipped` and `scale` are (batch, 1), `shift` (batch, 2) in parts of the canvas. What is new is padding."""
    # where -1 … 1 of the output lies in the input: u = (± v + 1 - 2 shift) / scale - 1
    sign = torch.where(flipped, -1.0, 1.0) / scale
    offset = (1 - 2 * shift) / scale - 1
    zero = torch.zeros_like(scale)
    theta = torch.stack(
        [torch.cat([sign, zero, offset[:, :1]], dim=1), torch.cat([zero, 1 / scale, offset[:, 1:]], dim=1)], dim=1
    )  # (batch, 2, 3)
    mean = torch.tensor(PIXEL_MEAN, device=images.device)
    centered = (images.float() - mean).permute(0, 3, 1, 2)
    grid = F.affine_grid(theta, list(centered.shape), align_corners=False)
    return F.grid_sample(centered, grid, align_corners=False).permute(0, 2, 3, 1) + mean


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
