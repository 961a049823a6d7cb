"""Pictures of cats and dogs, of an ImageFolder or its zip."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.base import Arrays, DataOptions, DataRequest
from balltrain.vision.files import list_classes, note_of_bad, note_of_others, refuse_bad

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
    notes = note_of_others(pictures)
    if bad:
        if not options.skip_bad:
            refuse_bad(list(bad.values()), len(pictures))
        notes.append(note_of_bad(list(bad.values()), len(pictures)))
        good = [row for row in range(len(pictures)) if row not in bad]
        labels = labels[good]
        for label, name in enumerate(CLASSES):
            if label not in labels:
                raise BalltrainError(f"{pictures.source}: no picture of {name} can be read; {notes[-1]}")
        kept = arrays.create("images", (len(good), *images.shape[1:]), np.uint8)
        for row, place in enumerate(good):
            kept[row] = images[place]
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
