"""A disk that forgets what was not synced, fills up, fails to sync, and on which a process may die at any operation.

It works on files of this machine's memory, so that what reads them needs no other disk. Of unsynced bytes a power
loss keeps any part; of a failed sync the system takes the bytes for written, and a later one does nothing for them.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from balltrain import durable

PAGE = 4096


class Killed(BaseException):
    """The process died at an operation on its files."""


@dataclass
class _Write:
    """Bytes from `start` to `stop` that a power loss may take, of a file that had `size` bytes and these before."""

    start: int
    stop: int
    before: bytes
    size: int
    is_forgotten: bool = False  # by a sync that failed


class ForgettingDisk(durable.Disk):
    """`fuse` counts operations down to one before which, or in the middle of which, the process dies."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.is_full = self.fails_to_sync = self.is_dead = False
        self.fuse: int | None = None
        self._paths: dict[int, Path] = {}
        self._writes: dict[Path, list[_Write]] = {}
        self._names: list[tuple[Path, Callable[[], None]]] = []  # folders, and what undoes a change in them

    def lose_power(self) -> None:
        """Take back of what was not synced any part."""
        for _, undo in reversed(self._names):
            if self.rng.random() < 0.5:
                undo()
        self._names.clear()
        for path, writes in self._writes.items():
            for write in reversed(writes):
                if path.exists():
                    self._take_back(path, write)
        self._writes.clear()

    def revive(self) -> None:
        """Another process begins."""
        self.is_dead, self.fuse = False, None

    def make_folder(self, path: Path) -> None:
        if self._lives():
            super().make_folder(path)

    def open(self, path: Path) -> int:
        if self._lives() and not path.exists():
            self._names.append((path.parent, lambda: path.unlink(missing_ok=True)))
        file = super().open(path)
        self._paths[file] = path
        return file

    def write(self, file: int, content: bytes | memoryview, offset: int) -> int:
        dies = self.fuse == 1 and not self.is_dead
        if not dies and not self._lives():
            return len(content)
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        if dies:
            content = content[: self.rng.randrange(len(content) + 1)]
        size = os.fstat(file).st_size
        before = os.pread(file, len(content), offset) if offset < size else b""
        written = super().write(file, content, offset)
        self._writes.setdefault(self._paths[file], []).append(_Write(offset, offset + written, before, size))
        if dies:
            self._die()
        return written

    def truncate(self, file: int, size: int) -> None:
        if self._lives() and (has := os.fstat(file).st_size) > size:
            path = self._paths[file]
            self._writes.setdefault(path, []).append(_Write(size, has, os.pread(file, has - size, size), has))
            super().truncate(file, size)

    def sync(self, file: int) -> None:
        self.sync_file(self._paths[file])

    def sync_file(self, path: Path) -> None:
        if not self._lives():
            return
        writes = self._writes.pop(path, [])
        if self.fails_to_sync:
            self.fails_to_sync = False
            for write in writes:
                write.is_forgotten = True
            self._writes[path] = writes
            raise OSError(errno.EIO, "Input/output error")
        synced = [write for write in writes if not write.is_forgotten]
        left = [
            w for w in writes if w.is_forgotten and not any(s.start <= w.start and s.stop >= w.stop for s in synced)
        ]
        if left:
            self._writes[path] = left

    def sync_folder(self, path: Path) -> None:
        if self._lives():
            self._names = [(folder, undo) for folder, undo in self._names if folder != path]

    def close(self, file: int) -> None:
        self._paths.pop(file, None)
        super().close(file)

    def rename(self, path: Path, to: Path) -> None:
        if not self._lives():
            return
        before = to.read_bytes() if to.exists() else None
        super().rename(path, to)
        self._writes[to] = self._writes.pop(path, [])

        def undo() -> None:
            to.unlink() if before is None else to.write_bytes(before)

        self._names.append((to.parent, undo))

    def remove(self, path: Path) -> None:
        if self._lives():
            super().remove(path)

    def remove_folder(self, path: Path) -> None:
        if self._lives():
            super().remove_folder(path)

    def _lives(self) -> bool:
        """Whether the operation is done: what is left to do for a dead process is not. Raises where it dies now."""
        if self.fuse is not None and not self.is_dead:
            self.fuse -= 1
            if self.fuse <= 0:
                self._die()
        return not self.is_dead

    def _die(self) -> None:
        self.is_dead = True
        raise Killed

    def _take_back(self, path: Path, write: _Write) -> None:
        content = bytearray(path.read_bytes())
        before = write.before.ljust(write.stop - write.start, b"\0")
        if len(content) < write.size:  # it was cut off: perhaps it was not
            if self.rng.random() < 0.5:
                content += before[len(content) - write.start :]
        elif not write.before and write.stop >= len(content) and self.rng.random() < 0.5:
            del content[self.rng.randrange(write.start, write.stop + 1) :]  # the file is shorter
        else:
            stop = min(write.stop, len(content))
            for start in range(write.start, stop, PAGE):
                if self.rng.random() < 0.5:
                    end = min(start + PAGE, stop)
                    content[start:end] = before[start - write.start : end - write.start]
        path.write_bytes(content)
