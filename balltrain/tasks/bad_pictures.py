"""Data of pictures of which some cannot be read: it stops, or goes on without them (`--skip-bad`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from balltrain.pictures import BadPicture
from balltrain.tasks.base import Arrays
from balltrain.vision.files import note_of_bad, refuse_bad


def good_rows(
    arrays: Arrays, images: np.ndarray, bad: Mapping[int, BadPicture], *, skip: bool
) -> tuple[list[int], list[str]]:
    """The rows of `images` that could be read, and what is to be said of the others, by their row in `bad`.

    The array `images` is then written anew without those. Without `skip` raises BalltrainError that names them all.
    """
    if not bad:
        return list(range(len(images))), []
    if not skip:
        refuse_bad(list(bad.values()), len(images))
    good = [row for row in range(len(images)) if row not in bad]
    kept = arrays.create("images", (len(good), *images.shape[1:]), np.uint8)
    for row, place in enumerate(good):
        kept[row] = images[place]
    return good, [note_of_bad(list(bad.values()), len(images))]
