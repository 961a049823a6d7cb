"""Datasets decoded once a node: arrays on disk in a cache folder, mapped by every trial.

    <data_dir>/<task>/<key>/<array>.npy …  manifest.json

A folder is built under a lock beside its final place, its manifest last, and renamed once all of it is on disk: a
folder that has its final name is whole. One that is damaged all the same is built anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

from balltrain import durable
from balltrain.data.download import downloaded
from balltrain.data.sources import FORMAT, Made, made_of
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Task
from balltrain.tasks.plain import plain_facts
from balltrain.tasks.splits import SPLITS, draw_folds, draw_splits
from balltrain.tasks.user_code import told_as_users

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Dataset:
    """Arrays of a task's data, mapped read-only, with the rows of each split.

    `fingerprint` is the SHA-256 of the arrays' bytes: equal fingerprints are equal data.
    """

    folder: Path
    request: DataRequest
    facts: dict[str, Any]
    fingerprint: str
    arrays: dict[str, np.ndarray]
    groups: np.ndarray  # (n,): rows of one group stay in one split
    splits: dict[str, np.ndarray]  # "train", "val", "test", "all" to (n,) int64 row numbers

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def fold(self, number: int, num_folds: int) -> Dataset:
        """This data with another split into train and val: fold `number`, from 0, validates. `test` stays.

        Raises UsageError where there are fewer groups than folds.
        """
        rows = np.sort(np.concatenate([self.splits["train"], self.splits["val"]]))
        groups = self.groups[rows]
        if len(np.unique(groups)) < num_folds:
            raise UsageError(
                f"{num_folds} folds need as many groups of items, but there are {len(np.unique(groups))}"
            )
        folds = draw_folds(groups, num_folds, self.request.seed)
        splits = {**self.splits, "train": rows[folds != number], "val": rows[folds == number]}
        return dataclasses.replace(self, splits=splits)

    def release_pages(self) -> None:
        """Give mapped pages back: they stay in the system's page cache, but stop counting as this process's."""
        for array in self.arrays.values():
            mapped = getattr(array, "_mmap", None)
            if mapped is not None:
                mapped.madvise(mmap.MADV_DONTNEED)


def default_data_dir() -> Path:
    return user_cache_path("balltrain")


def data_key(ref: TaskRef, task: Task, request: DataRequest) -> str:
    """Name of the cache folder for a request.

    Raises UsageError where the task's data has no such options.
    """
    return made_of(ref, task, request).key


def load_data(
    ref: TaskRef,
    task: Task,
    request: DataRequest,
    data_dir: Path | str | None = None,
    key: str | None = None,
    *,
    fetch: bool = False,
    anew: bool = False,
) -> Dataset:
    """The task's data from the cache, built first where it is not there yet, or where its files have changed.

    A trial passes the `key` that the sweep computed, so that it need not list the source's files again. `fetch`
    allows to download what a task has public and no source was given for; else it has to be there. `anew` builds it
    in any case.
    Raises BalltrainError where the source is wrong or the cache folder has no room or cannot be written.
    """
    parent = task_folder(task, data_dir)
    made = made_of(ref, task, request) if key is None else None
    folder = parent / (made.key if made is not None else str(key))
    found = None if anew else _current(folder, made)
    if found is not None:
        return found
    source = request.source
    if source is None and task.download is not None:
        source = str(downloaded(task.download, parent, task.name, fetch=fetch))
    _build(task, request, source, folder, made, anew)
    return open_dataset(folder)


def task_folder(task: Task, data_dir: Path | str | None) -> Path:
    """Where the cache has the data of a task."""
    return Path(data_dir or default_data_dir()) / task.name


def find_data(parent: Path, fingerprint: str) -> Dataset | None:
    """Data of a task's folder in the cache that is the same, byte for byte, whatever it was made of."""
    for manifest in sorted(parent.glob(f"*/{MANIFEST}")):
        is_being_built = manifest.parent.name.startswith(".")
        if not is_being_built and _manifest(manifest.parent).get("fingerprint") == fingerprint:
            return open_dataset(manifest.parent)
    return None


def has_changed(dataset: Dataset, ref: TaskRef, task: Task, request: DataRequest) -> bool:
    """Whether the files that data was made of are others by now, as far as it is known."""
    made = made_of(ref, task, request)
    return bool(_manifest(dataset.folder).get("files", made.files) != made.files)


def open_dataset(folder: Path) -> Dataset:
    """Map a folder of the cache. Raises BalltrainError where it was damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in manifest["arrays"]}
        request = DataRequest(**manifest["request"])
        facts, fingerprint = manifest["facts"], manifest["fingerprint"]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BalltrainError(f"the data in {folder} is damaged ({error}): delete that folder") from error
    rows = arrays.pop("split")
    groups = arrays.pop("group", np.arange(len(rows)))  # no batch needs it
    splits = {name: np.flatnonzero(rows == number) for number, name in enumerate(SPLITS)}
    splits["all"] = np.arange(len(rows))
    return Dataset(folder, request, facts, fingerprint, arrays, groups, splits)


class ArrayFolder:
    """The `Arrays` that `Task.prepare` fills: each one a `.npy` file."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.arrays: dict[str, np.ndarray] = {}

    def create(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        native = _checked(name, shape, dtype)
        path = self.folder / f"{name}.npy"
        path.unlink(missing_ok=True)  # an array that is made again: what maps the old one keeps it
        num_bytes = int(np.prod(shape)) * native.itemsize
        try:
            with open(path, "wb") as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": native.str, "fortran_order": False, "shape": tuple(shape)}
                )
                # a mapped file that the disk has no room for ends the process; this raises ENOSPC instead
                if num_bytes:
                    os.posix_fallocate(file.fileno(), file.tell(), num_bytes)
        except OSError as error:
            raise _cannot_write(self.folder.parent, error) from error
        self.arrays[name] = np.load(path, mmap_mode="r+")
        return self.arrays[name]

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        self.create(name, array.shape, array.dtype)[...] = array


def _current(folder: Path, made: Made | None) -> Dataset | None:
    """The data, where it is there, whole, and of the files as they are; of an early version's only the first two."""
    manifest = _manifest(folder)
    if not manifest or (made is not None and manifest.get("changed", made.changed) != made.changed):
        return None
    try:
        return open_dataset(folder)
    except BalltrainError:
        return None


def _manifest(folder: Path) -> dict[str, Any]:
    """Empty where there is none, or one that is damaged."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _checked(name: str, shape: tuple[int, ...], dtype: Any) -> np.dtype[Any]:
    """The dtype in this machine's byte order. Raises BalltrainError for an array that batches cannot be made of."""
    native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    if not isinstance(name, str) or not name or name != os.path.basename(name) or name.startswith("."):
        raise BalltrainError(f"prepare: the array {name!r} has no name that can be a file's: give it another")
    if native.kind not in "biufc" or native.itemsize > (16 if native.kind == "c" else 8):
        raise BalltrainError(
            f"prepare: the array {name} has the dtype {native}, which torch does not have: "
            "make it numbers, such as .astype(np.float32), or the numbers of its categories"
        )
    if len(shape) == 0:
        raise BalltrainError(f"prepare: the array {name} is a single number, but must have one item a row")
    return native


def _build(task: Task, request: DataRequest, source: str | None, folder: Path, made: Made | None, anew: bool) -> None:
    try:
        durable.make_folder(folder.parent)
        with FileLock(f"{folder}.lock"):
            durable.recover_folder(folder)
            if anew or _current(folder, made) is None:
                _build_locked(task, request, source, folder, made)
    except OSError as error:
        raise _cannot_write(folder.parent, error) from error


def _cannot_write(folder: Path, error: OSError) -> BalltrainError:
    return BalltrainError(
        f"cannot write the data to {folder}: {error.strerror or error}; "
        "free some space or choose another folder with --data-dir"
    )


def _build_locked(task: Task, request: DataRequest, source: str | None, folder: Path, made: Made | None) -> None:
    for left in (*folder.parent.glob(f".{folder.name}.building-*"), *folder.parent.glob(f"{folder.name}.building-*")):
        durable.remove_tree(left)  # by a process that was killed: nobody else builds it now
    building = folder.with_name(f".{folder.name}.building-{os.getpid()}")
    try:
        durable.make_folder(building)
        manifest = _prepared(task, request, source, building, made)
        durable.replace(building / MANIFEST, json.dumps(manifest, indent=1).encode())
        durable.replace_folder(building, folder)  # what maps the old files keeps them
    finally:
        durable.remove_tree(building)


def _prepared(
    task: Task, request: DataRequest, source: str | None, building: Path, made: Made | None
) -> dict[str, Any]:
    """The task's arrays, written into a folder, and what its manifest says."""
    writer = ArrayFolder(building)
    with told_as_users():  # an OSError of a user's code is no full disk
        facts = task.prepare(dataclasses.replace(request, source=source), writer)
    lengths = {name: len(array) for name, array in writer.arrays.items()}
    if not lengths or len(set(lengths.values())) != 1:
        raise BalltrainError(f"task {task.name} prepared arrays of different lengths: {lengths}")
    if "split" not in writer.arrays:
        count = next(iter(lengths.values()))
        writer["split"] = draw_splits(count, request.seed, writer.arrays.get("group"))
    for array in writer.arrays.values():
        array.flush()  # type: ignore[attr-defined]  # a np.memmap, which np.load's type leaves out
    return {
        "format": FORMAT,
        "request": request.to_dict(),
        "facts": plain_facts(facts),
        "arrays": sorted(writer.arrays),
        "fingerprint": _fingerprint(writer.arrays),
        **({} if made is None else {"files": made.files, "changed": made.changed}),
    }


def _fingerprint(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
