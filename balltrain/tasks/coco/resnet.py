"""ResNets with the names of torchvision's, so that weights made for those load here.

He et al., arXiv 1512.03385; the stride of a bottleneck is in its 3x3 convolution, as torchvision has it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from balltrain.errors import BalltrainError

Norm = Literal["batch", "frozen", "group"]
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECK_FROM = 50  # layers
WIDTHS = (64, 128, 256, 512)
MAX_GROUPS = 32  # of group norm: Wu and He, arXiv 1803.08494
GROUP_CHANNELS = 8  # at least: the coarsest map of a small image has one pixel, which alone would become zero


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and affine transformation are given once and for all: buffers."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.to(x.dtype).view(-1, 1, 1) + shift.to(x.dtype).view(-1, 1, 1)


def norm_layer(norm: Norm) -> Callable[[int], nn.Module]:
    match norm:
        case "frozen":
            return FrozenBatchNorm2d
        case "group":
            return lambda channels: nn.GroupNorm(num_groups(channels), channels)
        case _:
            return nn.BatchNorm2d


def num_groups(channels: int) -> int:
    return max(1, min(MAX_GROUPS, channels // GROUP_CHANNELS))


class ResNet(nn.Module):
    """Images (batch, 3, height, width) to the last maps of its stages 2, 3 and 4: strides 8, 16 and 32.

    `channels` are those of the three maps.
    """

    def __init__(self, depth: int, norm: Norm):
        super().__init__()
        make_norm = norm_layer(norm)
        block = _Bottleneck if depth >= BOTTLENECK_FROM else _BasicBlock
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = make_norm(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages: list[nn.Module] = []
        in_channels = 64
        for width, count in zip(WIDTHS, BLOCKS[depth], strict=True):
            blocks = []
            for number in range(count):
                stride = 2 if number == 0 and stages else 1
                blocks.append(block(in_channels, width, stride, make_norm))
                in_channels = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = tuple(width * block.expansion for width in WIDTHS[1:])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        c3 = self.layer2(self.layer1(x))
        c4 = self.layer3(c3)
        return c3, c4, self.layer4(c4)


class _BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, make_norm: Callable[[int], nn.Module]):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = make_norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = make_norm(width)
        self.downsample = _downsample(in_channels, width, stride, make_norm)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, make_norm: Callable[[int], nn.Module]):
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = make_norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = make_norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = make_norm(out_channels)
        self.downsample = _downsample(in_channels, out_channels, stride, make_norm)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _downsample(in_channels: int, out_channels: int, stride: int, make_norm: Callable[[int], nn.Module]) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        make_norm(out_channels),
    )


def check_depth(path: Path, depth: int) -> None:
    """Raises BalltrainError where the file of weights cannot be read, or is not of a ResNet of this depth."""
    _refuse_other_depth(path, _depth_of_file(path, path.stat().st_mtime_ns if path.is_file() else 0), depth)


def _refuse_other_depth(path: Path, found: int | None, depth: int) -> None:
    if found is None:
        raise BalltrainError(f"{path} is no ResNet of torchvision, of 18, 34, 50, 101 or 152 layers")
    if found != depth:
        raise BalltrainError(f"{path} holds a ResNet-{found}, but depth is {depth}: --set depth={found}")


def load_resnet(resnet: ResNet, depth: int, path: Path) -> None:
    """Give a ResNet the weights of a torchvision file, `.safetensors` or `.pth`; its classifier is left out.

    Raises BalltrainError where the file cannot be read, or is of another network or depth.
    """
    weights = {name: tensor for name, tensor in _read(path).items() if not name.startswith("fc.")}
    _refuse_other_depth(path, _depth_of(weights), depth)
    wanted = {name for name in resnet.state_dict() if not name.endswith("num_batches_tracked")}
    missing = sorted(wanted - weights.keys())
    if missing:
        raise BalltrainError(f"{path} is no ResNet-{depth} of torchvision: it lacks {missing[0]}")
    try:
        resnet.load_state_dict({name: weights[name] for name in wanted}, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BalltrainError(f"{path} is no ResNet-{depth} of torchvision: {reason}") from error


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BalltrainError(f"weights {path}: there is no such file on this machine")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on kinds of files that are refused below
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())[:200] or "it is empty"
        raise BalltrainError(f"weights {path} cannot be read: {reason}") from error
    except Exception as error:  # a pickle of something else: UnpicklingError, KeyError, …
        raise BalltrainError(f"weights {path} cannot be read: not a file of tensors alone") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise BalltrainError(f"weights {path} hold no state dict: save `model.state_dict()`")
    return weights


@lru_cache(maxsize=8)
def _depth_of_file(path: Path, modified: int) -> int | None:
    """`_depth_of` a file; the corners of a space ask for each many times."""
    return _depth_of(_read(path))


def _depth_of(weights: dict[str, Tensor]) -> int | None:
    """18, 34, …, as the number and kind of the blocks in a state dict tell; None for another network."""
    blocks = tuple(
        len({name.split(".")[1] for name in weights if name.startswith(f"layer{stage}.")}) for stage in range(1, 5)
    )
    bottleneck = "layer1.0.conv3.weight" in weights
    depths = [d for d, count in BLOCKS.items() if count == blocks and (d >= BOTTLENECK_FROM) == bottleneck]
    return depths[0] if depths else None
