"""The `cifar10` task: which of ten things is in a small picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from balltrain.tasks.base import Arrays, Batch, DataRequest, Download, options_of
from balltrain.tasks.cifar10 import data
from balltrain.tasks.cifar10.augment import cut_out, mirrored_and_shifted
from balltrain.tasks.cifar10.files import ARCHIVE
from balltrain.tasks.cifar10.model import Cifar10Hyperparameters, build_classifier, check_recorded
from balltrain.tasks.classifier import Classifier


class Cifar10(Classifier[Cifar10Hyperparameters]):
    """Ten classes of pictures of 32x32 pixels: CIFAR-10."""

    name = "cifar10"
    classes = data.CLASSES
    picture_size = data.SIDE
    DataOptions = data.Cifar10Options
    # https://www.cs.toronto.edu/~kriz/cifar.html, which gives the MD5 c58f30108f718f92721af3b95e74349a
    download = Download(
        url=f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9384329d7fe0b5c001ce",
        num_bytes=170_498_071,
    )

    def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
        return data.prepare(request, options_of(self, request), arrays)

    def build_model(self, hp: Cifar10Hyperparameters, facts: dict[str, Any]) -> nn.Module:
        return build_classifier(hp, facts)

    def blank_item(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        _, arrays = super().blank_item()
        return {"mean": [0.5] * 3, "std": [0.25] * 3, "whitening": np.eye(12).tolist()}, arrays

    def check_recorded(self, config: Mapping[str, Any]) -> None:
        check_recorded(config)

    def keeps_shape(self, hp: Cifar10Hyperparameters) -> bool:
        return hp.model in ("fast", "gap")

    def augment(self, batch: Batch, hp: Cifar10Hyperparameters) -> Batch:
        images = batch["images"]
        if hp.flip or hp.shift:
            images = mirrored_and_shifted(images, flip=hp.flip, most_px=hp.shift)
        if hp.cutout:
            images = cut_out(images, hp.cutout)
        return {**batch, "images": images}

    def mirrors(self, hp: Cifar10Hyperparameters) -> bool:
        return hp.flip


task = Cifar10()
