"""Pictures of cats and dogs, of an ImageFolder or its zip."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from balltrain.errors import UsageError
from balltrain.tasks.base import Arrays, DataRequest
from balltrain.vision.files import list_classes

CLASSES = ("Cat", "Dog")
PICTURE_SIZE = 64  # pixels, of the original
GET_DATA = (
    "catdogs needs --source: a folder or zip with the folders Cat and Dog, such as Kaggle's Dogs vs. Cats "
    "(kaggle.com/datasets/shaunthesheep/microsoft-catsvsdogs-dataset)"
)


def prepare(request: DataRequest, arrays: Arrays) -> dict[str, Any]:
    """Arrays `images` (n, 64, 64, 3) uint8 and `label` (n,) uint8, 0 a cat and 1 a dog: first the cats, by number."""
    if request.source is None:
        raise UsageError(GET_DATA)
    pictures, labels = list_classes(Path(request.source), CLASSES, request.size)
    images = arrays.create("images", (len(pictures), PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    converted = pictures.decode(images)
    if converted:
        clear = "\r\033[K" if sys.stderr.isatty() else ""  # a phase that is shown
        print(
            f"{clear}{len(converted)} of {len(pictures)} pictures were converted to RGB of {PICTURE_SIZE} x "
            f"{PICTURE_SIZE} px, the first {converted[0]}",
            file=sys.stderr,
        )
    arrays["label"] = labels
    return {"classes": list(CLASSES), "picture_size": PICTURE_SIZE}
