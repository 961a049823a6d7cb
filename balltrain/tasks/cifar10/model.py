"""Classifiers of pictures of 32x32 pixels: plain stacks of blocks, from A to GAP, and a fast one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from balltrain.errors import BalltrainError
from balltrain.tasks.cifar10.data import CLASSES, SIDE
from balltrain.tasks.classifier import ClassifierHyperparameters
from balltrain.vision.pixels import Normalized

HEAD_SCALE = 1 / 9  # of the fast network's logits, that of airbench: they start small, and rise with the weights


class Block(BaseModel):
    """Convolution, activation, [norm], convolution, activation, [norm], 2x2 max pooling, [dropout]."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    channels: int = Field(ge=1)
    activation: Literal["sigmoid", "relu"] = "relu"
    norm: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)


@dataclass(frozen=True)
class Plain:
    """Blocks, and whether the pooled average of their maps is classified, or the maps laid flat."""

    blocks: tuple[Block, ...]
    average: bool = False


def _blocks(*channels: int, dropout: tuple[float, ...] = (), **same: Any) -> tuple[Block, ...]:
    drops = dropout or (0.0,) * len(channels)
    return tuple(Block(channels=width, dropout=drop, **same) for width, drop in zip(channels, drops, strict=True))


_DEEP = (32, 64, 128, 256)
_DROPOUT = (0.1, 0.2, 0.3, 0.4)
# each is one step from the one before it
PLAIN = {
    "a": Plain(_blocks(8, 16, activation="sigmoid")),
    "b": Plain(_blocks(32, 64, activation="sigmoid")),  # wider
    "c": Plain(_blocks(32, 64, 128, activation="sigmoid")),  # deeper
    "d": Plain(_blocks(32, 64, 128)),  # ReLU
    "e": Plain(_blocks(*_DEEP)),  # deeper again
    "f": Plain(_blocks(*_DEEP, norm=True)),
    "g": Plain(_blocks(*_DEEP, norm=True, dropout=_DROPOUT)),
    "gap": Plain(_blocks(*_DEEP, norm=True, dropout=_DROPOUT), average=True),
}


class Cifar10Hyperparameters(ClassifierHyperparameters):
    """Defaults are those of the fast network."""

    epochs: int = Field(110, ge=1)
    batch_size: int = Field(128, ge=1)
    lr: float = Field(5e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: Literal["constant", "step", "cosine", "onecycle"] = "onecycle"
    label_smoothing: float = Field(0.2, ge=0, lt=1)

    model: Literal["fast", "a", "b", "c", "d", "e", "f", "g", "gap"] = "fast"
    widths: tuple[int, int, int] = Field((64, 128, 256), description="fast: channels of its three groups")
    blocks: tuple[Block, ...] = Field((), description="a to gap: in place of the model's own")

    flip: bool = Field(True, description="half of the training pictures; predictions are the mean of both sides")
    shift: int = Field(3, ge=0, lt=SIDE, description="training pictures by up to so many pixels each way")
    cutout: int = Field(10, ge=0, le=2 * SIDE, description="pixels, the side of the square; 0 cuts nothing out")

    @model_validator(mode="after")
    def _fits(self) -> Cifar10Hyperparameters:
        if min(self.widths) < 1:
            raise ValueError("a width should be greater than or equal to 1")
        if self.blocks and self.model == "fast":
            raise ValueError("blocks are those of the models a to gap: set model too, to gap or any other of them")
        if 2 ** len(self.blocks) > SIDE:
            raise ValueError(
                f"{len(self.blocks)} blocks, each of which halves the picture, leave nothing of {SIDE} pixels"
            )
        return self


def build_classifier(hp: Cifar10Hyperparameters, facts: dict[str, Any]) -> nn.Module:
    """Maps images (n, height, width, 3) uint8, or (n, 3, height, width) from 0 to 1, to logits (n, 10)."""
    network = fast(hp.widths, facts["whitening"]) if hp.model == "fast" else plain(PLAIN[hp.model], hp.blocks)
    return Normalized(network, facts["mean"], facts["std"])


def plain(model: Plain, blocks: tuple[Block, ...] = ()) -> nn.Sequential:
    """The blocks, those of the model unless others are given, and a linear layer on what they make."""
    layers: list[nn.Module] = []
    width = 3
    for block in blocks or model.blocks:
        for _ in range(2):
            layers += [nn.Conv2d(width, block.channels, 3, padding=1), _ACTIVATIONS[block.activation]()]
            if block.norm:
                layers.append(nn.BatchNorm2d(block.channels))
            width = block.channels
        layers.append(nn.MaxPool2d(2))
        if block.dropout:
            layers.append(nn.Dropout(block.dropout))
    if model.average:
        return nn.Sequential(
            Enlarged(), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, len(CLASSES))
        )
    side = SIDE // 2 ** len(blocks or model.blocks)
    return nn.Sequential(OneSize(), *layers, nn.Flatten(), nn.Linear(width * side * side, len(CLASSES)))


def fast(widths: tuple[int, int, int], whitening: list[list[float]]) -> nn.Sequential:
    """The network of Keller Jordan's airbench (arXiv 2404.00498), narrower.

    Its first layer starts as the whitening of 2x2 patches and its negative, its 3x3 convolutions as the identity on
    the channels that they get; the channels that they add start at random.
    """
    first = nn.Conv2d(3, 2 * len(whitening), 2)
    filters = torch.tensor(whitening).view(-1, 3, 2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.cat([filters, -filters]))
        nn.init.zeros_(first.bias)  # type: ignore[arg-type]
    groups = [_group(get, give) for get, give in zip((first.out_channels, *widths), widths, strict=False)]
    head = nn.Linear(widths[-1], len(CLASSES), bias=False)
    return nn.Sequential(
        Enlarged(), first, nn.GELU(), *groups, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head, Scaled(HEAD_SCALE)
    )


def _group(get: int, give: int) -> nn.Sequential:
    first, second = (nn.Conv2d(channels, give, 3, padding=1, bias=False) for channels in (get, give))
    for conv in (first, second):
        nn.init.dirac_(conv.weight.data[: conv.in_channels])
    pooled = (first, nn.MaxPool2d(2), nn.BatchNorm2d(give), nn.GELU())
    return nn.Sequential(*pooled, second, nn.BatchNorm2d(give), nn.GELU())


_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class Enlarged(nn.Module):
    """Pictures smaller than those that were learned from, enlarged to their size: pooling would leave nothing."""

    def forward(self, images: Tensor) -> Tensor:
        factor = SIDE / min(images.shape[2:])
        return images if factor <= 1 else F.interpolate(images, scale_factor=factor, mode="bilinear")


class OneSize(nn.Module):
    """Refuses pictures that a flat layer has no weights for. Raises BalltrainError."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if (height, width) != (SIDE, SIDE):
            raise BalltrainError(
                f"a picture of {width}x{height}: this model reads {SIDE}x{SIDE} alone, gap and fast any size"
            )
        return images


class Scaled(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
