"""Pictures and labels of CIFAR-10: of the archive, or of the folder that it holds. Nothing is extracted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from balltrain.errors import BalltrainError
from balltrain.tasks.base import Arrays, DataOptions, DataRequest
from balltrain.tasks.cifar10.files import META, TEST_BATCH, TRAIN_BATCHES, read_files
from balltrain.tasks.cifar10.unpickle import unpickle
from balltrain.tasks.splits import SPLITS

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32  # pixels

VALIDATION_SHARE = 0.1  # of the training batches, unless told how many
SAMPLE_PICTURES = 1000  # of the training split, for the facts: a million pixels for a few numbers


class Cifar10Options(DataOptions):
    """`validation` of the pictures of the training batches validate; the original work's were 8000 of 50 000."""

    validation: int | None = Field(None, ge=1, description="pictures that validate; a tenth unless told")


def prepare(request: DataRequest, options: Cifar10Options, arrays: Arrays) -> dict[str, Any]:
    """Arrays `images` (n, 32, 32, 3) uint8, `label` (n,) uint8, and `split`: the test batch is the test split.

    `request.size` takes so many pictures in all, the first of the training and of the test batches, in the
    proportion in which they are there. The facts are of a sample of the training split: `mean` and `std` (3,) of its
    values from 0 to 1, and `whitening` (12, 12), see `whitening_of`.
    """
    assert request.source is not None  # a task with a download is not asked without
    source = Path(request.source)
    files = read_files(source)
    batches = [read_batch(files[name], f"{source}: {name}") for name in (*TRAIN_BATCHES, TEST_BATCH)]
    if META in files:
        check_classes(files[META], f"{source}: {META}")
    num_test = len(batches[-1][1])
    num_train = sum(len(labels) for _, labels in batches[:-1])
    if num_train == 0:
        raise BalltrainError(f"{source} has no training pictures: its batches are empty")
    if request.size is not None:
        num_train, num_test = share_out(request.size, num_train, num_test, source)

    pictures, labels = (np.concatenate(parts) for parts in zip(*batches[:-1], strict=True))
    images = arrays.create("images", (num_train + num_test, SIDE, SIDE, 3), np.uint8)
    images[:num_train] = pictures[:num_train]
    images[num_train:] = batches[-1][0][:num_test]
    arrays["label"] = np.concatenate([labels[:num_train], batches[-1][1][:num_test]])
    split = np.full(num_train + num_test, SPLITS.index("test"), np.uint8)
    split[:num_train] = draw_validation(num_train, options.validation, request.seed)
    arrays["split"] = split
    sample = images[np.flatnonzero(split == SPLITS.index("train"))[:SAMPLE_PICTURES]] / 255
    mean = sample.mean(axis=(0, 1, 2))
    std = np.maximum(sample.std(axis=(0, 1, 2)), 1 / 255)  # of pictures in one colour, 0 otherwise
    whitening = whitening_of((sample - mean) / std)
    return {"mean": mean.tolist(), "std": std.tolist(), "whitening": whitening.tolist()}


def draw_validation(num_items: int, num_val: int | None, seed: int) -> np.ndarray:
    """(num_items,) uint8: 1 for the `num_val` that validate, a tenth unless told, drawn with the seed; else 0.

    At least one of two. Raises BalltrainError where they would leave none to train on.
    """
    if num_val is None:
        num_val = max(1, round(num_items * VALIDATION_SHARE)) if num_items > 1 else 0
    elif num_val >= num_items:
        raise BalltrainError(
            f"validation = {num_val} leaves no picture to train on: there are {num_items} that are not of the test "
            f"batch; give at most {num_items - 1}"
        )
    split = np.full(num_items, SPLITS.index("train"), np.uint8)
    split[np.random.default_rng([seed, num_items]).permutation(num_items)[:num_val]] = SPLITS.index("val")
    return split


def share_out(size: int, num_train: int, num_test: int, source: Path) -> tuple[int, int]:
    """How many of `size` pictures are of the training batches, and how many of the test batch."""
    if size > num_train + num_test:
        raise BalltrainError(f"{source} holds {num_train + num_test} pictures, but --size is {size}")
    test = min(size - 1, max(1, round(size * num_test / (num_train + num_test)))) if size > 1 else 0
    return size - test, test


def whitening_of(images: np.ndarray) -> np.ndarray:
    """(12, 12) float64: filters on 2x2 patches, flattened as (3, 2, 2), whose outputs do not covary, with variance 1.

    The eigenvectors of the patches' covariance, divided by the roots of their eigenvalues (ZCA without the last
    rotation), as Keller Jordan's airbench (arXiv 2404.00498) has them in its first layer. `images` are
    (n, 32, 32, 3), normalised.
    """
    patches = np.lib.stride_tricks.sliding_window_view(images.astype(np.float32), (2, 2), axis=(1, 2))
    flat = patches.reshape(-1, 12)  # of (n, 31, 31, 3, 2, 2)
    variances, vectors = np.linalg.eigh(np.cov(flat, rowvar=False, dtype=np.float64))
    # 5e-4 is airbench's: without it, directions that hold nothing but rounding would be blown up
    filters: np.ndarray = (vectors / np.sqrt(np.maximum(variances, 0) + 5e-4)).T
    return filters


def read_batch(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) uint8 and labels (n,) uint8 of a batch. Raises BalltrainError where it is wrong.

    The format is that of https://www.cs.toronto.edu/~kriz/cifar.html: `data` (n, 3072) uint8, the red, green and
    blue values of a picture one after the other, row by row, and `labels`, a list of n numbers. Integers of any
    other kind, as programs that pack it anew write them, are read too.
    """
    batch = _dict_of(content, name)
    for key in ("data", "labels"):
        if key not in batch:
            raise BalltrainError(f"{name} has no {key!r}: it holds {', '.join(map(str, batch)) or 'nothing'}")
    data, labels = batch["data"], _labels_of(batch["labels"], name)
    is_array = isinstance(data, np.ndarray)
    if not is_array or data.dtype.kind not in "iu" or data.shape != (len(labels), 3 * SIDE * SIDE):
        what = f"{data.shape} {data.dtype}" if is_array else type(data).__name__
        raise BalltrainError(f"{name}: data is {what}, but should be ({len(labels)}, {3 * SIDE * SIDE}) uint8")
    if data.size and (data.min() < 0 or data.max() > 255):
        raise BalltrainError(f"{name}: data has values from {data.min()} to {data.max()}, but should have 0 to 255")
    return data.astype(np.uint8, copy=False).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def check_classes(content: bytes, name: str) -> None:
    """Raises BalltrainError where `batches.meta` names other classes, or in another order."""
    found = _dict_of(content, name).get("label_names")
    names = tuple(_text(value) for value in found) if isinstance(found, list | tuple) else ()
    if names != CLASSES:
        raise BalltrainError(f"{name}: label_names are {', '.join(names) or found}, not those of CIFAR-10")


def _dict_of(content: bytes, name: str) -> dict[str, Any]:
    batch = unpickle(content, name)
    if not isinstance(batch, dict):
        raise BalltrainError(f"{name} holds {type(batch).__name__}, but should hold a dict")
    return {_text(key): value for key, value in batch.items()}


def _labels_of(found: Any, name: str) -> np.ndarray:
    if isinstance(found, np.ndarray):
        found = found.tolist()
    if not isinstance(found, list | tuple) or not all(isinstance(label, int) for label in found):
        raise BalltrainError(f"{name}: labels should be a list of whole numbers")
    wrong = [label for label in found if not 0 <= label < len(CLASSES)]
    if wrong:
        raise BalltrainError(f"{name}: label {wrong[0]} is outside 0 to {len(CLASSES) - 1}")
    return np.array(found, np.uint8)


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
