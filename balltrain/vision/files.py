"""Folders and zip archives of pictures: one folder a class, or numbered pictures without labels.

Nothing is extracted: a member of an archive is read in memory. Everything that is wrong with a source is a
BalltrainError that names the file.
"""

from __future__ import annotations

import logging
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np

from balltrain.errors import BalltrainError
from balltrain.folders import files_below
from balltrain.pictures import BadPicture, decode_picture, has_picture_name, why_no_picture

log = logging.getLogger(__name__)

NUM_NAMED = 20  # files in one message
_MAX_PICTURE_BYTES = 100_000_000  # more in one file is not a picture of the kind that is learned from here
_LEFT_BY_FILE_MANAGERS = {"thumbs.db", "desktop.ini", "__macosx"}
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Pictures:
    """Files of a folder or an archive, in a fixed order. `read` gives the bytes of the file of that path."""

    source: Path
    paths: list[PurePosixPath]
    read: Callable[[PurePosixPath], bytes]
    others: tuple[PurePosixPath, ...] = ()  # beside them, which are no pictures

    def __len__(self) -> int:
        return len(self.paths)

    def decode(self, images: np.ndarray) -> tuple[list[str], dict[int, BadPicture]]:
        """Fill `images` (n, height, width, 3) uint8 in place; returns the names of those that were converted.

        A picture of another kind than RGB or of another size is brought to it. And what is wrong with those that
        cannot be read, by row: their rows are not filled.
        """
        height, width = images.shape[1:3]

        def decode_one(row: int) -> bool | BadPicture:
            path = self.paths[row]
            try:
                images[row], converted = decode_picture(self.read(path), self.name(path), (width, height))
            except BadPicture as error:
                return error
            return converted

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without Python's lock
            found = list(pool.map(decode_one, range(len(self))))
        names = [self.name(path) for path, was in zip(self.paths, found, strict=True) if was is True]
        return names, {row: error for row, error in enumerate(found) if isinstance(error, BadPicture)}

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
    others = []
    for path in pictures.paths:
        folder, *below = path.relative_to(root).parts if path.is_relative_to(root) else ("",)
        if folder.lower() not in wanted or not below:
            continue
        if len(below) == 1 and _looks_like_a_picture(pictures, path):
            of_class[wanted[folder.lower()]].append(path)
        else:
            others.append(path)
    for name, paths in zip(classes, of_class, strict=True):
        if not paths:
            raise BalltrainError(f"{source} has no pictures in a folder {name}, but learning takes those of {names}")
    if size is not None:
        of_class = _first_of_each(pictures, classes, of_class, size)
    labels = np.repeat(np.arange(len(classes), dtype=np.uint8), [len(paths) for paths in of_class])
    chosen = [path for paths in of_class for path in paths]
    return Pictures(pictures.source, chosen, pictures.read, tuple(others)), labels


def refuse_bad(bad: Sequence[BadPicture], total: int) -> NoReturn:
    """Raises BalltrainError that names all of them."""
    if len(bad) == 1:
        raise BalltrainError(f"{bad[0]}; remove it, or leave it out by --skip-bad")
    raise BalltrainError(
        f"{_counted(bad, total)} cannot be read: {_named(bad)}; remove them, or leave them out by --skip-bad"
    )


def note_of_bad(bad: Sequence[BadPicture], total: int) -> str:
    """What is said where they are left out."""
    return f"{_counted(bad, total)} cannot be read and {_are(bad)} left out: {_named(bad)}"


def note_of_others(pictures: Pictures) -> list[str]:
    """What is said of files beside the pictures; nothing where there are none."""
    others = pictures.others
    if not others:
        return []
    names = ", ".join(map(str, others[:NUM_NAMED])) + (
        f" and {len(others) - NUM_NAMED} more" * (len(others) > NUM_NAMED)
    )
    what = "is no picture of a class" if len(others) == 1 else "are no pictures of a class"
    return [f"{pictures.source}: {len(others)} of the files {what} and {_are(others)} left out: {names}"]


def _counted(bad: Sequence[BadPicture], total: int) -> str:
    return f"{len(bad)} of {total} pictures"


def _are(some: Sequence[object]) -> str:
    return "is" if len(some) == 1 else "are"


def _named(bad: Sequence[BadPicture]) -> str:
    """Each with its reason; many are logged, each in its line, and the first of them named."""
    if len(bad) > NUM_NAMED:
        for each in bad:
            log.warning(str(each))
    first = ", ".join(f"{each.name} ({each.reason})" for each in bad[:NUM_NAMED])
    return first if len(bad) <= NUM_NAMED else f"{first} and {len(bad) - NUM_NAMED} more, which are listed above"


def by_number(path: PurePosixPath) -> tuple[int | str, ...]:
    """A key that sorts 2.jpg before 10.jpg."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", str(path)))


def open_pictures(source: Path) -> Pictures:
    """What a folder or zip holds, sub-folders and linked ones too.

    Raises BalltrainError where it is neither, or a damaged zip.
    """
    if source.is_dir():
        found = (PurePosixPath(path.relative_to(source)) for path in files_below(source))
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
            raise BadPicture(f"{source}: {path}", f"it has {size} bytes, too many for a picture")
        try:
            return archive.read(members[path])
        except (OSError, *_DAMAGED_ZIP) as error:
            raise BadPicture(f"{source}: {path}", f"it is damaged ({error}): fetch the archive again") from error

    return Pictures(source, _visible(members), read)


def read_file(path: Path) -> bytes:
    """Raises BadPicture where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadPicture(path, str(error.strerror)) from error


def _looks_like_a_picture(pictures: Pictures, path: PurePosixPath) -> bool:
    """By its name; else by its beginning, as some sets have names without a suffix."""
    try:
        return has_picture_name(path) or why_no_picture(pictures.read(path)) is None
    except BadPicture:
        return False


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
