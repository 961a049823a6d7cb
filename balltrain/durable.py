"""Writing that a power loss cannot take back: every file that a sweep relies on is written here.

A file system promises little: what was written is on disk once its file was synced, and a new or changed name once
the folder that it is in was synced. Until then a power loss may keep any part of it: one page and not the next, the
new name and not the content. docs/durability.md says what follows from that, and how it is tested.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

# of folders on file systems that do not sync them, such as some network drives
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
_HERE, _EXCHANGE = -100, 2  # Linux: AT_FDCWD, RENAME_EXCHANGE


class Disk:
    """The operations that the rest is made of, one call of the system each. Tests put another in its place."""

    def make_folder(self, path: Path) -> None:
        os.mkdir(path)

    def open(self, path: Path) -> int:
        """Open a file to write to, made where it is not there."""
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)

    def write(self, file: int, content: bytes | memoryview, offset: int) -> int:
        """How many of the bytes were written."""
        return os.pwrite(file, content, offset)

    def truncate(self, file: int, size: int) -> None:
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        os.fdatasync(file) if hasattr(os, "fdatasync") else os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def rename(self, path: Path, to: Path) -> None:
        os.replace(path, to)

    def exchange(self, path: Path, other: Path) -> bool:
        """Each gets the other's name, at once. False where the system or its file system cannot."""
        rename = getattr(ctypes.CDLL(None), "renameat2", None)
        names = os.fsencode(path), os.fsencode(other)
        return rename is not None and rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def remove_folder(self, path: Path) -> None:
        os.rmdir(path)

    def sync_file(self, path: Path) -> None:
        """Sync a file that something else has written."""
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def sync_folder(self, path: Path) -> None:
        """Sync the names in a folder that are new, changed or gone."""
        try:
            self.sync_file(path)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise


disk = Disk()


def make_folder(path: Path) -> None:
    """A folder, and those above it, that are there for good on return."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        try:
            disk.make_folder(folder)
        except FileExistsError:  # by another process at the same time, or a file
            if not folder.is_dir():
                raise
        disk.sync_folder(folder.parent)


def sync_names(path: Path, levels: int) -> None:
    """Sync the names of a folder that is there, and of those above it: a run whose sync failed may have made them."""
    for above in list(path.parents)[:levels]:
        with contextlib.suppress(PermissionError):  # one that is not ours was not made by us
            disk.sync_folder(above)


def replace(path: Path, content: bytes | memoryview) -> None:
    """Give a file other contents: after a power loss it has the old or the new ones, and on return the new ones."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        file = disk.open(temporary)
        try:
            _write_whole(file, content, 0)
            disk.sync(file)
        finally:
            disk.close(file)
        disk.rename(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise
    disk.sync_folder(path.parent)


def rename(path: Path, to: Path) -> None:
    """A file that something else has written gets its final name: whole, and for good on return."""
    disk.sync_file(path)
    disk.rename(path, to)
    disk.sync_folder(to.parent)


class AppendedFile:
    """A file that only grows: what `append` has returned from is on disk.

    `size` and `last` are of what is in the file already: bytes to be kept, the others are cut off, and the last of
    them, which are written once more. A process before this one may have written them and never have synced them; and
    after a sync that failed the system takes them for written, so that to sync again would do nothing.
    """

    def __init__(self, path: Path, size: int = 0, last: bytes = b""):
        self.path, self.size = path, size
        self._file: int | None = disk.open(path)
        try:
            disk.truncate(self._file, size)
            if last:
                _write_whole(self._file, last, size - len(last))
            disk.sync(self._file)
            disk.sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, content: bytes) -> None:
        """Raises OSError where the disk fails. The file is closed then: nobody knows what it has of the content."""
        if self._file is None:
            raise OSError(errno.EIO, "an earlier write failed", str(self.path))
        try:
            _write_whole(self._file, content, self.size)
            disk.sync(self._file)
        except BaseException:
            self.close()
            raise
        self.size += len(content)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            disk.close(file)


def replace_folder(new: Path, path: Path) -> None:
    """Give the name of a folder to another beside it, which is complete; the former is removed.

    A power loss leaves the one or the other, whole. Where the system cannot exchange two names at once
    there is a moment without either, which `recover_folder` mends.
    """
    sync_tree(new)
    if not path.exists():
        disk.rename(new, path)
        disk.sync_folder(path.parent)
    elif disk.exchange(new, path):
        disk.sync_folder(path.parent)
        remove_tree(new)
    else:
        old = _aside(path)
        remove_tree(old)
        disk.rename(path, old)
        disk.rename(new, path)
        disk.sync_folder(path.parent)
        remove_tree(old)


def recover_folder(path: Path) -> None:
    """Put a folder back that `replace_folder` was about to replace when it was cut off."""
    old = _aside(path)
    if not path.exists() and old.exists():
        disk.rename(old, path)
        disk.sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """All files and names below a folder, whoever wrote them."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            disk.sync_file(Path(root) / name)
        disk.sync_folder(Path(root))


def remove_tree(path: Path) -> None:
    """Remove a file or a folder, as far as it can be; a power loss may bring parts of it back."""
    for root, folders, files in os.walk(path, topdown=False):
        for name in (*files, *(name for name in folders if os.path.islink(os.path.join(root, name)))):
            _leniently(disk.remove, Path(root) / name)
        for name in folders:
            _leniently(disk.remove_folder, Path(root) / name)
    if os.path.isdir(path) and not os.path.islink(path):
        _leniently(disk.remove_folder, path)
    else:
        _leniently(disk.remove, path)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _leniently(action: Callable[[Path], None], path: Path) -> None:
    with contextlib.suppress(OSError):
        action(path)


def _write_whole(file: int, content: bytes | memoryview, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = disk.write(file, rest, offset)
        rest, offset = rest[written:], offset + written
