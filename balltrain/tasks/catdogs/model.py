"""Networks that tell cats from dogs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from balltrain.tasks.catdogs.data import CLASSES
from balltrain.vision.classifier import ClassifierHyperparameters
from balltrain.vision.pixels import Normalized
from balltrain.vision.resnet import small_resnet

# of the channels of the 9 000 pictures at hand, from 0 to 1
MEAN, STD = (0.486, 0.453, 0.415), (0.246, 0.240, 0.243)


class CatDogsHyperparameters(ClassifierHyperparameters):
    """`widths` are the channels of the stages of `resnet`, with `blocks` residual blocks each."""

    model: Literal["resnet"] = "resnet"
    widths: tuple[int, ...] = Field((32, 64, 128, 256), min_length=1)
    blocks: int = Field(1, ge=1)
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(4e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: Literal["constant", "step", "cosine", "onecycle"] = "onecycle"
    label_smoothing: float = Field(0.1, ge=0, lt=1)


def build_classifier(hp: CatDogsHyperparameters, facts: dict[str, Any]) -> nn.Module:
    return Normalized(small_resnet(hp.widths, hp.blocks, len(CLASSES)), MEAN, STD)
