"""RetinaNet: a ResNet, a feature pyramid P3 … P7, and two heads that all its levels share.

Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, and "Feature Pyramid Networks",
arXiv 1612.03144.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from balltrain.tasks.base import Hyperparameters
from balltrain.tasks.coco.anchors import NUM_ANCHORS, make_anchors
from balltrain.tasks.coco.losses import BoxLoss
from balltrain.tasks.coco.resnet import Norm, ResNet, norm_layer, num_groups
from balltrain.tasks.hyperparameters import Schedule

PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's RGB, as torchvision has them
HEAD_STD = 0.01  # of the last convolutions' weights at the start: section 4.1 of the paper


# Of a project of 2024 that trained depths 18, 34, 50 and 101 for 20 to 80 epochs, with rates of 1e-3 and 1e-5 too:
# depth and epochs are those of the best that is published with both. Its seed was 3407.
REFERENCE: Mapping[str, Any] = {
    "depth": 18,
    "epochs": 50,
    "batch_size": 2,
    "batches": "aspect",
    "drop_last": False,
    "optimizer": "adam",
    "lr": 1e-4,
    "weight_decay": 0.0,
    "schedule": "constant",
    "prior": 0.01,
    "focal_alpha": 0.25,
    "focal_gamma": 2.0,
}


class CocoHyperparameters(Hyperparameters):
    """The paper's network and losses; the rest is what learned best from few images on small machines.

    `gamma` is that of the step schedule, as in all tasks; the focal loss has `focal_alpha` and `focal_gamma`. `model`
    chooses values alone: the network is the same.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": REFERENCE}

    model: Literal["retinanet", "reference"] = Field(
        "retinanet", description="reference: the published values of the original, where others are not given"
    )
    epochs: int = Field(60, ge=1)
    batch_size: int = Field(8, ge=1)
    batches: Literal["canvas", "aspect"] = Field(
        "canvas", description="of images that share a canvas, or of neighbours when sorted by width / height"
    )
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Schedule = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1, description="part of a one-cycle that rises, or of a cosine")
    # boxes are coded in parts of their anchors, so that its 8 bits do them no harm
    precision: Literal["auto", "float32", "bfloat16"] = "bfloat16"
    clip_norm: float | None = Field(1.0, gt=0, description="gradients are scaled down to this norm")

    depth: Literal[18, 34, 50, 101, 152] = Field(18, description="of the ResNet")
    norm: Norm = Field("batch", description="of the ResNet; group also of pyramid and heads; frozen needs weights")
    weights: str | None = Field(None, description="a torchvision ResNet's .safetensors or .pth file to start from")
    channels: int = Field(256, ge=1, description="of pyramid and heads")
    head_convs: int = Field(4, ge=0, description="in each head, before its last")
    # the paper has 4, for images of 600 px and more
    anchor_scale: float = Field(2.0, gt=0, description="strides that a level's smallest square anchor is wide")
    prior: float = Field(0.01, gt=0, lt=1, description="probability of an object that an untrained network gives")
    focal_alpha: float = Field(0.25, gt=0, lt=1, description="weight of objects; background has the rest")
    focal_gamma: float = Field(2.0, ge=0, description="how much less what is sure already counts")
    box_loss: BoxLoss = "smooth_l1"
    flip: bool = Field(True, description="half of the training images, left to right")
    scale_jitter: float = Field(0.25, ge=0, lt=1, description="images are scaled by 1 ± this, cut or padded")

    @field_validator("weights")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """A trial's process may start in another folder."""
        return None if value is None else str(Path(value).expanduser().resolve())

    @model_validator(mode="after")
    def _norm_fits_the_weights(self) -> CocoHyperparameters:
        if self.norm == "frozen" and self.weights is None:
            raise ValueError(
                "norm frozen without weights would normalise nothing: set weights, or set norm to batch or group"
            )
        if self.norm == "group" and self.weights is not None:
            raise ValueError("weights of a torchvision ResNet need its batch norm: set norm batch or frozen")
        if self.norm == "group" and self.channels % num_groups(self.channels):
            raise ValueError(
                f"norm group needs channels in {num_groups(self.channels)} equal groups: try a power of 2"
            )
        return self


class RetinaNet(nn.Module):
    """Images (batch, height, width, 3), RGB 0 … 255, to logits (batch, anchors, classes) and the offsets of boxes
    (batch, anchors, 4), in the order of `anchors_of`.

    `categories` and `image_size` are those of the data: what is needed to predict from files.
    """

    def __init__(self, hp: CocoHyperparameters, categories: list[dict[str, Any]], image_size: int):
        super().__init__()
        self.categories, self.image_size = categories, image_size
        self.anchor_scale = hp.anchor_scale
        self.backbone = ResNet(hp.depth, hp.norm)
        self.pyramid = _Pyramid(self.backbone.channels, hp.channels, hp.norm)
        self.class_head = _head(hp, NUM_ANCHORS * len(categories))
        self.box_head = _head(hp, NUM_ANCHORS * 4)
        prior_logit = -math.log((1 - hp.prior) / hp.prior)
        nn.init.constant_(self.class_head[-1].bias, prior_logit)  # type: ignore[arg-type]  # it has a bias
        self._anchors: dict[tuple[int, int, torch.device], Tensor] = {}

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        levels = self.pyramid(*self.backbone(to_input(images)))
        logits = [_by_anchor(self.class_head(level), len(self.categories)) for level in levels]
        offsets = [_by_anchor(self.box_head(level), 4) for level in levels]
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)

    def anchors_of(self, images: Tensor) -> Tensor:
        """(anchors, 4) xyxy in pixels of such images."""
        key = (images.shape[1], images.shape[2], images.device)
        if key not in self._anchors:
            with torch.inference_mode(False):  # first made in an evaluation, they still serve training
                self._anchors[key] = make_anchors(*key[:2], self.anchor_scale).to(images.device)
        return self._anchors[key]


class _Pyramid(nn.Module):
    """C3 … C5 to P3 … P7. P6 is made of C5, as in the papers (torchvision's first RetinaNet makes it of P5)."""

    def __init__(self, in_channels: tuple[int, ...], channels: int, norm: Norm):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels)
        self.output = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels)
        self.p6 = nn.Conv2d(in_channels[-1], channels, 3, stride=2)  # padded by `_halve`
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2)
        num_levels = len(in_channels) + 2
        self.norms = nn.ModuleList(
            norm_layer("group")(channels) if norm == "group" else nn.Identity() for _ in range(num_levels)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # it has a bias

    def forward(self, *maps: Tensor) -> list[Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for fine in (1, 0):
            # to the size of the finer map: an odd one is not twice the coarser
            merged[fine] = merged[fine] + F.interpolate(merged[fine + 1], size=merged[fine].shape[2:])
        levels = [output(x) for output, x in zip(self.output, merged, strict=True)]
        p6 = _halve(self.p6, maps[-1])
        levels += [p6, _halve(self.p7, torch.relu(p6))]
        return [norm(level) for norm, level in zip(self.norms, levels, strict=True)]


def _halve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 3x3 convolution of stride 2, with padding by itself.

    torch's own in bfloat16 on CPUs (2.13) leaves what was in memory in the gradient of a kernel whose map has one
    pixel, as P6 of images up to 64 px.
    """
    y: Tensor = conv(F.pad(x, (1, 1, 1, 1)))
    return y


def _head(hp: CocoHyperparameters, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(hp.head_convs):
        conv = nn.Conv2d(hp.channels, hp.channels, 3, padding=1)
        # the paper has a deviation of 0.01 here too: signals fade in it, and without weights to start from
        # the first thousand steps are spent on getting them back
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # it has a bias
        layers += [conv, *([norm_layer("group")(hp.channels)] if hp.norm == "group" else []), nn.ReLU(inplace=True)]
    last = nn.Conv2d(hp.channels, out_channels, 3, padding=1)
    nn.init.normal_(last.weight, std=HEAD_STD)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]  # it has a bias
    return nn.Sequential(*layers, last)


def _by_anchor(outputs: Tensor, values: int) -> Tensor:
    """(batch, 9 x values, height, width) to (batch, height x width x 9, values); no copy of channels-last maps."""
    return outputs.permute(0, 2, 3, 1).reshape(len(outputs), -1, values)


def to_input(images: Tensor) -> Tensor:
    """(batch, height, width, 3) to normalised (batch, 3, height, width), channels last in memory."""
    mean, std = (torch.tensor(values, device=images.device) for values in (PIXEL_MEAN, PIXEL_STD))
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)
