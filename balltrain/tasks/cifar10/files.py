"""Finding the batches of CIFAR-10: in its archive, a zip of it, their folder, or a folder around one of these.

Nothing is extracted: a member of an archive is read in memory.
"""

from __future__ import annotations

import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO

from balltrain.errors import BalltrainError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
BATCHES = (*TRAIN_BATCHES, TEST_BATCH)
META = "batches.meta"

MAX_DEPTH = 3  # folders below the source in which batches are looked for
# what the readers of archives raise where one is damaged, encrypted or compressed in a way that they do not know
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError),
    *(OSError, NotImplementedError, RuntimeError),
)


def read_files(source: Path) -> dict[str, bytes]:
    """The content of each batch by its name, and of `batches.meta` where it is there.

    `source` is the archive or a zip of it, or a folder that holds the batches or one such archive, itself or some
    folders below. Raises BalltrainError where a batch is missing or there are several sets of them, an archive is
    damaged, or a member of it is a link or lies outside.
    """
    if not source.exists():
        raise BalltrainError(f"{source} does not exist: check the path")
    if not source.is_dir():
        return _read_archive(source)
    found = [PurePosixPath(path.relative_to(source)) for path in _files_below(source)]
    if any(path.name in TRAIN_BATCHES for path in found):
        return _read_set(found, source, lambda path: _read_file(source / path))
    archives = [path for path in found if path.name == ARCHIVE] or [path for path in found if path.suffix == ".zip"]
    if len(archives) > 1:
        raise BalltrainError(f"{source} holds several archives ({_names(archives)}): give one of them")
    if not archives:
        raise BalltrainError(f"{source} holds neither {FOLDER} nor {ARCHIVE}, nor a zip of them")
    return _read_archive(source / archives[0])


def _files_below(source: Path) -> list[Path]:
    """Visible files, in linked folders too, down to `MAX_DEPTH` folders below."""
    found = []
    for folder, below, files in os.walk(source, followlinks=True):
        depth = len(Path(folder).relative_to(source).parts)
        below[:] = sorted(name for name in below if depth < MAX_DEPTH and not name.startswith("."))
        found += [Path(folder) / name for name in sorted(files) if not name.startswith(".")]
    return found


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BalltrainError(f"cannot read {path}: {error.strerror or error}") from error


def _read_archive(path: Path) -> dict[str, bytes]:
    try:
        with open(path, "rb") as file:
            return _read_zip(file, path) if zipfile.is_zipfile(file) else _read_tar(file, path)
    except _DAMAGED as error:
        reason = str(error).partition(":")[0]  # tarfile lists what each compression says, a line each
        raise BalltrainError(f"{path} is no tar or zip archive, or is truncated or damaged: {reason}") from error


def _read_tar(file: IO[bytes], path: Path) -> dict[str, bytes]:
    files = {}
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:  # in the order of the archive: to go back would decompress it again
            inside = _inside(path, member.name, is_link=member.issym() or member.islnk())
            if inside.name in (*BATCHES, META) and member.isfile() and (opened := archive.extractfile(member)):
                files[inside] = opened.read()
    return _read_set(files, path, files.__getitem__)


def _read_zip(file: IO[bytes], path: Path) -> dict[str, bytes]:
    """Of the batches in it, or of the official archive in it, which is how some sites hand it out."""
    with zipfile.ZipFile(file) as archive:
        members = {}
        for member in archive.infolist():
            name = member.filename.replace("\\", "/")
            members[_inside(path, name, is_link=stat.S_ISLNK(member.external_attr >> 16))] = member
        inner = [member for inside, member in members.items() if inside.name == ARCHIVE]
        if len(inner) == 1 and not any(inside.name in BATCHES for inside in members):
            return _read_tar(io.BytesIO(archive.read(inner[0])), path)
        return _read_set(members, path, lambda inside: archive.read(members[inside]))


def _inside(path: Path, name: str, *, is_link: bool) -> PurePosixPath:
    """Where a member lies. Raises BalltrainError for one that no honest archive holds."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or re.match(r"[A-Za-z]:", name):
        raise BalltrainError(f"{path} is refused: its member {name} lies outside")
    if is_link:
        raise BalltrainError(f"{path} is refused: its member {name} is a link")
    return inside


def _read_set(
    paths: Iterable[PurePosixPath], source: Path, read: Callable[[PurePosixPath], bytes]
) -> dict[str, bytes]:
    """The one set of batches among the paths. Raises BalltrainError where it is not whole, or there are several."""
    there = set(paths)
    folders = sorted({path.parent for path in there if path.name in BATCHES})
    if len(folders) > 1:
        raise BalltrainError(f"{source} holds batches in several places ({_names(folders)}): name one of them")
    folder = folders[0] if folders else PurePosixPath()
    missing = [name for name in BATCHES if folder / name not in there]
    if missing:
        raise BalltrainError(f"{source} has no {', '.join(missing)}: it should hold {FOLDER}, complete")
    return {name: read(folder / name) for name in (*BATCHES, META) if folder / name in there}


def _names(paths: Iterable[PurePosixPath]) -> str:
    return ", ".join(sorted(str(path) for path in paths))
