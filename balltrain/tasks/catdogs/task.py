"""The `catdogs` task: is there a cat or a dog in a picture of 64x64 pixels?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from balltrain.tasks.base import Arrays, Batch, DataRequest, options_of
from balltrain.tasks.catdogs import data
from balltrain.tasks.catdogs.hyperparameters import CatDogsHyperparameters, check_recorded
from balltrain.tasks.catdogs.model import build_classifier, weight_norm
from balltrain.tasks.classifier import Classifier
from balltrain.vision.augment import augmented
from balltrain.vision.pixels import to_float


class CatDogs(Classifier[CatDogsHyperparameters]):
    """Cats and dogs: which of the two is in a picture of 64x64 pixels?"""

    name = "catdogs"
    data_version = 2  # pictures are turned as EXIF says
    DataOptions = data.CatDogsOptions
    classes = data.CLASSES
    picture_size = data.PICTURE_SIZE
    keeps_smallest_loss = True  # the original's authors chose between that state and the one of the best accuracy

    def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
        return data.prepare(request, options_of(self, request), arrays)

    def build_model(self, hp: CatDogsHyperparameters, facts: dict[str, Any]) -> nn.Module:
        return build_classifier(hp, facts)

    def check_recorded(self, config: Mapping[str, Any]) -> None:
        check_recorded(config)

    def mirrors(self, hp: CatDogsHyperparameters) -> bool:
        return hp.model == "resnet" and hp.augmentation != "normal"  # all other levels mirror a part of the pictures

    def augment(self, batch: Batch, hp: CatDogsHyperparameters) -> Batch:
        images = augmented(batch["images"], hp.augmentation)
        if hp.model == "resnet" and hp.train_px is not None:
            images = F.interpolate(to_float(images), size=hp.train_px, mode="bilinear", antialias=True)
        return {**batch, "images": images}

    def loss(self, model: nn.Module, batch: Batch, hp: CatDogsHyperparameters) -> Tensor:
        """Cross-entropy, and `regularization` times the L2 norm of the weights."""
        loss = super().loss(model, batch, hp)
        return loss + hp.regularization * weight_norm(model) if hp.regularization > 0 else loss


task = CatDogs()
