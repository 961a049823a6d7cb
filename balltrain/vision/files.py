"""Folders and zip archives of pictures: one folder a class, or numbered pictures without labels.

Nothing is extracted: a member of an archive is read in memory. Everything that is wrong with a source is a
BalltrainError that names the file.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from balltrain.errors import BalltrainError
from balltrain.pictures import decode_picture

_MAX_PICTURE_BYTES = 100_000_000  # more in one file is not a picture of the kind that is learned from here
_LEFT_BY_FILE_MANAGERS = {"thumbs.db", "desktop.ini", "__macosx"}
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Pictures:
    """Files of a folder or an archive, in a fixed order. `read` gives the bytes of the file of that path."""

    source: Path
    paths: list[PurePosixPath]
    read: Callable[[PurePosixPath], bytes]

    def __len__(self) -> int:
        return len(self.paths)

    def decode(self, images: np.ndarray) -> list[str]:
        """Fill `images` (n, height, width, 3) uint8 in place; returns the names of those that were converted.

        A picture of another kind than RGB or of another size is brought to it. Raises BalltrainError naming a
        file that is no image.
        """
        height, width = images.shape[1:3]

        def decode_one(row: int) -> bool:
            path = self.paths[row]
            images[row], converted = decode_picture(self.read(path), self.name(path), (width, height))
            return converted

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without Python's lock
            converted = list(pool.map(decode_one, range(len(self))))
        return [self.name(path) for path, was in zip(self.paths, converted, strict=True) if was]

    def name(self, path: PurePosixPath) -> str:
        """As a message says it: the path of a file, or archive and member."""
        return f"{self.source}: {path}" if self.source.is_file() else str(self.source / path)


def list_classes(source: Path, classes: Sequence[str], size: int | None = None) -> tuple[Pictures, np.ndarray]:
    """The pictures of an ImageFolder, class by class and by number, and their `labels` (n,) uint8.

    `source` is a folder or zip that holds a folder a class, itself or in one folder below; or a folder with one
    such zip. The case of the folders' names does not matter. `size` takes so many, the first ones of each
    class, equally many of each. Raises BalltrainError where a class is missing, empty or smaller than that.
    """
    pictures = open_pictures(source)
    wanted = {name.lower(): label for label, name in enumerate(classes)}
    roots = {path.parents[1] for path in pictures.paths if path.parent.name.lower() in wanted}
    names = " and ".join(classes)
    if not roots:
        archives = sorted(source.glob("*.zip")) if source.is_dir() else []
        found = [archive for archive in archives if archive.stem.lower() in ("trainset", "train")]
        if len(found) == 1:
            return list_classes(found[0], classes, size)
        raise BalltrainError(f"{source} has no folders {names} with pictures; name the folder or zip that holds them")
    if len(roots) > 1:
        several = ", ".join(sorted(str(root) for root in roots))
        raise BalltrainError(f"{source} has folders {names} in several places ({several}); name one of them")
    (root,) = roots
    of_class: list[list[PurePosixPath]] = [[] for _ in classes]
    for path in pictures.paths:
        if path.parent.parent == root and path.parent.name.lower() in wanted:
            of_class[wanted[path.parent.name.lower()]].append(path)
    for name, paths in zip(classes, of_class, strict=True):
        if not paths:
            raise BalltrainError(f"{source} has no pictures in a folder {name}, but learning takes those of {names}")
    if size is not None:
        of_class = _first_of_each(pictures, classes, of_class, size)
    labels = np.repeat(np.arange(len(classes), dtype=np.uint8), [len(paths) for paths in of_class])
    return Pictures(pictures.source, [path for paths in of_class for path in paths], pictures.read), labels


def by_number(path: PurePosixPath) -> tuple[int | str, ...]:
    """A key that sorts 2.jpg before 10.jpg."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", str(path)))


def open_pictures(source: Path) -> Pictures:
    """What a folder or zip holds, sub-folders too. Raises BalltrainError where it is neither, or a damaged zip."""
    if source.is_dir():
        found = (PurePosixPath(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
        return Pictures(source, _visible(found), lambda path: read_file(source / path))
    if not source.exists():
        raise BalltrainError(f"{source} does not exist; check the path")
    return _open_zip(source)


def _open_zip(source: Path) -> Pictures:
    """Raises BalltrainError for what is no zip or is damaged, and for members that no honest archive holds."""
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, *_DAMAGED_ZIP) as error:
        raise BalltrainError(
            f"{source} is neither a folder nor a whole zip archive ({error}); fetch it again"
        ) from error
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", str(path)):
            raise BalltrainError(f"{source}: member {member.filename} lies outside; do not trust this archive")
        if not member.is_dir():
            members[path] = member

    def read(path: PurePosixPath) -> bytes:
        if members[path].file_size > _MAX_PICTURE_BYTES:
            size = members[path].file_size
            raise BalltrainError(f"{source}: {path} has {size} bytes, too many for a picture; remove it")
        try:
            return archive.read(members[path])
        except (OSError, *_DAMAGED_ZIP) as error:
            raise BalltrainError(f"{source}: {path} is damaged ({error}); fetch the archive again") from error

    return Pictures(source, _visible(members), read)


def read_file(path: Path) -> bytes:
    """Raises BalltrainError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BalltrainError(f"{path} cannot be read: {error.strerror}") from error


def _visible(paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """By number, without hidden files and what file managers leave behind."""
    return sorted(
        (
            path
            for path in paths
            if not any(part.startswith(".") or part.lower() in _LEFT_BY_FILE_MANAGERS for part in path.parts)
        ),
        key=by_number,
    )


def _first_of_each(
    pictures: Pictures, classes: Sequence[str], of_class: list[list[PurePosixPath]], size: int
) -> list[list[PurePosixPath]]:
    """The first classes have one more where `size` does not divide."""
    counts = [size // len(classes) + (label < size % len(classes)) for label in range(len(classes))]
    for name, paths, count in zip(classes, of_class, counts, strict=True):
        if count > len(paths):
            raise BalltrainError(
                f"--size {size} takes {count} of {name}, but {pictures.source} has {len(paths)} of them"
            )
    return [paths[:count] for paths, count in zip(of_class, counts, strict=True)]
