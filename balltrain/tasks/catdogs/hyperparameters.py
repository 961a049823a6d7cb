"""What can be set of the networks of cats and dogs, and what the originals were trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.catdogs.data import PICTURE_SIZE
from balltrain.tasks.classifier import ClassifierHyperparameters
from balltrain.tasks.hyperparameters import Schedule
from balltrain.vision.augment import Augmentation

MAX_POOLINGS = PICTURE_SIZE.bit_length() - 1  # leave one pixel
VGG_LAYERS: tuple[int | Literal["M"], ...] = (
    50,
    "M",
    100,
    "M",
    150,
    200,
    "M",
    250,
    300,
    350,
    "M",
    400,
    450,
    "M",
    500,
    525,
    "M",
    550,
)

# The best of each of the original's searches, by model and augmentation (sweeps/catdogs_*.py); of the two of
# classifier5 with `low` that with regularization.
PUBLISHED: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("classifier5", "high"): {"lr": 0.002022, "batch_size": 54, "regularization": 0.0},
    ("classifier5", "medium"): {"lr": 0.000565, "batch_size": 18, "regularization": 0.0},
    ("classifier5", "low"): {"lr": 0.002368, "batch_size": 20, "regularization": 0.005226},
    ("classifier5", "medium-low"): {"lr": 0.001297, "batch_size": 20, "regularization": 0.003782},
    ("classifier7", "medium"): {"lr": 0.001103, "batch_size": 20, "regularization": 0.028352},
    ("vgg", "medium-low"): {"lr": 0.008962506103515625, "batch_size": 78, "regularization": 0.00128163},
}
# in the second stage of their searches
TRAINING: Mapping[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "schedule": "constant",
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "epochs": 50,
    "patience": 10,
    "pixels": 255,
    "precision": "float32",
}


def _recipe(model: str, augmentation: str) -> Mapping[str, Any]:
    return {**TRAINING, "augmentation": augmentation, **PUBLISHED[model, augmentation]}


class CatDogsHyperparameters(ClassifierHyperparameters):
    """`regularization` weighs the L2 norm of all weights in the loss: not squared, without biases.

    Of `resnet`: the channels of its stages, the residual blocks of each, and `train_px`, the side of the pictures
    that it is trained on: a crop shows things larger than the whole picture does, and smaller pictures make up for
    that, at half the cost (Touvron et al., arXiv 1906.06423). Of the originals: `pixels`, the largest value of a
    picture's. Of `vgg`: its layers, for each convolution its channels, for a pooling "M", and the width of its two
    hidden layers. An original has the best values of its search where others are not given; where the augmentation
    is given, those of the search with that.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "classifier5": _recipe("classifier5", "medium-low"),
        "classifier5d": _recipe("classifier5", "medium-low"),  # no search of it is published
        "classifier7": _recipe("classifier7", "medium"),
        "vgg": _recipe("vgg", "medium-low"),
    }

    model: Literal["resnet", "classifier5", "classifier5d", "classifier7", "vgg"] = "resnet"
    augmentation: Augmentation = "strong"
    regularization: float = Field(0.0, ge=0)
    pixels: Literal[255, 1] = Field(255, description="of the originals")
    train_px: int | None = Field(48, ge=16, description="of resnet")
    widths: tuple[PositiveInt, ...] = Field((32, 64, 128, 256), min_length=1)
    blocks: int = Field(2, ge=1)
    vgg_layers: tuple[PositiveInt | Literal["M"], ...] = VGG_LAYERS
    vgg_depth: int | None = Field(
        None, ge=1, description="of vgg: convolutions before each of six poolings, in place of vgg_layers"
    )
    vgg_start: int = Field(100, ge=1, description="of vgg, with vgg_depth: channels of a block, times its number")
    vgg_kernel: int = Field(3, ge=1, description="of vgg: of every convolution, odd")
    vgg_width: int = Field(500, ge=1)
    epochs: int = Field(70, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: Schedule = "onecycle"
    label_smoothing: float = Field(0.1, ge=0, lt=1)

    @property
    def convolutions(self) -> Sequence[int | Literal["M"]]:
        """The layers of vgg: `vgg_layers`, or six blocks of `vgg_depth` convolutions, each before a pooling."""
        if self.vgg_depth is None:
            return self.vgg_layers
        found: list[int | Literal["M"]] = []
        for block in range(1, MAX_POOLINGS + 1):
            found += [self.vgg_start * block] * self.vgg_depth
            found.append("M")
        return found

    @model_validator(mode="after")
    def _one_vgg(self) -> CatDogsHyperparameters:
        if self.vgg_depth is not None and self.vgg_layers != VGG_LAYERS:
            raise ValueError(f"vgg_layers and vgg_depth {self.vgg_depth} are two networks: leave one out")
        if self.vgg_kernel % 2 == 0:
            raise ValueError(f"vgg_kernel is {self.vgg_kernel}, but must be odd: it is padded to keep the size")
        return self

    @classmethod
    def renewed(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """`l2_norm` is now `regularization`, and the level `none` `normal`.

        A whole configuration had the layers of a vgg that is no more too, which mean nothing to a resnet.
        """
        renewed = dict(values)
        if "l2_norm" in renewed:
            renewed.setdefault("regularization", renewed.pop("l2_norm"))
            renewed.pop("vgg_channels", None)
        if "vgg_channels" in renewed:
            raise UsageError('catdogs has no vgg_channels any more: give vgg_layers, such as [50, "M", 100, "M"]')
        if renewed.get("augmentation") == "none":
            renewed["augmentation"] = "normal"
        return renewed

    @model_validator(mode="before")
    @classmethod
    def _best_of_its_search(cls, values: Any) -> Any:
        """Before the recipe, of which this is what depends on the augmentation."""
        if not isinstance(values, Mapping):
            return values
        model, level = values.get("model"), values.get("augmentation")
        if not isinstance(model, str) or not isinstance(level, str):
            return values
        searched = "classifier5" if model == "classifier5d" else model
        return {**PUBLISHED.get((searched, level), {}), **values}

    @field_validator("vgg_layers", mode="before")
    @classmethod
    def _layers_of_vgg(cls, layers: Any) -> Any:
        if not isinstance(layers, list | tuple):
            raise ValueError('should be a list, such as [50, "M", 100]')
        for layer in layers:
            if layer != "M" and (isinstance(layer, bool) or not isinstance(layer, int) or layer < 1):
                raise ValueError(
                    f'{layer!r} should be the channels of a convolution, at least 1, or "M", a pooling: '
                    'such as [50, "M", 100]'
                )
        if all(layer == "M" for layer in layers):
            raise ValueError('should have at least one convolution, such as [50, "M", 100]')
        if layers.count("M") > MAX_POOLINGS:
            raise ValueError(
                f"has {layers.count('M')} poolings, but at most {MAX_POOLINGS} fit: each halves the picture, "
                f"of {PICTURE_SIZE} pixels"
            )
        return tuple(layers)


def check_recorded(config: Mapping[str, Any]) -> None:
    """Raises BalltrainError for a configuration of the networks that had the names of the originals before.

    They were made up to have the originals' numbers of parameters. Theirs had `vgg_channels`, whatever the model.
    """
    if config.get("model", "resnet") != "resnet" and "vgg_channels" in config:
        raise BalltrainError(
            f"this was trained with an earlier network of the name {config['model']}, made up before the original's "
            "layers were known: train it anew"
        )
