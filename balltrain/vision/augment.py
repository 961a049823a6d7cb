"""Augmentation of batches of pictures, in levels, on their device.

Five levels are reconstructed from what is known of the original: its parts are a flip (0.5), grey (0.15, but 0.4 in
medium-low), crops of at least 0.8, 0.85 or 0.95 of the picture, a rotation of up to 15 degrees, and a random choice
of one. Here each level does more than the one before; the choice is made for each picture by itself.

| level        | always                          | and by chance one of               |
|--------------|---------------------------------|------------------------------------|
| `none`       |                                 |                                    |
| `low`        | flip                            |                                    |
| `medium-low` | flip                            | grey 0.4, crop 0.95, rotation      |
| `medium`     | flip, grey 0.15                 | crop 0.85, rotation                |
| `high`       | flip, grey 0.15, crop 0.8, rotation |                                |
| `strong`     | flip, crop 0.45, rotation, colours  |                                |

`strong` is ours, for trainings of many epochs: brightness, contrast and saturation change too, a rectangle is cut
out of a part of the pictures, and beyond the edge lies the picture's reflection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from balltrain.vision.pixels import to_float

MOST_ASPECT = math.log(4 / 3)

Augmentation = Literal["none", "low", "medium-low", "medium", "high", "strong"]


@dataclass(frozen=True, kw_only=True)
class _Level:
    flip: float = 0.5  # probability
    grey: float = 0.0  # probability
    crop: float = 1.0  # smallest part of the picture's area that is left
    degrees: float = 0.0  # largest angle, either way
    colors: float = 0.0  # largest change of brightness, contrast and saturation, as a part of them
    erase: float = 0.0  # probability
    one_of: tuple[str, ...] = ()  # of these a picture gets one


_LEVELS = {
    "low": _Level(),
    "medium-low": _Level(grey=0.4, crop=0.95, degrees=15, one_of=("grey", "crop", "rotation")),
    "medium": _Level(grey=0.15, crop=0.85, degrees=15, one_of=("crop", "rotation")),
    "high": _Level(grey=0.15, crop=0.8, degrees=15),
    "strong": _Level(crop=0.45, degrees=10, colors=0.2, erase=0.3),
}


def augmented(images: Tensor, level: Augmentation) -> Tensor:
    """`images` (n, height, width, 3) uint8 changed at random: uint8 as they are, or (n, 3, height, width) float32
    from 0 to 1 where pixels were mixed.

    Draws from torch's random state on the CPU, so that a seed gives the same on every device.
    """
    if level == "none":
        return images
    do, count, device = _LEVELS[level], len(images), images.device
    flipped = (torch.rand(count) < do.flip).to(device)
    images = torch.where(flipped[:, None, None, None], images.flip(2), images)
    if level == "low":
        return images
    applies = {name: torch.ones(count, dtype=torch.bool) for name in ("grey", "crop", "rotation")}
    if do.one_of:
        chosen = torch.randint(len(do.one_of), (count,))
        applies |= {name: chosen == number for number, name in enumerate(do.one_of)}
    floats = to_float(images).contiguous()  # a picture in one piece, which is quicker to pick out
    _make_grey(floats, applies["grey"] & (torch.rand(count) < do.grey))
    edge = "reflection" if level == "strong" else "zeros"
    _warp(floats, _crops(count, do.crop), torch.empty(count).uniform_(-do.degrees, do.degrees), applies, edge)
    if do.colors:
        floats = _recolored(floats, do.colors)
    return _erased(floats, do.erase) if do.erase else floats


def _make_grey(images: Tensor, which: Tensor) -> None:
    """In place, by ITU-R BT.601's weights, as Pillow has it."""
    from kornia.color import rgb_to_grayscale  # 0.2 s, which `none` need not wait for

    rows = which.nonzero()[:, 0].to(images.device)
    images[rows] = rgb_to_grayscale(images[rows]).expand(-1, 3, -1, -1)


def _crops(count: int, smallest: float) -> Tensor:
    """(count, 4): width and height of crops as parts of the picture, and where in the room left they are, -1 to 1.

    Their area a is uniform from `smallest` to 1, their aspect ratio a^u with u uniform from -1 to 1: from a to 1/a,
    which are those that fit; but not beyond 3/4 to 4/3.
    """
    area = torch.empty(count).uniform_(smallest, 1)
    exponent = torch.empty(count).uniform_(-1, 1) * (MOST_ASPECT / -area.log()).clamp(max=1)
    size = torch.stack([area ** ((1 + exponent) / 2), area ** ((1 - exponent) / 2)], 1)
    return torch.cat([size, torch.empty(count, 2).uniform_(-1, 1)], 1)


def _warp(images: Tensor, crops: Tensor, degrees: Tensor, applies: dict[str, Tensor], edge: str) -> None:
    """Crop, resize and rotate in place, with one interpolation for all. `edge` says what lies beyond the picture."""
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine

    rows = (applies["crop"] | applies["rotation"]).nonzero()[:, 0]
    crop, turn = applies["crop"][rows], applies["rotation"][rows]
    scale = torch.where(crop[:, None], 1 / crops[rows, :2], 1.0)  # (k, 2): x, y
    height, width = images.shape[2:]
    size = torch.tensor([width, height], dtype=torch.float32)
    shift = crops[rows, 2:] * (scale - 1) * size / 2
    center = ((size - 1) / 2).expand(len(rows), 2)
    matrix = get_affine_matrix2d(shift, center, scale, torch.where(turn, degrees[rows], 0.0))[:, :2]
    rows = rows.to(images.device)
    images[rows] = warp_affine(images[rows], matrix.to(images.device), (height, width), padding_mode=edge)


def _recolored(images: Tensor, most: float) -> Tensor:
    """Brightness, contrast and saturation times 1 - `most` to 1 + `most`, each picture its own."""
    brightness, contrast, saturation = (
        torch.empty(len(images), 1, 1, 1).uniform_(1 - most, 1 + most).to(images.device) for _ in range(3)
    )
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    grey = images.mean(1, keepdim=True)
    return grey + (images - grey) * saturation


def _erased(images: Tensor, probability: float) -> Tensor:
    """Random erasing (Zhong et al., arXiv 1708.04896): a rectangle becomes the mean colour of its picture, of
    which it has an eighth to half of the height and of the width."""
    count = len(images)
    inside = []
    for length in images.shape[2:]:
        size = torch.randint(length // 8, length // 2 + 1, (count, 1))
        start = (torch.rand(count, 1) * (length + 1 - size)).long()
        place = torch.arange(length)
        inside.append((place >= start) & (place < start + size))
    gone = inside[0][:, :, None] & inside[1][:, None, :] & (torch.rand(count, 1, 1) < probability)
    return torch.where(gone[:, None].to(images.device), images.mean((2, 3), keepdim=True), images)
