"""COCO's pictures on their canvases: decoded, upright as they were annotated, resized."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import numpy as np
from PIL import Image

from balltrain.errors import BalltrainError
from balltrain.pictures import BadPicture, decode_picture, orientation_of
from balltrain.tasks.coco.annotations import ImageEntry
from balltrain.vision.files import read_file

T = TypeVar("T")

PADDING_RGB = (124, 116, 104)  # ImageNet's mean, which the network sees as zero

# what a picture with an orientation says of its boxes: that of a size as it is stored, or of another, says it all
View = Literal["upright", "turned", "stored", "either"]


class WrongSize(BadPicture):
    """A picture that is not the one that was annotated."""

    def __init__(self, entry: ImageEntry, width: int, height: int):
        reason = (
            f"is {width} x {height} px, but its annotations (image {entry.id}) are for {entry.width} x {entry.height}"
        )
        super().__init__(entry.path, reason)
        self.args = (f"{entry.path}: {reason}",)


def write_pictures(
    entries: list[ImageEntry], resized: np.ndarray, images: np.ndarray
) -> tuple[dict[int, BadPicture], list[str]]:
    """Fill `images` (n, s, s, 3) with the pictures, resized to heights and widths (n, 2); returns what is wrong with
    those that cannot be read, by row, and notes.

    Pictures are turned as EXIF says, as tools show them. Where the sizes of some tell that a set was annotated as its
    pictures are stored, all of it are read so. Raises BalltrainError where sizes tell both.
    """
    found = _in_threads(lambda row: _write(entries[row], resized[row], images[row]), range(len(entries)))
    rows: dict[View, list[int]] = {view: [] for view in ("turned", "stored", "either")}
    for row, view in enumerate(found):
        if not isinstance(view, BadPicture) and view != "upright":
            rows[view].append(row)
    notes = []
    if rows["stored"]:
        first = entries[rows["stored"][0]].path
        if rows["turned"]:
            raise BalltrainError(
                f"{first} was annotated as it is stored, and {entries[rows['turned'][0]].path} as EXIF turns it: "
                "turn all pictures, such as by exiftran -ai or mogrify -auto-orient, and annotate the first again"
            )
        as_stored = rows["stored"] + rows["either"]
        _in_threads(lambda row: _write_as_stored(entries[row], resized[row], images[row]), as_stored)
        notes.append(
            f"{len(as_stored)} pictures were annotated as they are stored, and are not turned as EXIF says, such as "
            f"{first}"
        )
    return {row: view for row, view in enumerate(found) if isinstance(view, BadPicture)}, notes


def place_picture(picture: np.ndarray, shape: np.ndarray, canvas: np.ndarray) -> None:
    """Fill a canvas (s, s, 3) with a picture, resized to the shape (height, width), and padding."""
    height, width = shape.tolist()
    canvas[:height, :width] = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    canvas[height:] = PADDING_RGB
    canvas[:height, width:] = PADDING_RGB


def _write(entry: ImageEntry, shape: np.ndarray, canvas: np.ndarray) -> View | BadPicture:
    try:
        content = read_file(entry.path)
        picture, _ = decode_picture(content, entry.path)
    except BadPicture as error:
        return error
    height, width, _ = picture.shape
    annotated, orientation = (entry.width, entry.height), orientation_of(content)
    if (width, height) != annotated:
        is_stored = orientation >= 5 and (height, width) == annotated
        return "stored" if is_stored else WrongSize(entry, width, height)
    place_picture(picture, shape, canvas)
    if orientation == 1:
        return "upright"
    return "turned" if orientation >= 5 and width != height else "either"


def _write_as_stored(entry: ImageEntry, shape: np.ndarray, canvas: np.ndarray) -> None:
    picture, _ = decode_picture(read_file(entry.path), entry.path, as_stored=True)
    place_picture(picture, shape, canvas)


def _in_threads(function: Callable[[int], T], rows: Iterable[int]) -> list[T]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes without the GIL
        return list(pool.map(function, rows))
