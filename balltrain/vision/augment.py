"""Augmentation of batches of pictures, in levels, on their device.

`low` to `high` are those of a course assignment of February 2019, for pictures of 64x64 pixels, with the meaning that
torchvision gives to its transforms. What a level does by chance it decides for each picture by itself.

| level        | grey | flip | and                                                                |
|--------------|------|------|--------------------------------------------------------------------|
| `normal`     |      |      |                                                                    |
| `low`        | 0.15 | 0.5  |                                                                    |
| `medium`     | 0.15 | 0.5  | crop (0.85 to 1, ratio 0.8 to 1.2) to 80 px, the middle 64 of it   |
| `high`       | 0.15 | 0.5  | crop (0.8 to 1, ratio 0.75 to 1.25) to 90 px, the middle 64 of it  |
| `medium-low` | 0.4  |      | one of flip (0.75), rotation (15°), crop (0.95 to 1, 0.95 to 1.05) |
| `strong`     |      | 0.5  | crop (0.45 to 1), rotation, colours, a rectangle cut out           |

`strong` is ours, for trainings of many epochs: brightness, contrast and saturation change too, a rectangle is cut
out of a part of the pictures, and beyond the edge lies the picture's reflection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from balltrain.vision.pixels import to_float

Augmentation = Literal["normal", "low", "medium-low", "medium", "high", "strong"]

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow has it
CROP_ATTEMPTS = 10  # as in torchvision, which takes the whole picture where none fits

# of `strong`: the smallest part of the area that is left, the largest ratio's logarithm and angle, the largest change
# of brightness, contrast and saturation, and the part of the pictures that a rectangle is cut out of
STRONG_AREA, STRONG_DEGREES, STRONG_COLORS, STRONG_ERASED = 0.45, 10, 0.2, 0.3
MOST_ASPECT = math.log(4 / 3)


@dataclass(frozen=True, kw_only=True)
class _Crop:
    """A random part of a picture, resized to `zoom` times the picture's size, of which the middle is taken."""

    area: tuple[float, float]  # part of the picture's
    ratio: tuple[float, float]  # of width to height, in those of the picture
    zoom: float


@dataclass(frozen=True, kw_only=True)
class _Level:
    grey: float  # probability
    flip: float  # probability
    crop: _Crop | None = None
    degrees: float = 0.0  # largest angle, either way
    one_of: bool = False  # of flip, rotation and crop a picture gets one


_LEVELS = {
    "low": _Level(grey=0.15, flip=0.5),
    "medium": _Level(grey=0.15, flip=0.5, crop=_Crop(area=(0.85, 1), ratio=(0.8, 1.2), zoom=80 / 64)),
    "high": _Level(grey=0.15, flip=0.5, crop=_Crop(area=(0.8, 1), ratio=(0.75, 1.25), zoom=90 / 64)),
    "medium-low": _Level(
        grey=0.4, flip=0.75, crop=_Crop(area=(0.95, 1), ratio=(0.95, 1.05), zoom=1), degrees=15, one_of=True
    ),
}


def augmented(images: Tensor, level: Augmentation) -> Tensor:
    """`images` (n, height, width, 3) uint8 changed at random: as they are with `normal`, else (n, 3, height, width)
    float32 from 0 to 1.

    Draws from torch's random state on the CPU, so that a seed gives the same on every device.
    """
    if level == "normal":
        return images
    return _strong(images) if level == "strong" else _by_level(images, _LEVELS[level])


def _by_level(images: Tensor, do: _Level) -> Tensor:
    count = len(images)
    grey = torch.rand(count) < do.grey
    flipped = torch.rand(count) < do.flip
    turned = torch.full((count,), do.degrees > 0)
    cropped = torch.full((count,), do.crop is not None)
    if do.one_of:
        chosen = torch.randint(3, (count,))
        flipped, turned, cropped = flipped & (chosen == 0), turned & (chosen == 1), cropped & (chosen == 2)
    floats = _flipped(images, flipped)
    _make_grey(floats, grey)
    size = (floats.shape[3], floats.shape[2])
    if do.crop is not None:
        _resample(floats, cropped, _crop_matrices(count, size, do.crop), "border")
    if do.degrees:
        angles = torch.empty(count).uniform_(-do.degrees, do.degrees)
        _resample(floats, turned, _rotation_matrices(angles, size), "zeros")
    return floats


def _flipped(images: Tensor, which: Tensor) -> Tensor:
    """As floats, (n, 3, height, width), each picture in one piece, which is quicker to pick out."""
    flipped = torch.where(which.to(images.device)[:, None, None, None], images.flip(2), images)
    return to_float(flipped).contiguous()


def _make_grey(images: Tensor, which: Tensor) -> None:
    """In place."""
    rows = which.nonzero()[:, 0].to(images.device)
    weights = torch.tensor(GREY_WEIGHTS, device=images.device).view(1, 3, 1, 1)
    images[rows] = (images[rows] * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def _crop_matrices(count: int, size: tuple[int, int], crop: _Crop) -> Tensor:
    """(count, 2, 3): from places in the result, -1 to 1 from edge to edge, to places in the picture.

    As torchvision's RandomResizedCrop: the area is uniform, the logarithm of the ratio too; width and height are
    whole pixels, and a crop that does not fit is drawn again.
    """
    area = torch.empty(count, CROP_ATTEMPTS).uniform_(*crop.area)
    ratio = torch.empty(count, CROP_ATTEMPTS).uniform_(math.log(crop.ratio[0]), math.log(crop.ratio[1])).exp()
    whole = torch.tensor(size, dtype=torch.float32)  # width, height
    sides = (torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 2) * whole).round()  # (count, attempts, 2)
    fits = (sides <= whole).all(2) & (sides > 0).all(2)
    first = fits.int().argmax(1)  # the first that fits, or 0
    chosen = torch.where(fits.any(1)[:, None], sides[torch.arange(count), first], whole)  # (count, 2)
    start = (torch.rand(count, 2) * (whole - chosen + 1)).floor()  # of the crop, from 0 to what is left
    matrices = torch.zeros(count, 2, 3)
    matrices[:, [0, 1], [0, 1]] = chosen / whole / crop.zoom
    matrices[:, :, 2] = (2 * start + chosen) / whole - 1
    return matrices


def _rotation_matrices(degrees: Tensor, size: tuple[int, int]) -> Tensor:
    """As `_crop_matrices`: about the middle, counted in pixels, so that nothing is stretched."""
    width, height = size
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    zeros = torch.zeros_like(cos)
    rows = (torch.stack([cos, -sin * height / width, zeros], 1), torch.stack([sin * width / height, cos, zeros], 1))
    return torch.stack(rows, 1)


def _resample(images: Tensor, which: Tensor, matrices: Tensor, beyond: str) -> None:
    """In place, those of `images` (n, 3, height, width) that are chosen, with one bilinear interpolation.

    `beyond` says what lies outside of the picture.
    """
    rows = which.nonzero()[:, 0]
    if len(rows) == 0:
        return
    on_device = rows.to(images.device)
    chosen = images[on_device]
    grid = F.affine_grid(matrices[rows].to(images.device), list(chosen.shape), align_corners=False)
    images[on_device] = F.grid_sample(chosen, grid, padding_mode=beyond, align_corners=False)


def _strong(images: Tensor) -> Tensor:
    count = len(images)
    floats = _flipped(images, torch.rand(count) < 0.5)
    torch.rand(count)  # was for grey: what follows is drawn as it ever was, and published figures can be had again
    _warp(floats, _crops(count, STRONG_AREA), torch.empty(count).uniform_(-STRONG_DEGREES, STRONG_DEGREES))
    return _erased(_recolored(floats, STRONG_COLORS), STRONG_ERASED)


def _crops(count: int, smallest: float) -> Tensor:
    """(count, 4): width and height of crops as parts of the picture, and where in the room left they are, -1 to 1.

    Their area a is uniform from `smallest` to 1, their aspect ratio a^u with u uniform from -1 to 1: from a to 1/a,
    which are those that fit; but not beyond 3/4 to 4/3.
    """
    area = torch.empty(count).uniform_(smallest, 1)
    exponent = torch.empty(count).uniform_(-1, 1) * (MOST_ASPECT / -area.log()).clamp(max=1)
    size = torch.stack([area ** ((1 + exponent) / 2), area ** ((1 - exponent) / 2)], 1)
    return torch.cat([size, torch.empty(count, 2).uniform_(-1, 1)], 1)


def _warp(images: Tensor, crops: Tensor, degrees: Tensor) -> None:
    """Crop, resize and rotate in place, with one interpolation for all. Beyond a picture is its reflection."""
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine  # 0.2 s, which others need not wait for

    scale = 1 / crops[:, :2]  # (n, 2): x, y
    height, width = images.shape[2:]
    size = torch.tensor([width, height], dtype=torch.float32)
    shift = crops[:, 2:] * (scale - 1) * size / 2
    center = ((size - 1) / 2).expand(len(images), 2)
    matrix = get_affine_matrix2d(shift, center, scale, degrees)[:, :2].to(images.device)
    images[:] = warp_affine(images, matrix, (height, width), padding_mode="reflection")


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
