"""The `detect` task: which colours are in an image, and where their balls are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balltrain.balls.world import BOX_SCALE, IMAGE_SIZE, NUM_BALLS
from balltrain.tasks.base import Arrays, Batch, DataRequest, Task
from balltrain.tasks.detect import data
from balltrain.tasks.detect.augment import augmented
from balltrain.tasks.detect.metrics import color_accuracy, mean_average_precision, mean_iou
from balltrain.tasks.detect.model import DetectHyperparameters, Detections, boxes_by_color, build_detector

OBJECTIVE_BCE_SCALE = 0.1  # fixed, so that models trained with any bce_scale compare


class Detect(Task[DetectHyperparameters]):
    """Ball detection: which of nine colours are in a 100x100 image, and where their balls are.

    Objective on the validation split, the same for every model: 0.1 x BCE + MSE over the nine boxes. Of a model that
    learns colours or boxes alone it is that part alone.
    """

    name = "detect"
    metric_names = ("iou", "color_accuracy", "mse", "bce")
    inputs = ("images",)
    predicts_from = "img_*.jpg"
    default_size = 21_000
    export_formats = ("coco",)

    def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
        return data.prepare(request, arrays, self.default_size)

    def build_model(self, hp: DetectHyperparameters, facts: dict[str, Any]) -> nn.Module:
        return build_detector(hp)

    def augment(self, batch: Batch, hp: DetectHyperparameters) -> Batch:
        return batch if hp.augmentation == "none" else augmented(batch, hp.augmentation)

    def loss(self, model: nn.Module, batch: Batch, hp: DetectHyperparameters) -> Tensor:
        """bce_scale x BCE + MSE + order_scale x disorder, or what of it `learn` says.

        The heatmap model's boxes of absent colours are not trained: it zeroes them.
        """
        detections: Detections = model(batch["images"])
        presence = batch["presence"].float()  # (batch, 9)
        boxes = scaled(batch["boxes"])  # (batch, 9, 4)
        bce = hp.bce_scale * F.binary_cross_entropy_with_logits(detections.logits, presence)
        if hp.learn == "colors":
            return bce
        predicted = detections.boxes
        if predicted.shape[1] == NUM_BALLS:
            boxes = boxes[presence.bool()].view(-1, NUM_BALLS, 4)  # in colour order
        elif hp.model == "heatmap":
            predicted = predicted * presence[:, :, None]
        of_boxes = F.mse_loss(predicted, boxes)
        if hp.order_scale > 0:
            of_boxes = of_boxes + hp.order_scale * disorder(predicted)
        return of_boxes if hp.learn == "boxes" else bce + of_boxes

    def predict(self, model: nn.Module, batch: Batch, hp: DetectHyperparameters) -> dict[str, Tensor]:
        return self.training_outputs(model(batch["images"]), batch, hp)

    def training_outputs(self, returned: Detections, batch: Batch, hp: DetectHyperparameters) -> dict[str, Tensor]:
        detections = Detections(*(tensor.float() for tensor in returned))
        boxes = detections.boxes
        if boxes.shape[1] == NUM_BALLS:
            boxes = boxes_by_color(detections)
        return {"logits": detections.logits, "boxes": boxes}

    def metrics(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: DetectHyperparameters, *, thorough: bool
    ) -> dict[str, float]:
        presence, boxes = targets["presence"].float(), targets["boxes"].float()
        bce = F.binary_cross_entropy_with_logits(outputs["logits"], presence)
        mse = F.mse_loss(outputs["boxes"], scaled(boxes))
        pixels = to_pixels(outputs["boxes"])
        parts = {"colors": OBJECTIVE_BCE_SCALE * bce, "boxes": mse}
        figures = {
            "loss": float(parts["colors"] + parts["boxes"] if hp.learn == "both" else parts[hp.learn]),
            "bce": float(bce),
            "mse": float(mse),
            "color_accuracy": color_accuracy(outputs["logits"], presence),
            "iou": mean_iou(pixels, boxes, presence),
        }
        if thorough:
            figures["map"] = mean_average_precision(outputs["logits"], pixels, boxes, presence)
        return figures

    def draw_items(self, batch: Batch, facts: dict[str, Any]) -> list[tuple[np.ndarray, str]]:
        from balltrain.tasks.detect.draw import draw_labels

        arrays = [batch[name].numpy() for name in ("images", "presence", "boxes")]
        return [(draw_labels(*item), "") for item in zip(*arrays, strict=True)]

    def export(self, request: DataRequest, folder: Path, data_arrays: Mapping[str, np.ndarray]) -> list[str]:
        return data.export(folder, data_arrays)

    def export_as(
        self, name: str, folder: Path, data_arrays: Mapping[str, np.ndarray], splits: Mapping[str, np.ndarray]
    ) -> list[str]:
        return data.export_as_coco(folder, data_arrays, splits)

    def draw_predictions(
        self, model: nn.Module, hp: Any, device: torch.device, paths: list[Path], out: Path
    ) -> list[dict[str, Any]]:
        from balltrain.tasks.detect.draw import draw_detections

        images = data.read_image_files(paths)
        with torch.inference_mode():
            outputs = self.predict(model, {"images": torch.from_numpy(images).to(device)}, hp)
        presence = outputs["logits"].sigmoid().cpu().numpy()
        truths = [data.read_labels_beside(path) for path in paths]
        return draw_detections(paths, images, presence, to_pixels(outputs["boxes"]).cpu().numpy(), out, truths)


def scaled(boxes_px: Tensor) -> Tensor:
    """Pixels / BOX_SCALE: (…, 4)."""
    return boxes_px.float() / torch.tensor(BOX_SCALE, dtype=torch.float32, device=boxes_px.device)


def disorder(boxes: Tensor) -> Tensor:
    """How far right and lower edges lie before left and upper ones, of boxes / BOX_SCALE (…, 4): a mean, zero where
    none does. In parts of the image.
    """
    boxes_px = boxes * torch.tensor(BOX_SCALE, dtype=torch.float32, device=boxes.device)
    return (boxes_px[..., :2] - boxes_px[..., 2:]).clamp(min=0).mean() / IMAGE_SIZE


def to_pixels(boxes: Tensor) -> Tensor:
    """Boxes / BOX_SCALE to pixels. Labels are whole pixels, the first and last that a ball covers."""
    return (boxes * torch.tensor(BOX_SCALE, dtype=torch.float32, device=boxes.device)).round()


task = Detect()
