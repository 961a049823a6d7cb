"""Classifiers of pictures of 32x32 pixels: those of a course assignment of 2022, A to GAP, and a fast one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from balltrain.errors import BalltrainError
from balltrain.tasks.cifar10.data import CLASSES, SIDE
from balltrain.tasks.classifier import ClassifierHyperparameters
from balltrain.tasks.hyperparameters import Schedule
from balltrain.vision.pixels import Normalized, to_float

HEAD_SCALE = 1 / 9  # of the fast network's logits, that of airbench: they start small, and rise with the weights


class Block(BaseModel):
    """Convolution, activation, [norm], convolution, activation, [norm], max pooling, [dropout].

    The convolutions make `mid` and `out` channels with kernels of `kernel_a` and `kernel_b` pixels and keep the size;
    pooling divides it by `pool`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    mid: int = Field(ge=1)
    out: int = Field(ge=1)
    kernel_a: int = Field(3, ge=1, le=2 * SIDE - 1)  # of a larger one, weights would see nothing but padding
    kernel_b: int = Field(3, ge=1, le=2 * SIDE - 1)
    pool: int = Field(2, ge=1, le=SIDE)
    activation: Literal["sigmoid", "relu"] = "relu"
    norm: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """`mid` is `out` unless given."""
        if not isinstance(given, dict):
            return given
        if "channels" in given:
            raise ValueError(
                "channels belong to networks that this version no longer has: give a block out, and mid before it"
            )
        return {"mid": given["out"], **given} if "out" in given else given


def _blocks(*channels: int, dropout: tuple[float, ...] = (), **same: Any) -> tuple[Block, ...]:
    drops = dropout or (0.0,) * len(channels)
    return tuple(
        Block(mid=width, out=width, dropout=drop, **same) for width, drop in zip(channels, drops, strict=True)
    )


_DEEP = (20, 40, 80, 160)
_DROPOUT = (0.1, 0.2, 0.3, 0.4)
# each is one step from the one before it
PLAIN = {
    "a": _blocks(5, pool=8, activation="sigmoid"),
    "b": _blocks(20, pool=8, activation="sigmoid"),  # wider
    "c": _blocks(20, 40, activation="sigmoid"),  # deeper
    "d": _blocks(20, 40),  # ReLU
    "e": _blocks(*_DEEP),  # deeper again
    "f": _blocks(*_DEEP, norm=True),
    "g": _blocks(*_DEEP, norm=True, dropout=_DROPOUT),
}
# the last block's maps are averaged instead of pooled and laid flat
PLAIN["gap"] = (*PLAIN["g"][:-1], PLAIN["g"][-1].model_copy(update={"pool": 1}))

# The report names the learning rate alone. The rest is deduced from its accuracies (docs/log.md, 2026-11-27): a path
# of SGD as long as 150 epochs in batches of 32 leads `a` to 0.2 and `b` to 0.28; Adam has `a` at 0.3 after 6.
RECIPE: Mapping[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "lr": 1e-3,
    "batch_size": 32,
    "weight_decay": 0.0,
    "schedule": "constant",
    "label_smoothing": 0.0,
    "precision": "float32",  # what a picture changes in a sigmoid's output is less than bfloat16 can tell apart
    **{"flip": False, "shift": 0, "cutout": 0},
}
# as far as the report tells; those of d to g are gap's first figure's
EPOCHS = {"a": 150, "b": 150, "c": 16, "d": 120, "e": 120, "f": 120, "g": 120, "gap": 240}


class Cifar10Hyperparameters(ClassifierHyperparameters):
    """Defaults are those of the fast network; a to gap have the original's recipe, and blocks of their own.

    A block has the arguments of the original's, `{"in": 3, "mid": 20, "out": 20, "kernel_a": 3, "kernel_b": 3,
    "pool": 2, "activation": "relu", "norm": false, "dropout": 0.0}`. All but `out` may be left out: `in` has to be
    what the block before gives, and `mid` is `out` unless given.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        model: {**RECIPE, "epochs": EPOCHS[model], "blocks": blocks} for model, blocks in PLAIN.items()
    }

    epochs: int = Field(110, ge=1)
    batch_size: int = Field(128, ge=1)
    lr: float = Field(5e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: Schedule = "onecycle"
    label_smoothing: float = Field(0.2, ge=0, lt=1)

    model: Literal["fast", "a", "b", "c", "d", "e", "f", "g", "gap"] = "fast"
    widths: tuple[int, int, int] = Field((64, 128, 256), description="fast: channels of its three groups")
    blocks: tuple[Block, ...] = Field((), description="a to gap: in place of the model's own")

    flip: bool = Field(True, description="half of the training pictures; predictions are the mean of both sides")
    shift: int = Field(3, ge=0, lt=SIDE, description="training pictures by up to so many pixels each way")
    cutout: int = Field(10, ge=0, le=2 * SIDE, description="pixels, the side of the square; 0 cuts nothing out")

    @field_validator("blocks", mode="before")
    @classmethod
    def _chained(cls, blocks: Any) -> Any:
        """Without `in`, which the block before tells."""
        if not isinstance(blocks, list | tuple):
            return blocks
        width: Any = 3  # channels; None after a block that says none, which is refused after this
        chained = []
        for number, block in enumerate(blocks, 1):
            if isinstance(block, dict):
                if width is not None and block.get("in", width) != width:
                    raise ValueError(f"block {number} takes in = {block['in']} channels, but gets {width}")
                block = {name: value for name, value in block.items() if name != "in"}
            width = block.get("out") if isinstance(block, dict) else getattr(block, "out", None)
            chained.append(block)
        return tuple(chained)

    @model_validator(mode="after")
    def _fits(self) -> Cifar10Hyperparameters:
        if min(self.widths) < 1:
            raise ValueError("a width should be greater than or equal to 1")
        if self.blocks and self.model == "fast":
            raise ValueError("blocks belong to the models a to gap: set model to one of these too")
        if not self.blocks and self.model != "fast":
            raise ValueError(f"blocks are empty: give {self.model} at least one, or leave them out for its own")
        side = SIDE
        for number, block in enumerate(self.blocks, 1):
            if side < block.pool:
                raise ValueError(
                    f"block {number} pools by {block.pool}, but the maps that it gets have {side} of {SIDE} pixels: "
                    "less than one would be left; pool less, or in fewer blocks"
                )
            side //= block.pool
        return self


def check_recorded(config: Mapping[str, Any]) -> None:
    """Raises BalltrainError for a configuration of the networks that had the names a to gap before.

    Theirs named no blocks, or blocks with `channels`.
    """
    blocks = config.get("blocks") or [{}]
    if config.get("model") in PLAIN and any("out" not in block for block in blocks):
        raise BalltrainError(
            f"this was trained with an earlier network of the name {config['model']}, made up before the original's "
            "layers were known: train it anew"
        )


def build_classifier(hp: Cifar10Hyperparameters, facts: dict[str, Any]) -> nn.Module:
    """Maps images (n, height, width, 3) uint8, or (n, 3, height, width) from 0 to 1, to logits (n, 10)."""
    if hp.model == "fast":
        return Normalized(fast(hp.widths, facts["whitening"]), facts["mean"], facts["std"])
    return plain(hp.blocks, average=hp.model == "gap")


def plain(blocks: tuple[Block, ...], *, average: bool) -> nn.Sequential:
    """The blocks, on pictures from 0 to 1, and a linear layer on what they make.

    With `average` the last block's maps are averaged before its dropout, so that pictures may have any size.
    """
    layers: list[nn.Module] = []
    width, side = 3, SIDE
    for number, block in enumerate(blocks, 1):
        for channels, kernel in ((block.mid, block.kernel_a), (block.out, block.kernel_b)):
            layers += [nn.Conv2d(width, channels, kernel, padding="same"), _ACTIVATIONS[block.activation]()]
            if block.norm:
                layers.append(nn.BatchNorm2d(channels))
            width = channels
        if block.pool > 1:
            layers.append(nn.MaxPool2d(block.pool))
        side //= block.pool
        if average and number == len(blocks):
            layers.append(nn.AdaptiveAvgPool2d(1))
        if block.dropout:
            layers.append(nn.Dropout(block.dropout))
    values = width if average else width * side * side
    sized = Enlarged(math.prod(block.pool for block in blocks)) if average else OneSize()
    return nn.Sequential(ZeroToOne(), sized, *layers, nn.Flatten(), nn.Linear(values, len(CLASSES)))


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
        Enlarged(SIDE), first, nn.GELU(), *groups, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head, Scaled(HEAD_SCALE)
    )


def _group(get: int, give: int) -> nn.Sequential:
    first, second = (nn.Conv2d(channels, give, 3, padding=1, bias=False) for channels in (get, give))
    for conv in (first, second):
        nn.init.dirac_(conv.weight.data[: conv.in_channels])
    pooled = (first, nn.MaxPool2d(2), nn.BatchNorm2d(give), nn.GELU())
    return nn.Sequential(*pooled, second, nn.BatchNorm2d(give), nn.GELU())


_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class ZeroToOne(nn.Module):
    """Pictures as they lie on disk, (n, height, width, 3) uint8, as (n, 3, height, width) from 0 to 1."""

    def forward(self, images: Tensor) -> Tensor:
        return to_float(images)


class Enlarged(nn.Module):
    """Pictures with a side of less than `least_px`, enlarged to those that were learned from.

    Pooling would leave nothing of them.
    """

    def __init__(self, least_px: int):
        super().__init__()
        self.least_px = least_px

    def forward(self, images: Tensor) -> Tensor:
        side = min(images.shape[2:])
        return images if side >= self.least_px else F.interpolate(images, scale_factor=SIDE / side, mode="bilinear")


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
