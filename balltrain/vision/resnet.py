"""A small residual network for pictures of any size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., arXiv 1512.03385)."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            _convolution(channels_in, channels, 3, stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _convolution(channels, channels, 3),
            nn.BatchNorm2d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            # averaged before, every pixel has its part in the shortcut (He et al., arXiv 1812.01187, ResNet-D)
            halved = nn.AvgPool2d(stride, ceil_mode=True) if stride != 1 else nn.Identity()
            projection = _convolution(channels_in, channels, 1)
            self.shortcut = nn.Sequential(halved, projection, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolutions(x) + self.shortcut(x)
        return y.relu()


def small_resnet(widths: Sequence[int], blocks: int, classes: int) -> nn.Sequential:
    """Images (n, 3, height, width) to logits (n, classes): a stem that halves the picture, then stages of `blocks`
    basic blocks, of which each but the first halves it again, and the mean over what is left.
    """
    stem = widths[0] // 2 or 1
    layers: list[nn.Module] = [
        *(_convolution(3, stem, 3, stride=2), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)),
        *(_convolution(stem, widths[0], 3), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)),
    ]
    channels_in = widths[0]
    for stage, channels in enumerate(widths):
        for block in range(blocks):
            layers.append(BasicBlock(channels_in, channels, stride=2 if stage > 0 and block == 0 else 1))
            channels_in = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels_in, classes))


def _convolution(channels_in: int, channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
