"""Networks that tell cats from dogs: those of a course assignment of February 2019, and a residual one.

A convolution of the originals has stride 1 and «same» padding, a pooling takes the largest of 2x2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from balltrain.tasks.catdogs.data import CLASSES, PICTURE_SIZE
from balltrain.tasks.catdogs.hyperparameters import CatDogsHyperparameters
from balltrain.vision.pixels import Normalized, to_float
from balltrain.vision.resnet import small_resnet

# of the channels of 9 000 pictures of Kaggle's Dogs vs. Cats, from 0 to 1
MEAN, STD = (0.486, 0.453, 0.415), (0.246, 0.240, 0.243)

# (kernel, channels) of a convolution, or a pooling
Layer = tuple[int, int] | Literal["M"]
CLASSIFIER5: tuple[Layer, ...] = (
    *((5, 16), "M", (5, 32), "M", (5, 64), "M", (3, 128)),
    *((3, 256), "M", (3, 256), "M", (3, 512), "M"),
)
CLASSIFIER7: tuple[Layer, ...] = (
    *((5, 16), "M", (5, 32), "M", (5, 64), "M", (3, 128)),
    *((3, 256), "M", (3, 512)),
)


def build_classifier(hp: CatDogsHyperparameters, facts: dict[str, Any]) -> nn.Module:
    """Images, uint8 or float, to logits (n, 2). The originals take 64x64 pixels, `resnet` any size."""
    match hp.model:
        case "resnet":
            return Normalized(small_resnet(hp.widths, hp.blocks, len(CLASSES)), MEAN, STD)
        case "classifier5":
            return original(hp.pixels, CLASSIFIER5, last=None)
        case "classifier5d":
            # cross-entropy, which takes a softmax itself, is applied to this one's output, as the original did
            return original(hp.pixels, CLASSIFIER5, last=nn.Tanh, output=(nn.ReLU(), nn.Softmax(dim=1)))
        case "classifier7":
            return original(hp.pixels, CLASSIFIER7, hidden=[512])
        case "vgg":
            layers: list[Layer] = [layer if layer == "M" else (hp.vgg_kernel, layer) for layer in hp.convolutions]
            return original(hp.pixels, layers, hidden=[hp.vgg_width, hp.vgg_width])


def original(
    pixels: int,
    layers: Sequence[Layer],
    hidden: Sequence[int] = (),
    last: type[nn.Module] | None = nn.ReLU,
    output: Sequence[nn.Module] = (),
) -> nn.Sequential:
    """Convolutions, each before a ReLU, and poolings; then fully connected layers of the widths `hidden` and of 2.

    `last` comes after the last convolution in place of its ReLU, `output` after the last layer. Weights are Glorot
    uniform (Glorot and Bengio, AISTATS 2010), biases zero.
    """
    num_convolutions = sum(layer != "M" for layer in layers)
    modules: list[nn.Module] = [Pixels(pixels)]
    channels, size = 3, PICTURE_SIZE
    for layer in layers:
        if layer == "M":
            modules.append(nn.MaxPool2d(2))
            size //= 2
            continue
        kernel, width = layer
        modules.append(nn.Conv2d(channels, width, kernel, padding=kernel // 2))
        num_convolutions -= 1
        activation = nn.ReLU if num_convolutions else last
        modules += [] if activation is None else [activation()]
        channels = width
    modules.append(nn.Flatten())
    values = channels * size * size
    for width in hidden:
        modules += [nn.Linear(values, width), nn.ReLU()]
        values = width
    network = nn.Sequential(*modules, nn.Linear(values, len(CLASSES)), *output)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    return network


def weight_norm(model: nn.Module) -> Tensor:
    """The L2 norm of all weights together, a scalar; biases and batch norm's own are left out."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    norm: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(weight) for weight in weights]))
    return norm


class Pixels(nn.Module):
    """Pictures, uint8 or floats from 0 to 1, as floats from 0 to `largest`."""

    def __init__(self, largest: int):
        super().__init__()
        self.largest = largest

    def forward(self, images: Tensor) -> Tensor:
        floats = to_float(images)
        return floats if self.largest == 1 else floats * self.largest

    def extra_repr(self) -> str:
        return f"0 to {self.largest}"
