"""Pictures and labels of CIFAR-10: of the archive, or of the folder that it holds. Nothing is extracted."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from balltrain.errors import BalltrainError
from balltrain.tasks.base import Arrays, DataRequest
from balltrain.tasks.cifar10.unpickle import unpickle
from balltrain.tasks.splits import SPLITS

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32  # pixels
FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
META = "batches.meta"

VALIDATION_SHARE = 0.1  # of the training batches
SAMPLE_PICTURES = 1000  # of the training split, for the facts: a million pixels for a few numbers


def prepare(request: DataRequest, arrays: Arrays) -> dict[str, Any]:
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
    split[:num_train] = draw_validation(num_train, request.seed)
    arrays["split"] = split
    sample = images[np.flatnonzero(split == SPLITS.index("train"))[:SAMPLE_PICTURES]] / 255
    mean = sample.mean(axis=(0, 1, 2))
    std = np.maximum(sample.std(axis=(0, 1, 2)), 1 / 255)  # of pictures in one colour, 0 otherwise
    whitening = whitening_of((sample - mean) / std)
    return {"mean": mean.tolist(), "std": std.tolist(), "whitening": whitening.tolist()}


def draw_validation(num_items: int, seed: int) -> np.ndarray:
    """(num_items,) uint8: 1 for the tenth that validates, drawn with the seed, else 0. At least one of two."""
    split = np.full(num_items, SPLITS.index("train"), np.uint8)
    num_val = max(1, round(num_items * VALIDATION_SHARE)) if num_items > 1 else 0
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


def read_files(source: Path) -> dict[str, bytes]:
    """The content of each batch by its name, and of `batches.meta` where it is there.

    `source` is the archive, its folder, or a folder that holds one of both. Raises BalltrainError where a batch is
    missing, the archive is truncated, or a member is a link or lies outside.
    """
    if source.is_dir():
        for folder in (source, source / FOLDER):
            if (folder / TRAIN_BATCHES[0]).exists():
                return _read_folder(folder)
        if not (source / ARCHIVE).is_file():
            raise BalltrainError(f"{source} holds neither {FOLDER} nor {ARCHIVE}")
        source = source / ARCHIVE
    return _read_archive(source)


def _read_folder(folder: Path) -> dict[str, bytes]:
    files = {}
    for name in (*TRAIN_BATCHES, TEST_BATCH, META):
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BalltrainError(f"cannot read {folder / name}: {error.strerror or error}") from error
    return _complete(files, folder)


def _read_archive(path: Path) -> dict[str, bytes]:
    files = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise BalltrainError(f"{path} is refused: its member {member.name} lies outside")
                if member.issym() or member.islnk():
                    raise BalltrainError(f"{path} is refused: its member {member.name} is a link")
                wanted = name.name in (*TRAIN_BATCHES, TEST_BATCH, META) and member.isfile()
                if wanted and (file := archive.extractfile(member)) is not None:
                    files[name.name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        reason = str(error).partition(":")[0]  # tarfile lists what each compression says, a line each
        raise BalltrainError(f"{path} is no tar archive, or is truncated or damaged: {reason}") from error
    return _complete(files, path)


def _complete(files: dict[str, bytes], source: Path) -> dict[str, bytes]:
    missing = [name for name in (*TRAIN_BATCHES, TEST_BATCH) if name not in files]
    if missing:
        raise BalltrainError(f"{source} has no {', '.join(missing)}: it should hold {FOLDER}, complete")
    return files


def read_batch(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) uint8 and labels (n,) uint8 of a batch. Raises BalltrainError where it is wrong.

    The format is that of https://www.cs.toronto.edu/~kriz/cifar.html: `data` (n, 3072) uint8, the red, green and
    blue values of a picture one after the other, row by row, and `labels`, a list of n numbers.
    """
    batch = _dict_of(content, name)
    for key in ("data", "labels"):
        if key not in batch:
            raise BalltrainError(f"{name} has no {key!r}: it holds {', '.join(map(str, batch)) or 'nothing'}")
    data, labels = batch["data"], _labels_of(batch["labels"], name)
    shape, dtype = getattr(data, "shape", None), getattr(data, "dtype", None)
    if dtype != np.uint8 or shape != (len(labels), 3 * SIDE * SIDE):
        what = f"{shape} {dtype}" if shape is not None else type(data).__name__
        raise BalltrainError(f"{name}: data is {what}, but should be ({len(labels)}, {3 * SIDE * SIDE}) uint8")
    return data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels


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
    if not isinstance(found, list) or not all(isinstance(label, int) for label in found):
        raise BalltrainError(f"{name}: labels should be a list of whole numbers")
    wrong = [label for label in found if not 0 <= label < len(CLASSES)]
    if wrong:
        raise BalltrainError(f"{name}: label {wrong[0]} is outside 0 to {len(CLASSES) - 1}")
    return np.array(found, np.uint8)


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
