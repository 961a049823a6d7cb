"""The part of a task that all classifiers of pictures have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import TypeVar

from balltrain.tasks.base import (
    MAX_EXAMPLES,
    Batch,
    Certainty,
    DataRequest,
    Examples,
    Hyperparameters,
    Table,
    Task,
    Vote,
)
from balltrain.vision.metrics import calibration_error, combined, confusion_matrix, interval
from balltrain.vision.pixels import to_float, to_uint8


class ClassifierHyperparameters(Hyperparameters):
    """Those of every classifier. `label_smoothing` is that of Szegedy et al. (arXiv 1512.00567)."""

    precision: Literal["auto", "float32", "bfloat16"] = "bfloat16"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


ClassifierHP = TypeVar("ClassifierHP", bound=ClassifierHyperparameters, default=Any)


class Classifier(Task[ClassifierHP]):
    """A task whose arrays are `images` (n, height, width, 3) uint8 and `label` (n,), the number of a class.

    A subclass sets `name` and `classes`, and defines `prepare` and `build_model`, which maps images to logits
    (n, classes). Files to predict from are brought to `picture_size`, that of the data, in pixels.
    """

    Hyperparameters = ClassifierHyperparameters
    classes: ClassVar[tuple[str, ...]]
    picture_size: ClassVar[int]
    objective: ClassVar[str] = "accuracy"
    mode: ClassVar[Literal["min", "max"]] = "max"
    metric_names = ("accuracy",)
    inputs = ("images",)
    predicts_from = "*.png"
    predicts_folders = True

    def keeps_shape(self, hp: ClassifierHP) -> bool:
        """Whether the model takes pictures of any shape: they are then scaled to `picture_size` undistorted."""
        return False

    def mirrors(self, hp: ClassifierHP) -> bool:
        """Whether predictions are the mean of a picture's logits and its mirror image's."""
        return False

    def draw_items(self, batch: Batch, facts: dict[str, Any]) -> list[tuple[np.ndarray, str]]:
        labels = [self.classes[int(label)] for label in batch["label"]]
        return list(zip(to_uint8(batch["images"]), labels, strict=True))

    def loss(self, model: nn.Module, batch: Batch, hp: ClassifierHP) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(model(batch["images"]), batch["label"].long(), label_smoothing=hp.label_smoothing)

    def blank_item(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        images = np.zeros((1, self.picture_size, self.picture_size, 3), np.uint8)
        return {}, {"images": images, "label": np.zeros(1, np.uint8)}

    def training_outputs(self, returned: Tensor, batch: Batch, hp: ClassifierHP) -> dict[str, Tensor]:
        return {"logits": returned}

    def predict(self, model: nn.Module, batch: Batch, hp: ClassifierHP) -> dict[str, Tensor]:
        images = to_float(batch["images"])
        logits = model(images)
        return {"logits": (logits + model(images.flip(3))) / 2 if self.mirrors(hp) else logits}

    def metrics(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: ClassifierHP, *, thorough: bool
    ) -> dict[str, float]:
        """Loss and accuracy; thorough, also the accuracy's 95 % interval, that of each class, and calibration."""
        logits, label = outputs["logits"], targets["label"].long()
        right = logits.argmax(1) == label
        figures = {"loss": float(F.cross_entropy(logits, label)), "accuracy": float(right.double().mean())}
        if thorough:
            low, high = interval(int(right.sum()), len(label))
            figures |= {"accuracy_low": low, "accuracy_high": high}
            figures["ece"] = calibration_error(logits.softmax(dim=1), label)
            for number, name in enumerate(self.classes):
                if (of_class := label == number).any():
                    figures[f"accuracy_{name.lower()}"] = float(right[of_class].double().mean())
        return figures

    def tables(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], facts: dict[str, Any]
    ) -> dict[str, Table]:
        counts = confusion_matrix(outputs["logits"].argmax(1), targets["label"].long(), len(self.classes))
        names = list(self.classes)
        return {"confusion_matrix": Table("true class (rows) and predicted class", names, names, counts.tolist())}

    def examples(self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: Any) -> Examples:
        label = targets["label"].long()
        confidence, predicted = outputs["logits"].softmax(dim=1).max(dim=1)
        right = predicted == label

        def said(row: int) -> tuple[int, str]:
            true, found = self.classes[int(label[row])], self.classes[int(predicted[row])]
            return row, f"{true}{'' if true == found else f', taken for {found}'}: {confidence[row]:.1%}"

        falling = confidence.argsort(descending=True, stable=True)
        rising = falling.flip(0)
        groups = {
            "The most confidently wrong": falling[~right[falling]],
            "Doubtful and wrong": rising[~right[rising]],
            "Doubtful and right": rising[right[rising]],
            "The surest right": falling[right[falling]],
        }
        names = [self.classes[number] for number in label.tolist()]
        return Examples(
            {title: [said(row) for row in rows[:MAX_EXAMPLES].tolist()] for title, rows in groups.items()},
            "probability of the predicted class",
            {"right": confidence[right].tolist(), "wrong": confidence[~right].tolist()},
            drawn=False,
            certainty=Certainty(names, confidence.tolist(), right.tolist()),
        )

    def combine(self, outputs: Sequence[dict[str, Tensor]], vote: Vote) -> dict[str, Tensor]:
        return {"logits": combined([each["logits"] for each in outputs], vote == "majority")}

    def draw_predictions(
        self, model: nn.Module, hp: Any, device: torch.device, paths: list[Path], out: Path
    ) -> list[dict[str, Any]]:
        return self.draw_ensemble([(model, hp)], "mean", device, paths, out)

    def draw_ensemble(
        self, members: Sequence[tuple[nn.Module, Any]], vote: Vote, device: torch.device, paths: list[Path], out: Path
    ) -> list[dict[str, Any]]:
        from balltrain.vision.predict import draw_classes, list_inputs, predict_pictures

        def logits_of(model: nn.Module, hp: Any, images: Tensor) -> Tensor:
            with torch.inference_mode():
                return self.predict_thorough(model, {"images": images.to(device)}, hp)["logits"].float().cpu()

        inputs = list_inputs(paths)
        logits = [
            predict_pictures(inputs, self.picture_size, self.keeps_shape(hp), partial(logits_of, model, hp))
            for model, hp in members
        ]
        votes = torch.stack([each.argmax(1) for each in logits], dim=1) if len(members) > 1 else None
        return draw_classes(inputs, combined(logits, vote == "majority").exp(), votes, self.classes, out)

    def export_predictions(self, predictions: list[dict[str, Any]], out: Path) -> list[tuple[Path, str]]:
        """`submission.csv`, as Kaggle has it, where the pictures are those of a folder or archive of N.jpg."""
        from balltrain.vision.predict import write_submission

        if not any("id" in found for found in predictions):
            return []
        file = out / "submission.csv"
        return [(file, write_submission(predictions, file))]

    def export(self, request: DataRequest, folder: Path, data: Mapping[str, np.ndarray]) -> list[str]:
        """As an ImageFolder: `<class>/00000.png` …, numbered by their place in the data."""
        for row, (pixels, label) in enumerate(zip(data["images"], data["label"], strict=True)):
            of_class = folder / self.classes[int(label)]
            of_class.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(of_class / f"{row:05d}.png")
        return [f"{len(data['images'])} pictures in {folder}, a folder for each of {', '.join(self.classes)}"]
