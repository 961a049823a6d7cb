"""Where sweeps are kept: a folder, or object storage (`s3://bucket/prefix`, `gs://…`) that a folder is mirrored to.

A sweep always works on a folder of its own machine, because a journal is appended to and objects are not. With
object storage that folder is in the user's cache, what changes in it is uploaded every few seconds, and a trial's
checkpoint is uploaded by the trial before its epoch is reported. A machine that dies with the last seconds of its
journal loses nothing: checkpoints hold their trial's rows, which are reported again on resume.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from balltrain import durable
from balltrain.background import every
from balltrain.errors import BalltrainError, StorageError, SweepStopped, UsageError
from balltrain.lease import CLAIMS, held

MIRROR_EVERY_S = 5.0
JOURNAL_FILE = "journal.jsonl"
SWEEP_FILE = "sweep.json"
REQUESTS_FILE, ANSWERS_FILE = (
    ".requests.json",
    ".answers.json",
)  # records/requests.py; read and written at their place
MARKS_FILE = "marks.json"  # what people say of trials: records/marks.py
SAME_TIME_S = 1e-4  # that a time may differ for being a float
WHOLE_S = 1.5  # storage tells times in whole seconds: so long after one, nothing more is written in it
RETRY_FOR_S = 600.0  # storage that is away for less loses no trial
SAY_AFTER_S = 5.0  # of an end that waits for storage that is away
# uploaded by the trials, or by who asks or marks, or W&B's own affair
NOT_MIRRORED = ("checkpoints", "logs", "wandb", ".ray", ".lock", CLAIMS, REQUESTS_FILE, ANSWERS_FILE, MARKS_FILE)


class Storage:
    """The place of all sweeps of one `--storage`. Raises UsageError for a URI of an unknown kind."""

    def __init__(self, uri: str):
        self.uri = uri.removeprefix("file://")
        self.away: str | None = None  # since when, and why, object storage cannot be written while a sweep runs
        if "://" not in self.uri:
            self.root, self.remote = Path(self.uri).expanduser(), None
            return
        self.remote = Remote(self.uri)
        self.root = user_cache_path("balltrain") / "storage" / hashlib.sha256(self.uri.encode()).hexdigest()[:16]

    def open(self, name: str) -> Path:
        """The folder of a sweep on this machine; what object storage has of it, checkpoints aside, is fetched."""
        if self.remote is not None:
            # event files are appended to by the sweep's machine, and of use to nobody here
            self.remote.pull(self.root / name, name, skip=(*NOT_MIRRORED, "tensorboard"))
            self._fetch(name, MARKS_FILE)
        return self.root / name

    def fetch_list(self) -> Path:
        """The folder with what a list of sweeps shows."""
        if self.remote is not None:
            for name in self.remote.folders():
                self._fetch(name, SWEEP_FILE, "trials.parquet")
        return self.root

    def fetch_tables(self, name: str) -> Path:
        """The folder of a sweep with its tables and sweep.json, as they are by now."""
        self._fetch(name, SWEEP_FILE, "trials.parquet", "epochs.parquet", MARKS_FILE)
        return self.root / name

    def modified_at(self, name: str, file: str) -> float | None:
        """When a file of a sweep was last written, in seconds since 1970."""
        if self.remote is not None:
            return self.remote.modified_at(f"{name}/{file}")
        path = self.root / name / file
        return path.stat().st_mtime if path.exists() else None

    def read_file(self, name: str, file: str) -> bytes | None:
        """A file of a sweep at its place; None where it is not there. Raises StorageError where it cannot be read."""
        if self.remote is not None:
            return self.remote.read(f"{name}/{file}")
        with _local("read", path := self.root / name / file):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write_file(self, name: str, file: str, content: bytes) -> None:
        """Replace a file of a sweep at its place, whole. Raises StorageError where it cannot be written."""
        if self.remote is not None:
            return self.remote.push(content, f"{name}/{file}")
        with _local("write", path := self.root / name / file):
            durable.replace(path, content)

    def delete_file(self, name: str, file: str) -> None:
        """Delete a file of a sweep at its place, if it is there. Raises StorageError where it cannot be deleted."""
        if self.remote is not None:
            return self.remote.delete_file(f"{name}/{file}")
        with _local("delete", path := self.root / name / file):
            path.unlink(missing_ok=True)

    def _fetch(self, name: str, *files: str) -> None:
        if self.remote is not None:
            for file in files:
                self.remote.pull_changed(self.root / name / file, f"{name}/{file}")

    def uri_of(self, name: str) -> str | None:
        """The URI of a sweep in object storage; None where it is a plain folder."""
        return self.remote.child(name) if self.remote is not None else None

    @contextlib.contextmanager
    def mirrored(
        self,
        name: str,
        patience: Callable[[float], float] = lambda usual_s: usual_s,
        on_lost: Callable[[str], None] = lambda why: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> Iterator[None]:
        """Upload what changes in a sweep's folder while the block runs, and the rest at its end.

        No other driver has the sweep in the block (`lease.py`): raises BalltrainError where one runs it, and calls
        `on_lost` where one has taken over. `patience` says at the end how long storage that is away is waited for,
        and `say` is told that it is.
        """
        if self.remote is None:
            yield
            return
        uploads = Uploads(self.remote, self.root / name, name, skip=NOT_MIRRORED)
        # refused here, before any trial runs, where it cannot be written
        with held(self.remote, name, on_lost) as lease:
            # what another driver may have added since it was opened
            self.remote.pull_journal(self.root / name / JOURNAL_FILE, f"{name}/{JOURNAL_FILE}")

            def push() -> None:
                try:
                    lease.check()
                    uploads.push()
                except StorageError as error:
                    self.away = self.away or f"{error} (since {time.strftime('%H:%M:%S')})"
                    raise
                self.away = None

            kept = f"what is missing there is kept in {self.root / name}, and --resume sends it"

            def waits(error: BalltrainError) -> None:
                tried = f"this is tried again for {RETRY_FOR_S / 60:.0f} min, Ctrl-C ends it at once"
                say(f"the sweep has ended, but {error}; {tried}: {kept}")

            try:
                with every(MIRROR_EVERY_S, push, ignoring=(BalltrainError,)):
                    yield
            finally:
                if lease.lost is None:
                    try:
                        retrying(push, patience(RETRY_FOR_S), waits)
                    except StorageError as error:
                        raise SweepStopped(f"the sweep has ended, but {error}; {kept}") from error


@contextlib.contextmanager
def _local(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {verb} {path}: {error.strerror or error}") from error


class Remote:
    """A prefix in object storage, through pyarrow's file systems."""

    def __init__(self, uri: str):
        from pyarrow import ArrowInvalid, fs

        self.uri = uri
        try:
            self._fs, base = fs.FileSystem.from_uri(uri)
        except (ArrowInvalid, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"--storage {uri}: {reason}; use a folder, s3://bucket/prefix or gs://…") from None
        self._base = base.rstrip("/")
        self._seen: dict[str, tuple[float, float]] = {}  # when a file was written, and since when that is known here

    def child(self, name: str) -> str:
        """The URI of what lies under this one; options after `?` stay at the end."""
        path, question, options = self.uri.partition("?")
        return f"{path.rstrip('/')}/{name}{question}{options}"

    def folders(self) -> list[str]:
        from pyarrow import fs

        return sorted(
            info.base_name for info in self._infos("", recursive=False) if info.type == fs.FileType.Directory
        )

    def push_file(self, local: Path, relative: str) -> None:
        self.push(local.read_bytes(), relative)

    def push(self, content: bytes, relative: str) -> None:
        """Write one object; readers see the old or the new one."""
        with self._named("write to"):
            # object stores have no folders; a file system mounted by pyarrow has
            self._fs.create_dir(f"{self._base}/{relative}".rpartition("/")[0], recursive=True)
            with self._fs.open_output_stream(f"{self._base}/{relative}") as stream:
                stream.write(content)

    def read(self, relative: str) -> bytes | None:
        """One object; None where it is not there."""
        with self._named("read"):
            try:
                with self._fs.open_input_stream(f"{self._base}/{relative}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def is_there(self, relative: str) -> bool:
        from pyarrow import fs

        with self._named("read"):
            return bool(self._fs.get_file_info(f"{self._base}/{relative}").type == fs.FileType.File)

    def times(self, relative: str) -> dict[str, float]:
        """When each object right under `relative` was written, by the store's own clock, in seconds since 1970."""
        from pyarrow import fs

        infos = self._infos(relative, recursive=False)
        files = [info for info in infos if info.type == fs.FileType.File]
        return {f"{relative}/{info.base_name}": info.mtime_ns / 1e9 for info in files}

    def delete_file(self, relative: str) -> None:
        """Delete one object, if it is there."""
        with self._named("delete from"), contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._base}/{relative}")

    def delete(self, relative: str) -> None:
        """Delete all under `relative`, if there is anything."""
        with self._named("delete from"), contextlib.suppress(FileNotFoundError):
            self._fs.delete_dir(f"{self._base}/{relative}")

    def pull_file(self, local: Path, relative: str) -> None:
        """Fetch one file, where it is there."""
        content = self.read(relative)
        if content is not None:
            _keep(local, content)

    def pull_changed(self, local: Path, relative: str) -> None:
        """Fetch one file, where it is there and was written since it was fetched.

        It has the time of that once it is sure that no later one has the same.
        """
        written = self.modified_at(relative)
        if written is None or (local.exists() and abs(local.stat().st_mtime - written) < SAME_TIME_S):
            return
        if self._seen.get(relative, (None, 0.0))[0] != written:
            self._seen[relative] = written, time.monotonic()
        is_last = time.monotonic() - self._seen[relative][1] > WHOLE_S
        self.pull_file(local, relative)
        if is_last:
            with contextlib.suppress(FileNotFoundError):  # deleted in this moment
                os.utime(local, (written, written))

    def read_after(self, relative: str, offset: int) -> bytes | None:
        """What a file that grows has after so many bytes; None where it is shorter, or not there."""
        with self._named("read"):
            try:
                with self._fs.open_input_file(f"{self._base}/{relative}") as stream:
                    if offset > stream.size():
                        return None
                    stream.seek(offset)
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def modified_at(self, relative: str) -> float | None:
        with self._named("read"):
            nanoseconds = self._fs.get_file_info(f"{self._base}/{relative}").mtime_ns
        return None if nanoseconds is None else nanoseconds / 1e9

    def pull(self, folder: Path, relative: str, skip: tuple[str, ...] = ()) -> None:
        """Fetch all files under `relative`, but for a journal that is shorter there than here."""
        from pyarrow import fs

        for info in self._infos(relative, recursive=True):
            inside = info.path.removeprefix(f"{self._base}/{relative}/")
            local = folder / inside
            if info.type != fs.FileType.File or inside.split("/")[0] in skip:
                continue
            pull = self.pull_journal if local.name == JOURNAL_FILE else self.pull_file
            pull(local, f"{relative}/{inside}")

    def pull_journal(self, local: Path, relative: str) -> None:
        """Fetch a journal, where it is there and this machine does not have the same and more.

        It has more where a kill came before it uploaded the end. But where another machine went on since, that one's
        journal is the sweep's, and what this machine has is set aside.
        """
        content = self.read(relative)
        if content is None:
            return
        if local.exists() and (here := local.read_bytes()) and len(here) >= len(content):
            if here.startswith(content):
                return
            durable.rename(local, local.with_name(f".diverged-{time.time_ns()}-{JOURNAL_FILE}"))
        _keep(local, content)

    def _infos(self, relative: str, *, recursive: bool) -> list[Any]:
        from pyarrow import fs

        with self._named("read"):
            selector = fs.FileSelector(
                f"{self._base}/{relative}".rstrip("/"), allow_not_found=True, recursive=recursive
            )
            infos: list[Any] = self._fs.get_file_info(selector)
            return infos

    @contextlib.contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = " ".join(str(error).split())[:200]
            raise StorageError(f"cannot {verb} {self.uri}: {reason}") from error


def _keep(local: Path, content: bytes) -> None:
    """What was fetched, on this machine."""
    durable.make_folder(local.parent)
    durable.replace(local, content)


class Uploads:
    """Uploads of one folder: each `push` sends the files that have changed since the one before."""

    def __init__(self, remote: Remote, folder: Path, relative: str, skip: tuple[str, ...] = ()):
        self.remote, self.folder, self.relative, self.skip = remote, folder, relative, skip
        self._sent: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def push(self) -> None:
        """Raises BalltrainError where the storage cannot be written; the next push tries again."""
        with self._lock:
            # read first and sent last: who reads in it that a sweep has ended finds the sweep's last tables
            paths = sorted(self.folder.rglob("*"), key=lambda path: (path.name != SWEEP_FILE, path))
            last: list[partial[None]] = []
            for path in paths:
                inside = path.relative_to(self.folder)
                if inside.parts[0] in self.skip or path.name.startswith(".") or not path.is_file():
                    continue
                with contextlib.suppress(FileNotFoundError):  # replaced in this moment: sent next time
                    stat = path.stat()
                    version = (stat.st_mtime_ns, stat.st_size)
                    if self._sent.get(path) != version:
                        relative = f"{self.relative}/{inside.as_posix()}"
                        send = partial(self._send, path, path.read_bytes(), relative, version)
                        if path.name == SWEEP_FILE:
                            last.append(send)
                        else:
                            send()
            for send in last:
                send()

    def _send(self, path: Path, content: bytes, relative: str, version: tuple[int, int]) -> None:
        self.remote.push(content, relative)
        self._sent[path] = version


def retrying(
    action: Callable[[], None],
    for_s: float = RETRY_FOR_S,
    on_wait: Callable[[BalltrainError], None] = lambda error: None,
) -> None:
    """Try until it works, or has failed for so many seconds; raises the last BalltrainError then.

    `on_wait` is told once, where it has failed for some seconds.
    """
    began, pause, said = time.monotonic(), 0.5, False
    while True:
        try:
            return action()
        except BalltrainError as error:
            waited = time.monotonic() - began
            if waited > for_s:
                raise
            if waited > SAY_AFTER_S and not said:
                on_wait(error)
                said = True
            time.sleep(pause)
            pause = min(2 * pause, 15.0)
