"""Augmentation of images with boxes, on their device: what moves a ball moves its box."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from balltrain.balls.world import IMAGE_SIZE
from balltrain.tasks.base import Batch

Augmentation = Literal["none", "mirror", "shift", "mirror_shift"]

SHIFT_PX = 10  # most, along each axis


def augmented(batch: Batch, level: Augmentation) -> Batch:
    """`images` (batch, 100, 100, 3) uint8 and `boxes` (batch, 9, 4) xyxy in pixels, ends included, as `level` says.

    `mirror` is one of the square's eight symmetries at random. `shift` moves an image by up to SHIFT_PX along each
    axis, and repeats the pixels of its edge, but moves no ball out of it. Each image is decided for by itself.
    """
    images, boxes, present = batch["images"], batch["boxes"], batch["presence"] > 0  # (batch, 9)
    if level in ("mirror", "mirror_shift"):
        images, boxes = _mirrored(images, boxes)
    if level in ("shift", "mirror_shift"):
        images, boxes = _shifted(images, boxes, present)
    boxes = boxes * present[:, :, None]  # those of absent colours stay zero
    return {**batch, "images": images, "boxes": boxes.to(batch["boxes"].dtype)}


def _mirrored(images: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    left_right, up_down, swap = torch.rand(3, len(images), device=images.device) < 0.5  # (batch,) each
    images = torch.where(left_right[:, None, None, None], images.flip(2), images)
    images = torch.where(up_down[:, None, None, None], images.flip(1), images)
    images = torch.where(swap[:, None, None, None], images.transpose(1, 2), images)
    x1, y1, x2, y2 = boxes.unbind(dim=2)  # (batch, 9) each
    last = IMAGE_SIZE - 1
    x1, x2 = _where(left_right, (last - x2, last - x1), (x1, x2))
    y1, y2 = _where(up_down, (last - y2, last - y1), (y1, y2))
    (x1, x2), (y1, y2) = _where(swap, (y1, y2), (x1, x2)), _where(swap, (x1, x2), (y1, y2))
    return images, torch.stack([x1, y1, x2, y2], dim=2)


def _shifted(images: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    last = IMAGE_SIZE - 1
    # how far an image may go until its first ball touches an edge: (batch, 2) x y
    room_before = boxes[..., :2].masked_fill(~present[:, :, None], last).amin(dim=1).clamp(max=SHIFT_PX)
    room_after = (last - boxes[..., 2:]).masked_fill(~present[:, :, None], last).amin(dim=1).clamp(max=SHIFT_PX)
    # a ball that touches an edge already would be drawn out by the repeated pixels: that axis stays
    stays = (room_before == 0) | (room_after == 0)
    room_before, room_after = room_before.masked_fill(stays, 0), room_after.masked_fill(stays, 0)
    draws = torch.rand(room_before.shape, device=images.device)
    shift = (draws * (room_before + room_after + 1)).floor().long() - room_before  # (batch, 2)
    pixels = torch.arange(IMAGE_SIZE, device=images.device)
    columns, rows = ((pixels - by[:, None]).clamp(0, last) for by in shift.unbind(dim=1))  # (batch, 100) each
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return images[image, rows[:, :, None], columns[:, None, :]], boxes + shift.repeat(1, 2)[:, None, :]


def _where(chosen: Tensor, ones: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """By image: both of `ones` where it is chosen, both of `others` elsewhere."""
    first, second = (torch.where(chosen[:, None], one, other) for one, other in zip(ones, others, strict=True))
    return first, second
