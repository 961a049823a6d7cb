"""Networks that tell cats from dogs: the originals and a residual one.

Of the originals only the numbers of parameters are known, and that they learn from pictures of 64x64 pixels. Their
layers are a reconstruction that gives these numbers exactly, found by going through plain stacks: convolutions that
keep the size, poolings by 2, one hidden layer or, in `vgg`, two of equal width. 5 and 7 are then the hidden layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator
from torch import nn

from balltrain.tasks.catdogs.data import CLASSES, PICTURE_SIZE
from balltrain.tasks.classifier import ClassifierHyperparameters
from balltrain.vision.augment import Augmentation
from balltrain.vision.pixels import Normalized
from balltrain.vision.resnet import small_resnet

# of the channels of 9 000 pictures of Kaggle's Dogs vs. Cats, from 0 to 1
MEAN, STD = (0.486, 0.453, 0.415), (0.246, 0.240, 0.243)
MAX_POOLINGS = PICTURE_SIZE.bit_length() - 1  # leave one pixel

# (kernel, channels) of a convolution, or a pooling
Layer = tuple[int, int] | Literal["pool"]
CLASSIFIER5: tuple[Layer, ...] = ((5, 32), "pool", (7, 32), "pool", (3, 64), (3, 64))
CLASSIFIER7: tuple[Layer, ...] = (
    *((5, 16), "pool", (5, 32), "pool", (5, 64), "pool"),
    *((3, 128), (3, 256), (3, 512), "pool"),
)


class CatDogsHyperparameters(ClassifierHyperparameters):
    """`l2_norm` weighs the L2 norm of all weights in the loss: not squared, without biases.

    Of `resnet`: the channels of its stages, the residual blocks of each, and `train_px`, the side of the pictures
    that it is trained on: a crop shows things larger than the whole picture does, and smaller pictures make up for
    that, at half the cost (Touvron et al., arXiv 1906.06423). Of `vgg`: the channels of its convolutions, block by
    block with a pooling after each, and the width of its two hidden layers.
    """

    model: Literal["resnet", "classifier5", "classifier5d", "classifier7", "vgg"] = "resnet"
    augmentation: Augmentation = "strong"
    l2_norm: float = Field(0.0, ge=0)
    train_px: int | None = Field(48, ge=16, description="of resnet")
    widths: tuple[PositiveInt, ...] = Field((32, 64, 128, 256), min_length=1)
    blocks: int = Field(2, ge=1)
    vgg_channels: tuple[tuple[PositiveInt, ...], ...] = Field(
        ((100, 100), (200, 200), (200, 200), (400, 400), (400, 400)), min_length=1, max_length=MAX_POOLINGS
    )
    vgg_width: int = Field(1875, ge=1)
    epochs: int = Field(70, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: Literal["constant", "step", "cosine", "onecycle"] = "onecycle"
    label_smoothing: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _blocks_have_layers(self) -> CatDogsHyperparameters:
        if not all(self.vgg_channels):
            raise ValueError("each block of vgg_channels needs at least one convolution")
        return self


def build_classifier(hp: CatDogsHyperparameters, facts: dict[str, Any]) -> nn.Module:
    """Images, uint8 or float, to logits (n, 2). The originals take 64x64 pixels, `resnet` any size."""
    match hp.model:
        case "resnet":
            network = small_resnet(hp.widths, hp.blocks, len(CLASSES))
        case "vgg":
            layers: list[Layer] = []
            for block in hp.vgg_channels:
                layers += [*((3, channels) for channels in block), "pool"]
            network = original(layers, [hp.vgg_width, hp.vgg_width], nn.ReLU)
        case "classifier7":
            network = original(CLASSIFIER7, [512], nn.ReLU)
        case _:
            network = original(CLASSIFIER5, [128], nn.Tanh if hp.model == "classifier5d" else nn.ReLU)
    return Normalized(network, MEAN, STD)


def original(layers: Sequence[Layer], hidden: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Convolutions and poolings, then fully connected layers of the widths `hidden`, and two logits.

    Weights are Glorot uniform (Glorot and Bengio, AISTATS 2010), biases zero.
    """
    modules: list[nn.Module] = []
    channels, size = 3, PICTURE_SIZE
    for layer in layers:
        if layer == "pool":
            modules.append(nn.MaxPool2d(2))
            size //= 2
        else:
            kernel, channels_out = layer
            modules += [nn.Conv2d(channels, channels_out, kernel, padding=kernel // 2), activation()]
            channels = channels_out
    modules.append(nn.Flatten())
    width = channels * size * size
    for width_out in hidden:
        modules += [nn.Linear(width, width_out), activation()]
        width = width_out
    modules.append(nn.Linear(width, len(CLASSES)))
    network = nn.Sequential(*modules)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    return network
