"""The `catdogs` task: is there a cat or a dog in a picture of 64x64 pixels?"""

from __future__ import annotations

from typing import Any

from torch import nn

from balltrain.tasks.base import Arrays, DataRequest
from balltrain.tasks.catdogs import data
from balltrain.tasks.catdogs.model import CatDogsHyperparameters, build_classifier
from balltrain.vision.classifier import Classifier


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


task = CatDogs()
