"""Pictures as tensors: (n, height, width, 3) uint8 on disk, (n, 3, height, width) from 0 to 1 on the device."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn

from balltrain.errors import BalltrainError


def decode_picture(content: bytes, name: str | Path, size: tuple[int, int] | None = None) -> tuple[np.ndarray, bool]:
    """(height, width, 3) uint8, and whether the picture was not like that before: of another kind or size.

    It is squashed to `size` (width, height), and its transparent parts become white. Raises BalltrainError with
    the `name` where the content of a file is no image.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            rgb = _opaque(image) if image.has_transparency_data else _eight_bits(image).convert("RGB")
            if size is not None and rgb.size != size:
                rgb = rgb.resize(size, Image.Resampling.LANCZOS)
            return np.asarray(rgb), image.mode != "RGB" or image.size != rgb.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no image that Pillow knows" if isinstance(error, UnidentifiedImageError) else error
        raise BalltrainError(f"{name} cannot be read: {reason}") from error


def to_float(images: Tensor) -> Tensor:
    """(n, 3, height, width) float32 from 0 to 1, of uint8 pictures as they lie on disk or of what is that already."""
    if images.dtype != torch.uint8:
        return images
    return images.permute(0, 3, 1, 2).float() / 255  # memory stays as it was, which is channels last


class Normalized(nn.Module):
    """A network on pictures, uint8 or float, whose channels are brought to mean 0 and deviation 1 first."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, float, float], std: tuple[float, float, float]):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        y: Tensor = self.network((to_float(images) - self.mean) / self.std)
        return y


def _eight_bits(image: Image.Image) -> Image.Image:
    """Of 16 bits the upper 8; Pillow would make all above 255 white."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """Over white, as most viewers show it. What lies under a transparent pixel is noise."""
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
