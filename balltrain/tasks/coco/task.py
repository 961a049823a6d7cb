"""The `coco` task: which objects are in an image, and where."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from balltrain.errors import BalltrainError, UsageError
from balltrain.pictures import decode_picture
from balltrain.tasks.base import Arrays, Batch, DataRequest, Examples, Table, Task, examples_of_losses, options_of
from balltrain.tasks.coco import data
from balltrain.tasks.coco.annotations import image_ids, read_results
from balltrain.tasks.coco.augment import jitter
from balltrain.tasks.coco.layout import named_files
from balltrain.tasks.coco.losses import detection_losses
from balltrain.tasks.coco.metrics import FIGURES, by_category, coco_figures, detections_of
from balltrain.tasks.coco.model import CocoHyperparameters, RetinaNet
from balltrain.tasks.coco.nms import detect
from balltrain.tasks.coco.resnet import check_depth, load_resnet
from balltrain.tasks.coco.unlabelled import check_form, listed_inputs
from balltrain.vision.predict import Input, list_inputs, picture_files

PREDICTED_AT_A_TIME = 8  # images, of those given to `balltrain predict`
RESULTS = "results.json"


class Coco(Task[CocoHyperparameters]):
    """Object detection in COCO's format, with RetinaNet: which objects are in an image, and where.

    Objective on the validation split: COCO's AP, the mean over IoU .50:.05:.95 and categories.
    """

    name = "coco"
    data_version = 2  # pictures are turned as EXIF says
    DataOptions = data.CocoOptions
    objective, mode = "map", "max"
    metric_names = FIGURES
    inputs = ("images", "resized", "boxes", "bucket")
    predicts_from = "*.png"
    predicts_folders = True
    evaluation_batch = 32  # of 320 px and 80 categories: 200 MB of logits

    def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
        return data.prepare(request.source, request.size, options_of(self, request), arrays)

    def source_files(self, request: DataRequest) -> Iterable[Path]:
        return [] if request.source is None else named_files(Path(request.source))

    def build_model(self, hp: CocoHyperparameters, facts: dict[str, Any]) -> nn.Module:
        return RetinaNet(hp, facts["categories"], facts["image_size"])

    def check_weights(self, hp: CocoHyperparameters) -> None:
        if hp.weights is not None:
            check_depth(Path(hp.weights), hp.depth)

    def load_weights(self, model: nn.Module, hp: CocoHyperparameters) -> None:
        if hp.weights is not None:
            load_resnet(_network(model).backbone, hp.depth, Path(hp.weights))

    def batch_order(self, arrays: Mapping[str, np.ndarray], hp: CocoHyperparameters) -> np.ndarray | None:
        """Width / height of the images as they are in their files."""
        return None if hp.batches == "canvas" else arrays["original"][:, 1] / arrays["original"][:, 0]

    def augment(self, batch: Batch, hp: CocoHyperparameters) -> Batch:
        images, boxes, labels = jitter(
            _cut(batch["images"], batch["bucket"]),
            batch["boxes"],
            batch["labels"],
            flip=hp.flip,
            scale_jitter=hp.scale_jitter,
        )
        return {**batch, "images": images, "boxes": boxes, "labels": labels}

    def loss(self, model: nn.Module, batch: Batch, hp: CocoHyperparameters) -> Tensor:
        images = batch["images"]
        logits, offsets = model(images)
        anchors = _network(model).anchors_of(images)
        return _losses(logits, offsets, anchors, batch, hp).mean()

    def predict(self, model: nn.Module, batch: Batch, hp: CocoHyperparameters) -> dict[str, Tensor]:
        """`boxes` (batch, 100, 4) xyxy in pixels of the original image, `scores` and `labels` (batch, 100), -1 where
        there is no detection; where objects are known also `loss` (batch,).

        Images of each canvas by themselves, such that what an image gives does not depend on others.
        """
        parts, rows = [], []
        for bucket in sorted(set(batch["bucket"].tolist())):
            row = torch.nonzero(batch["bucket"] == bucket)[:, 0]
            parts.append(_predict_canvas(model, {name: values[row] for name, values in batch.items()}, hp))
            rows.append(row)
        order = torch.cat(rows).argsort()
        return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}

    def metrics(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: CocoHyperparameters, *, thorough: bool
    ) -> dict[str, float]:
        figures, _ = coco_figures(detections_of(outputs), **_truth(targets))
        loss = float(outputs["loss"].mean())
        if not math.isfinite(loss):
            figures["map"] = math.nan  # outputs that are no numbers are no detections, which would count as 0
        return {"loss": loss, **figures}

    def tables(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], facts: dict[str, Any]
    ) -> dict[str, Table]:
        _, ap = coco_figures(detections_of(outputs), **_truth(targets))
        return by_category(ap, facts["categories"])

    def examples(self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: Any) -> Examples:
        return examples_of_losses(outputs["loss"].tolist())

    def check_facts(self, trained: dict[str, Any], other: dict[str, Any]) -> None:
        if trained["categories"] != other["categories"]:
            raise BalltrainError(
                "the model's categories are not those of the data, by id and name: the model has "
                f"{_listed(trained['categories'])}, the data {_listed(other['categories'])}"
            )

    def score_results(
        self, path: Path, request: DataRequest, facts: dict[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, float], dict[str, Table]]:
        row_of = {int(number): row for row, number in enumerate(arrays["image_id"])}
        label_of = {category["id"]: label for label, category in enumerate(facts["categories"])}
        some = options_of(self, request).categories is not None
        results = read_results(path, row_of, label_of, some=some)
        detections = [
            {**entry, "image_id": row_of[entry["image_id"]], "category_id": label_of[entry["category_id"]]}
            for entry in results
        ]
        figures, ap = coco_figures(detections, **_truth(arrays))
        return figures, by_category(ap, facts["categories"])

    def check_results(
        self, path: Path, source: Path | None, split: str | None, facts: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        return check_form(path, source, split, None if facts is None else facts["categories"])

    def export(self, request: DataRequest, folder: Path, data_arrays: Mapping[str, np.ndarray]) -> list[str]:
        """The resized images alone: the data came in the public format."""
        return data.write_images(folder, data_arrays)

    def draw_items(self, batch: Batch, facts: dict[str, Any]) -> list[tuple[np.ndarray, str]]:
        from balltrain.tasks.coco.draw import draw_detections

        images = batch["images"]
        if images.dtype == torch.uint8:  # not yet cut to the batch's canvas, as `augment` does
            images = _cut(images, batch["bucket"])
        pixels = images.clamp(0, 255).round().byte().numpy()
        drawn = []
        for row, picture in enumerate(pixels):
            objects = [
                {
                    "box": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "label": label,
                    "category": facts["categories"][label]["name"],
                }
                for box, label in zip(batch["boxes"][row].tolist(), batch["labels"][row].tolist(), strict=True)
                if label >= 0
            ]
            drawn.append((np.asarray(draw_detections(picture, objects)), ""))
        return drawn

    def draw_predictions(
        self, model: nn.Module, hp: Any, device: torch.device, paths: list[Path], out: Path
    ) -> list[dict[str, Any]]:
        """Pictures with the objects that were found, as they are drawn; `export_predictions` writes all."""
        from balltrain.tasks.coco.draw import draw_detections

        inputs, numbers = _inputs(paths)
        files = picture_files(inputs, out)
        found: list[dict[str, Any]] = []
        for start in range(0, len(inputs), PREDICTED_AT_A_TIME):
            some = inputs[start : start + PREDICTED_AT_A_TIME]
            pictures = [decode_picture(each.read(), each.name)[0] for each in some]
            arrays = data.fit_pictures(pictures, _network(model).image_size)
            batch = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
            with torch.inference_mode():
                outputs = {name: values.cpu() for name, values in self.predict(model, batch, hp).items()}
            for row, (each, pixels) in enumerate(zip(some, pictures, strict=True)):
                objects = _objects(outputs, row, _network(model).categories)
                entry = {"input": each.name, "image_id": numbers[start + row], "objects": objects}
                file = files[start + row]
                if file is not None:
                    draw_detections(pixels, objects).save(file)
                    entry["picture"] = str(file)
                found.append(entry)
        return found

    def export_predictions(self, predictions: list[dict[str, Any]], out: Path) -> list[tuple[Path, str]]:
        """COCO's results: of all detections image_id, category_id, bbox and score."""
        results = [
            {
                "image_id": found["image_id"],
                "category_id": entry["category_id"],
                "bbox": entry["box"],
                "score": entry["score"],
            }
            for found in predictions
            for entry in found["objects"]
        ]
        (out / RESULTS).write_text(json.dumps(results))
        return [(out / RESULTS, f"{len(results)} detections in COCO's format")]


def _network(model: nn.Module) -> RetinaNet:
    """What `build_model` made: with several workers the `module` of what trains it."""
    return cast(RetinaNet, getattr(model, "module", model))


def _inputs(paths: Sequence[Path]) -> tuple[list[Input], list[int]]:
    """Pictures and their ids: those of a file of COCO's are the images that it names."""
    files = [path for path in paths if path.suffix.lower() == ".json"]
    if not files:
        inputs = list_inputs(paths)
        return inputs, _image_ids(inputs)
    if len(paths) > 1:
        raise UsageError(f"{files[0]} names images and their ids: predict from it by itself, without other inputs")
    return listed_inputs(files[0])


def _image_ids(inputs: Sequence[Input]) -> list[int]:
    """Those of the annotation file, where images lie as COCO's do; else their names, where these are numbers.

    Where an input has neither, or two have the same, their places among the inputs, from 1.
    """
    folders = {Path(each.name).parent for each in inputs}
    known = {folder: image_ids(folder.resolve()) for folder in folders}
    numbers = []
    for each in inputs:
        named = int(each.stem) if each.stem.isascii() and each.stem.isdecimal() else None
        numbers.append(known[Path(each.name).parent].get(Path(each.name).name, named))
    if None in numbers or len(set(numbers)) < len(numbers):
        return list(range(1, len(inputs) + 1))
    return [number for number in numbers if number is not None]


def _truth(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What figures are compared with, of arrays or tensors."""
    return {name: np.asarray(arrays[name]) for name in ("truth", "labels", "crowd", "area")}


def _listed(categories: list[dict[str, Any]]) -> str:
    return ", ".join(f"{c['id']} {c['name']}" for c in categories[:5]) + " …" * (len(categories) > 5)


def _losses(
    logits: Tensor, offsets: Tensor, anchors: Tensor, batch: Mapping[str, Tensor], hp: CocoHyperparameters
) -> Tensor:
    """(batch,) of each image."""
    return detection_losses(
        logits,
        offsets,
        anchors,
        batch["boxes"],
        batch["labels"],
        batch["crowd"],
        alpha=hp.focal_alpha,
        gamma=hp.focal_gamma,
        box_loss=hp.box_loss,
    )


def _predict_canvas(model: nn.Module, batch: Mapping[str, Tensor], hp: CocoHyperparameters) -> dict[str, Tensor]:
    """`predict` of images that share a canvas."""
    images = _cut(batch["images"], batch["bucket"])
    logits, offsets = model(images)
    anchors = _network(model).anchors_of(images)
    found = [
        detect(logits[n], offsets[n], anchors, *batch["resized"][n].unbind()) for n in range(len(images))
    ]  # of each image boxes, scores and labels
    boxes, scores, labels = (torch.stack(values) for values in zip(*found, strict=True))
    scale = (batch["original"] / batch["resized"]).float().flip(1).repeat(1, 2)  # (batch, 4): x, y, x, y
    outputs = {"boxes": boxes * scale[:, None], "scores": scores, "labels": labels}
    if "boxes" in batch:
        outputs["loss"] = _losses(logits, offsets, anchors, batch, hp)
    return outputs


def _cut(images: Tensor, buckets: Tensor) -> Tensor:
    """The part of the canvases (batch, s, s, 3) that images of these buckets can fill."""
    height, width = data.canvas_of(buckets.cpu().numpy(), images.shape[1])
    return images[:, :height, :width]


def _objects(outputs: dict[str, Tensor], row: int, categories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The detections of an image, best first, as JSON; boxes are x, y, width, height."""
    objects = []
    for box, score, label in zip(
        *(outputs[name][row].tolist() for name in ("boxes", "scores", "labels")), strict=True
    ):
        if label >= 0:
            category = categories[label]
            objects.append(
                {
                    "category": category["name"],
                    "category_id": category["id"],
                    "label": label,
                    "score": score,
                    "box": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                }
            )
    return objects


task = Coco()
