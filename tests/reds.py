"""A user's file with a classifier that learns in a second whether a picture is rather red or rather blue."""

from pathlib import Path

import numpy as np
from torch import nn

from balltrain.tasks.classifier import Classifier, ClassifierHyperparameters
from balltrain.vision.pixels import Normalized

REDS_FILE = str(Path(__file__))


class RedsHyperparameters(ClassifierHyperparameters):
    batch_size: int = 16
    lr: float = 0.01
    any_shape: bool = True


class Reds(Classifier):
    """Red or blue, with a quarter of the labels wrong."""

    name = "reds"
    classes = ("Red", "Blue")
    picture_size = 16
    Hyperparameters = RedsHyperparameters

    def keeps_shape(self, hp):
        return hp.any_shape

    def prepare(self, request, arrays):
        rng = np.random.default_rng(request.seed)
        size = request.size or 200
        label = rng.integers(0, 2, size).astype(np.uint8)
        images = rng.integers(0, 180, (size, 16, 16, 3), dtype=np.uint8)
        images[np.arange(size), :, :, 2 * label] += 60
        arrays["images"] = images
        arrays["label"] = np.where(rng.random(size) < 0.25, 1 - label, label).astype(np.uint8)
        return {}

    def build_model(self, hp, facts):
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 2),
        )
        return Normalized(network, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


reds = Reds()
