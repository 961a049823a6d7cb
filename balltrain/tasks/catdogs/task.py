"""The `catdogs` task: is there a cat or a dog in a picture of 64x64 pixels?"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balltrain.tasks.base import Arrays, Batch, DataRequest
from balltrain.tasks.catdogs import data
from balltrain.tasks.catdogs.model import CatDogsHyperparameters, build_classifier
from balltrain.tasks.classifier import Classifier
from balltrain.vision.augment import augmented
from balltrain.vision.pixels import to_float


class CatDogs(Classifier):
    """Cats and dogs: which of the two is in a picture of 64x64 pixels?"""

    name = "catdogs"
    Hyperparameters = CatDogsHyperparameters
    classes = data.CLASSES
    picture_size = data.PICTURE_SIZE

    def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
        return data.prepare(request, arrays)

    def build_model(self, hp: CatDogsHyperparameters, facts: dict[str, Any]) -> nn.Module:
        return build_classifier(hp, facts)

    def mirrors(self, hp: CatDogsHyperparameters) -> bool:
        return hp.model == "resnet" and hp.augmentation != "none"  # all other levels mirror half of the pictures

    def augment(self, batch: Batch, hp: CatDogsHyperparameters) -> Batch:
        images = augmented(batch["images"], hp.augmentation)
        if hp.model == "resnet" and hp.train_px is not None:
            images = F.interpolate(to_float(images), size=hp.train_px, mode="bilinear", antialias=True)
        return {**batch, "images": images}

    def loss(self, model: nn.Module, batch: Batch, hp: CatDogsHyperparameters) -> Tensor:
        """Cross-entropy, and `l2_norm` times the L2 norm of the weights."""
        loss = super().loss(model, batch, hp)
        return loss + hp.l2_norm * weight_norm(model) if hp.l2_norm > 0 else loss


def weight_norm(model: nn.Module) -> Tensor:
    """The L2 norm of all weights together, a scalar; biases and batch norm's own are left out."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    norm: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(weight) for weight in weights]))
    return norm


task = CatDogs()
