"""The part of a task that all classifiers of pictures have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from balltrain.tasks.base import Batch, Hyperparameters, Task
from balltrain.vision.pixels import to_float


class ClassifierHyperparameters(Hyperparameters):
    """Those of every classifier. `label_smoothing` is that of Szegedy et al. (arXiv 1512.00567)."""

    precision: Literal["auto", "float32", "bfloat16"] = "bfloat16"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Classifier(Task):
    """A task whose arrays are `images` (n, height, width, 3) uint8 and `label` (n,), the number of a class.

    A subclass sets `name` and `classes`, and defines `prepare` and `build_model`, which maps images to logits
    (n, classes).
    """

    classes: ClassVar[tuple[str, ...]]
    objective: ClassVar[str] = "accuracy"
    mode: ClassVar[Literal["min", "max"]] = "max"
    metric_names = ("accuracy",)
    inputs = ("images",)

    def mirrors(self, hp: Any) -> bool:
        """Whether predictions are the mean of a picture's logits and its mirror image's."""
        return False

    def loss(self, model: nn.Module, batch: Batch, hp: Any) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(model(batch["images"]), batch["label"].long(), label_smoothing=hp.label_smoothing)

    def predict(self, model: nn.Module, batch: Batch, hp: Any) -> dict[str, Tensor]:
        images = to_float(batch["images"])
        logits = model(images)
        return {"logits": (logits + model(images.flip(3))) / 2 if self.mirrors(hp) else logits}

    def metrics(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: Any, *, thorough: bool
    ) -> dict[str, float]:
        logits, label = outputs["logits"], targets["label"].long()
        return {
            "loss": float(F.cross_entropy(logits, label)),
            "accuracy": float((logits.argmax(1) == label).float().mean()),
        }
