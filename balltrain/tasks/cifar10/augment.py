"""What a training batch of CIFAR-10 goes through, on its device and as uint8."""

from __future__ import annotations

import torch
from torch import Tensor

MEAN_RGB = (125, 123, 114)  # of the training pictures: what is cut out is neither bright nor dark


def mirrored_and_shifted(images: Tensor, *, flip: bool, most_px: int) -> Tensor:
    """Each of the images (n, height, width, 3) mirrored or not, and shifted by up to so many pixels each way.

    What comes in at an edge is the reflection of what is there.
    """
    count, height, width, _ = images.shape
    rows = _shifted(count, height, most_px, images.device)
    columns = _shifted(count, width, most_px, images.device)
    if flip:
        mirror = torch.rand(count, 1, device=images.device) < 0.5
        columns = torch.where(mirror, width - 1 - columns, columns)
    picture = torch.arange(count, device=images.device)[:, None, None]
    return images[picture, rows[:, :, None], columns[:, None, :]]


def cut_out(images: Tensor, side_px: int) -> Tensor:
    """A square of each of the images (n, height, width, 3) in one grey (DeVries and Taylor, arXiv 1708.04552).

    Its centre is any pixel: at an edge, less than the square is gone.
    """
    count, height, width, _ = images.shape
    gone = (
        _within(count, height, side_px, images.device)[:, :, None]
        & (_within(count, width, side_px, images.device)[:, None, :])
    )
    return torch.where(gone[..., None], images.new_tensor(MEAN_RGB), images)


def _shifted(count: int, length: int, most_px: int, device: torch.device) -> Tensor:
    """(count, length): which pixel of a row comes to each place."""
    shift = torch.randint(-most_px, most_px + 1, (count, 1), device=device)
    index = (torch.arange(length, device=device) + shift).abs()
    return length - 1 - (length - 1 - index).abs()


def _within(count: int, length: int, side_px: int, device: torch.device) -> Tensor:
    """(count, length): whether a place lies in the square."""
    start = torch.randint(0, length, (count, 1), device=device) - side_px // 2
    place = torch.arange(length, device=device)
    return (place >= start) & (place < start + side_px)
