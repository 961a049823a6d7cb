"""A file system that forgets what was not synced, by FUSE: real processes work on it, and then its power is cut.

    with Forgetful(folder, mountpoint) as disk:
        ...                      # processes work below the mount point
        disk.cut(left, seed=0)   # a state that a power loss may leave is in `left`; all else is an error now

The rules are those of `disk.py`. It is slow, and serves one system call at a time.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from durability.disk import ROOT, Op, _Disk, _renamed, _walk


def why_not() -> str | None:
    """Why there can be none here, in words."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse here"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "it is mounted by root alone"
    try:
        import mfusepy  # noqa: F401 - it looks for libfuse when it is imported
    except (ImportError, OSError, AttributeError) as error:
        return f"mfusepy or libfuse is missing: {error}"
    return None


class Forgetful:
    """Mounted in the block. `folder` holds what programs see; nobody else may write there."""

    def __init__(self, folder: Path, mountpoint: Path):
        self.folder, self.mountpoint = folder, mountpoint

    def __enter__(self) -> Forgetful:
        for path in (self.folder, self.mountpoint):
            path.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "durability.forgetful", str(self.folder), str(self.mountpoint)]
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        deadline = time.monotonic() + 60
        while not os.path.ismount(self.mountpoint):
            assert self.process.poll() is None, "it could not be mounted"
            assert time.monotonic() < deadline, "it is not mounted"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.mountpoint)], check=False)
        self.process.kill()
        self.process.wait()

    def cut(self, left: Path, seed: int) -> None:
        left.mkdir(parents=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(left, seed, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline().strip() == "cut"


def _called(operation: Callable[..., Any]) -> Callable[..., Any]:
    """One at a time; after the cut none."""

    def call(self: _Files, *arguments: Any) -> Any:
        with self.guard:
            if self.is_cut:
                raise OSError(errno.EIO, "the power is cut")
            return operation(self, *arguments)

    return call


class _Files:
    """What FUSE calls. Names are paths from the mount point on, with a slash before them."""

    use_ns = True

    def __init__(self, root: str):
        self.root, self.disk, self.guard = root, _Disk(), threading.RLock()
        self.folders: dict[int, dict[str, int]] = {ROOT: {}}
        self.open_files: dict[int, int] = {}  # to nodes
        self.count, self.is_cut = ROOT, False
        for path, folders, files in os.walk(root):  # what an earlier cut has left is synced
            inside = path.removeprefix(root)
            for name in (*folders, *files):
                node = self._new(f"{inside}/{name}")
                if name in folders:
                    self._note(Op("folder", node))
                else:
                    self._note(Op("write", node, 0, Path(path, name).read_bytes()))
                    self._note(Op("sync", node))
        for node in list(self.folders):
            self._note(Op("sync_folder", node))

    def cut(self, left: str, seed: int) -> None:
        with self.guard:
            self.is_cut = True
            rng = random.Random(seed)
            share = rng.choice([0.0, 0.5, 1.0])  # of the names, and of the writes, that made it
            folders = {node: dict(names) for node, names in self.disk.folders.items()}
            _renamed(folders, [op for op in self.disk.names if rng.random() < share])
            for path, node in _walk(folders, ROOT, ""):
                if node in folders:
                    os.mkdir(f"{left}/{path}")
                    continue
                content = self.disk.contents.get(node, b"")
                if node in self.disk.writes:
                    parts = list(self.disk._parts(node))
                    content = rng.choice([content, *parts, *parts[-1:] * len(parts)])
                Path(left, path).write_bytes(content)

    # what asks

    @_called
    def getattr(self, path, fh=None):
        found = os.lstat(self.root + path)
        names = ("st_atime_ns", "st_ctime_ns", "st_mtime_ns", "st_gid", "st_mode", "st_nlink", "st_size", "st_uid")
        return {name.removesuffix("_ns"): getattr(found, name) for name in names}

    @_called
    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self.root + path)]

    @_called
    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    @_called
    def statfs(self, path):
        found = os.statvfs(self.root)
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_") and name != "f_fsid"}

    # what changes

    @_called
    def create(self, path, mode, flags):
        fh = os.open(self.root + path, os.O_RDWR | os.O_CREAT, mode)
        self.open_files[fh] = self._new(path)
        return fh

    @_called
    def open(self, path, flags):
        fh = os.open(self.root + path, os.O_RDWR)
        self.open_files[fh] = self._node(path)
        if flags & os.O_TRUNC:
            self.truncate(path, 0, fh)
        return fh

    @_called
    def write(self, path, content, offset, fh):
        self._note(Op("write", self.open_files[fh], offset, bytes(content)))
        return os.pwrite(fh, content, offset)

    @_called
    def truncate(self, path, length, fh=None):
        self._note(Op("truncate", self._node(path) if fh is None else self.open_files[fh], length))
        os.truncate(self.root + path if fh is None else fh, length)

    @_called
    def fsync(self, path, datasync, fh):
        self._note(Op("sync", self.open_files[fh]))

    @_called
    def fsyncdir(self, path, datasync, fh):
        self._note(Op("sync_folder", self._node(path)))

    @_called
    def release(self, path, fh):
        self.open_files.pop(fh, None)
        os.close(fh)

    @_called
    def mkdir(self, path, mode):
        os.mkdir(self.root + path, mode)
        node = self._new(path)
        self.folders[node] = {}
        self._note(Op("folder", node))

    @_called
    def rename(self, old, new):
        node = self._node(old)
        os.rename(self.root + old, self.root + new)
        self._change((old, None), (new, node))

    @_called
    def unlink(self, path):
        os.unlink(self.root + path)
        self._change((path, None))

    @_called
    def rmdir(self, path):
        os.rmdir(self.root + path)
        self._change((path, None))

    @_called
    def chmod(self, path, mode):
        os.chmod(self.root + path, mode)

    @_called
    def utimens(self, path, times=None):
        os.utime(self.root + path, ns=times)

    def _note(self, op: Op) -> None:
        if op.kind == "folder":
            self.folders.setdefault(op.node, {})
        self.disk.apply(op)

    def _new(self, path: str) -> int:
        self.count += 1
        self._change((path, self.count))
        return self.count

    def _node(self, path: str) -> int:
        node = ROOT
        for name in filter(None, path.split("/")):
            node = self.folders[node][name]
        return node

    def _change(self, *changes: tuple[str, int | None]) -> None:
        named = []
        for path, node in changes:
            folder, _, name = path.rpartition("/")
            at = self._node(folder)
            named.append((at, name, node))
            if node is None:
                self.folders[at].pop(name, None)
            else:
                self.folders[at][name] = node
        self._note(Op("names", names=tuple(named)))


def _serve(folder: str, mountpoint: str) -> None:
    import mfusepy

    class Files(_Files, mfusepy.Operations):
        pass

    files = Files(folder)

    def listen() -> None:
        for line in sys.stdin:
            left, seed = line.rsplit(" ", 1)
            files.cut(left, int(seed))
            print("cut", flush=True)

    threading.Thread(target=listen, daemon=True).start()
    mfusepy.FUSE(files, mountpoint, foreground=True, nothreads=True, allow_other=False)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
