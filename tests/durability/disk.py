"""A disk that notes what is done to it, and all that a power loss may leave of it.

The rules are POSIX's, at their worst: of what was written since a file was synced any page may be there or not, its
size without its content too; of names that are new, changed or gone since their folder was synced any subset holds.
A rename is one change, also where it touches two names. What was synced stays.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balltrain import durable

PAGE = 4096
ROOT = 0
MOST_SUBSETS = 16  # of names, at one moment; beyond it a sample


@dataclass(frozen=True)
class Op:
    """One operation. `names` are changes in folders that happen at once: (folder, name, what it names or None)."""

    kind: str  # write, truncate, sync, forget, folder, names, sync_folder, fact
    node: int = ROOT
    offset: int = 0
    content: bytes = b""
    names: tuple[tuple[int, str, int | None], ...] = ()
    fact: Any = None  # what somebody has been told, from here on


class Recorder(durable.Disk):
    """Works on a folder of this machine, and notes each operation below it. Syncs nothing: it is quicker."""

    def __init__(self, root: Path, fails_at: int | None = None):
        self.root, self.trace = root, []
        self.begin = 0  # operations before that are over
        self.folders: dict[int, dict[str, int]] = {ROOT: {}}
        self._files: dict[int, int] = {}  # open ones, to nodes
        self._count = ROOT
        self.syncs, self.fails_at = 0, fails_at  # the number of the sync that fails

    def adopt(self) -> Recorder:
        """Take what is there already for synced."""
        for path in sorted(self.root.rglob("*")):
            self.trace.append(Op("sync", self._node(path)))
        self.trace += [Op("sync_folder", node) for node in self.folders]
        self.begin = len(self.trace)
        return self

    def tell(self, fact: Any) -> None:
        self.trace.append(Op("fact", fact=fact))

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._node(path)

    def open(self, path: Path) -> int:
        if path.exists():
            self._node(path)
        file = super().open(path)
        self._files[file] = self._node(path)
        return file

    def write(self, file: int, content: bytes | memoryview, offset: int) -> int:
        self.trace.append(Op("write", self._files[file], offset, bytes(content)))
        return super().write(file, content, offset)

    def truncate(self, file: int, size: int) -> None:
        self.trace.append(Op("truncate", self._files[file], size))
        super().truncate(file, size)

    def sync(self, file: int) -> None:
        self._sync(self._files[file])

    def sync_file(self, path: Path) -> None:
        self._sync(self._node(path))

    def sync_folder(self, path: Path) -> None:
        for name in sorted(os.listdir(path)):
            self._node(path / name)
        self._sync(self._node(path), "sync_folder")

    def close(self, file: int) -> None:
        del self._files[file]
        super().close(file)

    def rename(self, path: Path, to: Path) -> None:
        node = self._node(path)
        super().rename(path, to)
        self._change((path, None), (to, node))

    def exchange(self, path: Path, other: Path) -> bool:
        nodes = self._node(path), self._node(other)
        if not super().exchange(path, other):
            raise OSError("this machine cannot exchange names, and the trace has to have it")
        self._change((path, nodes[1]), (other, nodes[0]))
        return True

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._change((path, None))

    def remove_folder(self, path: Path) -> None:
        super().remove_folder(path)
        self._change((path, None))

    def _sync(self, node: int, kind: str = "sync") -> None:
        self.syncs += 1
        if self.syncs - 1 == self.fails_at:
            self.trace.append(Op("forget", node))
            raise OSError(errno.EIO, "Input/output error")
        self.trace.append(Op(kind, node))

    def _change(self, *changes: tuple[Path, int | None]) -> None:
        names = tuple((self._node(path.parent), path.name, node) for path, node in changes)
        for folder, name, node in names:
            if node is None:
                self.folders[folder].pop(name, None)
            else:
                self.folders[folder][name] = node
        self.trace.append(Op("names", names=names))

    def _node(self, path: Path) -> int:
        """The node of a path; one that something else has made is noted now, with its content."""
        if path == self.root:
            return ROOT
        folder = self._node(path.parent)
        if path.name in self.folders[folder]:
            return self.folders[folder][path.name]
        self._count += 1
        node = self._count
        if path.is_dir():
            self.folders[node] = {}
            self.trace.append(Op("folder", node))
            self._change((path, node))
            for name in sorted(os.listdir(path)):
                self._node(path / name)
        else:
            self._change((path, node))
            if path.exists() and (content := path.read_bytes()):
                self.trace.append(Op("write", node, 0, content))
        return node


@dataclass(frozen=True)
class State:
    """What a power loss has left, after so many operations, and what had been told by then."""

    after: int
    files: tuple[tuple[str, bytes | None], ...]  # None: a folder
    facts: tuple[Any, ...] = field(compare=False)

    def write(self, root: Path) -> None:
        for name, content in self.files:  # a folder before what is in it
            if content is None:
                (root / name).mkdir()
            else:
                (root / name).write_bytes(content)


def states(recorder: Recorder, rng: random.Random) -> Iterator[State]:
    """All that a power loss may leave, at each moment of a trace, without what was there at the moment before."""
    disk, facts, seen = _Disk(), [], set[Any]()
    for number, op in enumerate(recorder.trace):
        disk.apply(op)
        if op.fact is not None:
            facts.append(op.fact)
        if number < recorder.begin:
            continue
        told = tuple(facts)
        for files in disk.left(rng):
            # what was told before matters too: the same files after more of it are another state
            key = (files, len(told))
            if key not in seen:
                seen.add(key)
                yield State(number, files, told)


class _Disk:
    """What is on disk for good, and what may be."""

    def __init__(self) -> None:
        self.contents: dict[int, bytes] = {}
        self.writes: dict[int, list[Op]] = {}  # since the file was synced
        self.folders: dict[int, dict[str, int]] = {ROOT: {}}
        self.names: list[Op] = []  # since their folder was synced

    def apply(self, op: Op) -> None:
        match op.kind:
            case "write" | "truncate":
                self.writes.setdefault(op.node, []).append(op)
            case "sync":
                self.contents[op.node] = self._all_of(op.node)
                self.writes.pop(op.node, None)
            case "forget":  # the system takes it for written: to sync again does nothing
                self.writes.pop(op.node, None)
            case "folder":
                self.folders[op.node] = {}
            case "names":
                self.names.append(op)
            case "sync_folder":
                now = [o for o in self.names if any(folder == op.node for folder, _, _ in o.names)]
                self.names = [o for o in self.names if o not in now]
                _renamed(self.folders, now)

    def left(self, rng: random.Random) -> Iterator[tuple[tuple[str, bytes | None], ...]]:
        for subset in _subsets(self.names, rng):
            folders = {node: dict(names) for node, names in self.folders.items()}
            _renamed(folders, subset)
            paths = list(_walk(folders, ROOT, ""))
            torn = [node for _, node in paths if node in self.writes]
            for contents in self._contents(torn):
                yield tuple(
                    (path, None if node in folders else contents.get(node, self.contents.get(node, b"")))
                    for path, node in paths
                )

    def _contents(self, torn: list[int]) -> Iterator[dict[int, bytes]]:
        """None of what is not synced, all of it, and of one file any part, with none and all of the others."""
        whole = {node: self._all_of(node) for node in torn}
        yield {}
        yield whole
        for node in torn:
            for content in self._parts(node):
                yield {node: content}
                yield {**whole, node: content}

    def _all_of(self, node: int) -> bytes:
        content = self.contents.get(node, b"")
        for op in self.writes.get(node, ()):
            content = _written(content, op)
        return content

    def _parts(self, node: int) -> Iterator[bytes]:
        before = content = self.contents.get(node, b"")
        for op in self.writes[node]:
            after = _written(content, op)
            yield after
            if op.kind == "write":
                yield from _torn(before, after, op)
            content = after


def _torn(before: bytes, after: bytes, op: Op) -> Iterator[bytes]:
    """Parts of one write: pages that are there or not, each with the new size, and the file as far as a page."""
    end = op.offset + len(op.content)
    pages = range(op.offset // PAGE, (end - 1) // PAGE + 1)
    if len(pages) > 6:
        pages = [*pages[:2], pages[len(pages) // 2], *pages[-2:]]
    blank = before.ljust(len(after), b"\0")
    yield blank
    for page in pages:
        start, stop = max(op.offset, page * PAGE), min(end, (page + 1) * PAGE)
        middle = (start + stop) // 2
        yield blank[:start] + after[start:stop] + blank[stop:]  # it alone
        yield after[:start] + blank[start:stop] + after[stop:]  # all but it
        yield after[:middle] + blank[middle:]  # as far as half of it, and the size
        yield after[:start] + blank[start:middle] + after[middle:]  # all but that half
        if len(before) <= start:
            yield after[:start]
            yield after[:middle]


def _written(content: bytes, op: Op) -> bytes:
    if op.kind == "truncate":
        return content[: op.offset].ljust(op.offset, b"\0")
    content = content.ljust(op.offset, b"\0")
    return content[: op.offset] + op.content + content[op.offset + len(op.content) :]


def _renamed(folders: dict[int, dict[str, int]], ops: list[Op]) -> None:
    for op in ops:
        for folder, name, node in op.names:
            names = folders.setdefault(folder, {})
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node


def _walk(folders: dict[int, dict[str, int]], node: int, path: str) -> Iterator[tuple[str, int]]:
    for name, inner in folders[node].items():
        yield path + name, inner
        if inner in folders:
            yield from _walk(folders, inner, f"{path}{name}/")


def _subsets(ops: list[Op], rng: random.Random) -> Iterator[list[Op]]:
    if 2 ** len(ops) <= MOST_SUBSETS:
        for chosen in itertools.product((False, True), repeat=len(ops)):
            yield [op for op, is_there in zip(ops, chosen, strict=True) if is_there]
        return
    yield from (ops[:count] for count in range(len(ops) + 1))
    for place, op in enumerate(ops):
        yield [op]
        yield ops[:place] + ops[place + 1 :]
    for _ in range(MOST_SUBSETS):
        yield [op for op in ops if rng.random() < 0.5]
