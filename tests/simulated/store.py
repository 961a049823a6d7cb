"""Object storage in memory, with the methods of pyarrow's file systems that balltrain calls."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

from pyarrow import fs

from balltrain.storage import Remote


class Objects:
    """`before` is called before each request, and may raise; `after` once it is done: its answer may be lost."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def create_dir(self, path: str, *, recursive: bool) -> None:
        """There are none."""

    @contextlib.contextmanager
    def open_output_stream(self, path: str) -> Iterator[io.BytesIO]:
        stream = io.BytesIO()
        self.before()
        yield stream
        self.objects[path] = (stream.getvalue(), self.clock())
        self.after()

    def open_input_stream(self, path: str) -> io.BytesIO:
        self.before()
        if path not in self.objects:
            raise FileNotFoundError(path)
        return io.BytesIO(self.objects[path][0])

    def get_file_info(self, what: Any) -> Any:
        self.before()
        if isinstance(what, str):
            return self._info(what)
        below = [path for path in sorted(self.objects) if path.startswith(what.base_dir + "/")]
        if not what.recursive:
            below = [path for path in below if "/" not in path.removeprefix(what.base_dir + "/")]
        return [self._info(path) for path in below]

    def delete_file(self, path: str) -> None:
        self.before()
        if path not in self.objects:
            raise FileNotFoundError(path)
        del self.objects[path]
        self.after()

    def _info(self, path: str) -> fs.FileInfo:
        if path not in self.objects:
            return fs.FileInfo(path, fs.FileType.NotFound)
        return fs.FileInfo(path, fs.FileType.File, mtime_ns=int(self.objects[path][1] * 1e9))


class SimulatedRemote(Remote):
    def __init__(self, objects: Objects) -> None:
        self.uri, self._base = "simulated://bucket", "bucket"
        self._fs: Any = objects
