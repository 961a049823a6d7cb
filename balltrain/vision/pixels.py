"""Pictures as tensors: (n, height, width, 3) uint8 on disk, (n, 3, height, width) from 0 to 1 on the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def to_float(images: Tensor) -> Tensor:
    """(n, 3, height, width) float32 from 0 to 1, of uint8 pictures as they lie on disk or of what is that already."""
    if images.dtype != torch.uint8:
        return images
    return images.permute(0, 3, 1, 2).float() / 255  # memory stays as it was, which is channels last


def to_uint8(images: Tensor) -> np.ndarray:
    """(n, height, width, 3) uint8, of pictures in either form."""
    if images.dtype == torch.uint8:
        return images.cpu().numpy()
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


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
