"""Pictures of cats and dogs, of an ImageFolder or its zip."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.bad_pictures import good_rows
from balltrain.tasks.base import Arrays, DataOptions, DataRequest
from balltrain.vision.files import list_classes, note_of_others

CLASSES = ("Cat", "Dog")
PICTURE_SIZE = 64  # pixels, of the original
GET_DATA = (
    "catdogs needs --source: a folder or zip with the folders Cat and Dog, such as Kaggle's Dogs vs. Cats "
    "(kaggle.com/datasets/shaunthesheep/microsoft-catsvsdogs-dataset)"
)


class CatDogsOptions(DataOptions):
    """How a source is read."""

    skip_bad: bool = Field(False, description="leave out pictures that cannot be read, in place of stopping")


def prepare(request: DataRequest, options: CatDogsOptions, arrays: Arrays) -> dict[str, Any]:
    """Arrays `images` (n, 64, 64, 3) uint8 and `label` (n,) uint8, 0 a cat and 1 a dog: first the cats, by number."""
    if request.source is None:
        raise UsageError(GET_DATA)
    pictures, labels = list_classes(Path(request.source), CLASSES, request.size)
    images = arrays.create("images", (len(pictures), PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    converted, bad = pictures.decode(images)
    good, of_bad = good_rows(arrays, images, bad, skip=options.skip_bad)
    labels, notes = labels[good], [*note_of_others(pictures), *of_bad]
    if bad:
        for label, name in enumerate(CLASSES):
            if label not in labels:
                raise BalltrainError(f"{pictures.source}: no picture of {name} can be read; {notes[-1]}")
    arrays["label"] = labels
    said = list(notes)
    if converted:
        said.append(
            f"{len(converted)} of {len(pictures)} pictures were converted to RGB of {PICTURE_SIZE} x "
            f"{PICTURE_SIZE} px, the first {converted[0]}"
        )
    clear = "\r\033[K" if sys.stderr.isatty() else ""  # a phase that is shown
    for line in said:
        print(f"{clear}{line}", file=sys.stderr)
    return {"classes": list(CLASSES), "picture_size": PICTURE_SIZE, **({"notes": notes} if notes else {})}
