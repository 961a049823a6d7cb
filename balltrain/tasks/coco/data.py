"""COCO's images and boxes, decoded once: images resized to a common longer side, on canvases of three shapes."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field, field_validator

from balltrain.errors import BalltrainError
from balltrain.tasks.bad_pictures import good_rows
from balltrain.tasks.base import Arrays, DataOptions
from balltrain.tasks.coco.annotations import AnnotationFile, ImageEntry, read_annotations
from balltrain.tasks.coco.layout import find_files, split_of
from balltrain.tasks.coco.pictures import place_picture, write_pictures
from balltrain.tasks.splits import SPLITS

log = logging.getLogger(__name__)

STRIDE = 32  # of the ResNet: canvases are whole multiples
SHORT_SIDE = 0.8  # of the longer one, at most, for landscapes and portraits: 4:3 and all that are longer
LANDSCAPE, PORTRAIT = 1, 2
SQUARE = LANDSCAPE | PORTRAIT  # which holds both: the value of a batch that mixes them
HOW_TO_GET_DATA = (
    "coco has no data of its own: give a folder with annotations/instances_train….json, …_val….json and the folders "
    "of their images with --source (cocodataset.org/#download), or what Roboflow, Label Studio, CVAT or FiftyOne "
    "export as COCO; or make one: balltrain data export detect DIR --format coco"
)


class CocoOptions(DataOptions):
    """What the data holds, beside source, size and seed."""

    categories: tuple[str, ...] | None = Field(None, description="names of those to learn; all if None")
    image_size: int = Field(320, ge=32, le=4096, description="pixels of the longer side, to which all are resized")

    skip_bad: bool = Field(False, description="leave out images that cannot be read, in place of stopping")

    @field_validator("categories", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """`person,traffic light`, as typed; a name with commas in double quotes; or a list as JSON."""
        names = _names_of(value) if isinstance(value, str) else value
        if names == ():
            raise ValueError("give at least one name")
        return names


def prepare(source: str | None, size: int | None, options: CocoOptions, arrays: Arrays) -> dict[str, Any]:
    """Arrays, an image a row, an object a column in rows of the length of the longest.

    What the network sees: `images` (n, s, s, 3) uint8, resized, at the top left of their canvas; `resized` (n, 2)
    int32, their height and width there; `boxes` (n, objects, 4) float32 xyxy, pixels of the resized image, clipped;
    `bucket` (n,) uint8, LANDSCAPE, PORTRAIT or SQUARE: images of a batch share it where they can, as its canvas is
    cut to a shape of it (`canvas_of`).

    What the figures need, as in the file: `image_id` (n,) int64; `original` (n, 2) int32, height and width;
    `truth` (n, objects, 4) float64, x, y, width, height; `area` (n, objects) float64.

    Both: `labels` (n, objects) int16, places in the facts' `categories`, -1 where there is no object; `crowd`
    (n, objects) bool.
    """
    if source is None:
        raise BalltrainError(HOW_TO_GET_DATA)
    paths = find_files(Path(source))
    numbers = _split_numbers(paths, Path(source))
    files = read_annotations(paths, Path(source), options.categories)
    for file in files:
        if file.categories != files[0].categories:
            raise BalltrainError(f"{source}: the categories of {files[0].path} and {file.path} differ")
    parts = _first(_wanted(files, numbers, options), size, source)
    _check_objects(files, numbers, parts, options)
    entries = [entry for part in parts for entry in part]
    resized = _fit(np.array([(entry.height, entry.width) for entry in entries]), options.image_size)
    images = arrays.create("images", (len(entries), *canvas_shape(options.image_size)), np.uint8)
    bad, notes = write_pictures(entries, resized, images)
    good, of_bad = good_rows(arrays, images, bad, skip=options.skip_bad)
    notes += of_bad
    if bad:
        left_out = {id(entries[row]) for row in bad}
        parts = [[entry for entry in part if id(entry) not in left_out] for part in parts]
        _check_objects(files, numbers, parts, options)
        entries, resized = [entries[row] for row in good], resized[good]
    if len(files) > 1:
        arrays["split"] = np.repeat(np.array(numbers, np.uint8), [len(part) for part in parts])
    arrays["resized"], arrays["bucket"] = resized, _buckets(resized, options.image_size)
    _write_objects(entries, resized, arrays)
    notes = [*(note for file in files for note in file.notes), *notes]
    for note in notes:
        log.warning(note)
    return {"categories": files[0].categories, "image_size": options.image_size, "notes": notes}


def canvas_of(buckets: np.ndarray, size: int) -> tuple[int, int]:
    """Height and width that hold all images of these buckets, of the longer side `size`."""
    long, short = _sides(size)
    shape = np.bitwise_or.reduce(buckets)
    return (long if shape & PORTRAIT else short), (long if shape & LANDSCAPE else short)


def canvas_shape(size: int) -> tuple[int, int, int]:
    """Of the canvas on which an image of any shape lies on disk."""
    long = _sides(size)[0]
    return long, long, 3


def fit_pictures(pictures: Sequence[np.ndarray], size: int) -> dict[str, np.ndarray]:
    """`images`, `resized`, `original` and `bucket` of pictures (height, width, 3) uint8, as `prepare` makes them."""
    original = np.array([picture.shape[:2] for picture in pictures], np.int32)
    resized = _fit(original, size)
    images = np.empty((len(pictures), *canvas_shape(size)), np.uint8)
    for picture, shape, canvas in zip(pictures, resized, images, strict=True):
        place_picture(picture, shape, canvas)
    return {"images": images, "resized": resized, "original": original, "bucket": _buckets(resized, size)}


def write_images(folder: Path, data: Mapping[str, np.ndarray]) -> list[str]:
    """The resized images as `<image id>.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, (height, width), number in zip(data["images"], data["resized"], data["image_id"], strict=True):
        Image.fromarray(image[:height, :width]).save(folder / f"{number:012d}.png")
    return [f"{len(data['images'])} images in {folder}"]


def _names_of(text: str) -> tuple[str, ...]:
    if text.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            return tuple(json.loads(text))
    pieces = next(csv.reader([text], skipinitialspace=True), [])
    return tuple(name.strip() for name in pieces if name.strip())


def _split_numbers(files: list[Path], source: Path) -> list[int]:
    """The split of each file by its name or its folder's; a single file is split at random later on."""
    if len(files) == 1:
        return [0]
    numbers = []
    for file in files:
        number = split_of(file, source)
        if number is None:
            raise BalltrainError(
                f"{file}: of several annotation files each must be instances_train….json, …_val… or …_test…; "
                "rename it, or give one file alone as --source"
            )
        numbers.append(number)
    for number, split in enumerate(SPLITS):
        several = [file for file, of_file in zip(files, numbers, strict=True) if of_file == number]
        if len(several) > 1:
            names = ", ".join(str(path.relative_to(source)) for path in several)
            raise BalltrainError(f"{source}: there are several files instances_{split}….json ({names}); keep one")
        if not several and split != "test":
            raise BalltrainError(
                f"{source}: there is no annotation file of the split {split} beside "
                f"{files[0].relative_to(source)}; add one, or give that file as --source to split it at random"
            )
    return numbers


def _check_objects(
    files: list[AnnotationFile], numbers: list[int], parts: list[list[ImageEntry]], options: CocoOptions
) -> None:
    """Raises BalltrainError where there is nothing to learn, or nothing to validate by."""
    for file, number, part in zip(files, numbers, parts, strict=True):
        if SPLITS[number] != "test" and all(a.crowd for entry in part for a in entry.annotations):
            of_some = "" if options.categories is None else f" of the categories {', '.join(options.categories)}"
            raise BalltrainError(f"{file.path}: its {len(part)} images have no object{of_some} to learn or to find")


def _wanted(files: list[AnnotationFile], numbers: list[int], options: CocoOptions) -> list[list[ImageEntry]]:
    """The images of each file. Training images without an object of the chosen categories are left out: of few
    categories they are most images. What is evaluated stays whole.
    """
    if options.categories is None or len(files) == 1:
        return [file.images for file in files]
    return [
        [image for image in file.images if SPLITS[number] != "train" or any(not a.crowd for a in image.annotations)]
        for file, number in zip(files, numbers, strict=True)
    ]


def _first(parts: list[list[ImageEntry]], size: int | None, source: str) -> list[list[ImageEntry]]:
    """The first `size` images in all, of each file in proportion, and one at least."""
    total = sum(len(part) for part in parts)
    if size is None:
        return parts
    if size > total:
        raise BalltrainError(f"{source} holds {total} images, but --size is {size}")
    if size < len(parts):
        raise BalltrainError(f"--size is {size}, but each of the {len(parts)} splits needs an image")
    counts = [min(len(part), max(1, size * len(part) // total)) for part in parts]
    while sum(counts) != size:  # what rounding left over goes to, or comes from, the largest file with room
        step = 1 if sum(counts) < size else -1
        room = [len(part) - count if step > 0 else count - 1 for part, count in zip(parts, counts, strict=True)]
        counts[int(np.argmax(room))] += step
    return [part[:count] for part, count in zip(parts, counts, strict=True)]


def _write_objects(entries: list[ImageEntry], resized: np.ndarray, arrays: Arrays) -> None:
    most = max(1, *(len(entry.annotations) for entry in entries))
    original = np.array([(entry.height, entry.width) for entry in entries], np.int32)
    labels = np.full((len(entries), most), -1, np.int16)
    crowd = np.zeros((len(entries), most), bool)
    truth = np.zeros((len(entries), most, 4))
    clipped, area = np.zeros_like(truth), np.zeros((len(entries), most))
    for row, entry in enumerate(entries):
        for column, annotation in enumerate(entry.annotations):
            labels[row, column], crowd[row, column] = annotation.label, annotation.crowd
            truth[row, column], clipped[row, column] = annotation.box, annotation.clipped
            area[row, column] = annotation.area
    clipped[..., 2:] += clipped[..., :2]
    scale = (resized / original)[:, ::-1]  # x, y
    arrays["image_id"] = np.array([entry.id for entry in entries], np.int64)
    arrays["original"] = original
    arrays["labels"], arrays["crowd"], arrays["truth"], arrays["area"] = labels, crowd, truth, area
    arrays["boxes"] = (clipped * np.concatenate([scale, scale], axis=1)[:, None]).astype(np.float32)


def _fit(shapes: np.ndarray, size: int) -> np.ndarray:
    """(n, 2) int32 of heights and widths (n, 2), such that the longer one is `size`."""
    scale = size / shapes.max(axis=1, keepdims=True)
    fitted: np.ndarray = np.maximum(1, np.rint(shapes * scale)).astype(np.int32)
    return fitted


def _buckets(resized: np.ndarray, size: int) -> np.ndarray:
    """(n,) uint8 of heights and widths (n, 2)."""
    short = _sides(size)[1]
    return np.select([resized[:, 0] <= short, resized[:, 1] <= short], [LANDSCAPE, PORTRAIT], SQUARE).astype(np.uint8)


def _sides(size: int) -> tuple[int, int]:
    """The longer and the shorter side of canvases, multiples of STRIDE."""
    long = -(-size // STRIDE) * STRIDE
    return long, -(-round(long * SHORT_SIDE) // STRIDE) * STRIDE
