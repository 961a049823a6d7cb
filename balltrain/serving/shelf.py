"""The sweeps of a storage: which there are, and each that somebody looks at followed by its journal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records.marks import read_marks
from balltrain.records.reading import is_sweep, read_sweep
from balltrain.reporting.watch import ENDED_AT, SILENT_S
from balltrain.serving.following import Followed
from balltrain.serving.views import config_names, pacer_of, plan_json, trial_json
from balltrain.storage import JOURNAL_FILE, MARKS_FILE, SWEEP_FILE, Remote, Storage

POLL_S = 0.25  # of a journal on this machine
PLAN_EVERY_S = 1.0
FETCH_EVERY_S = 5.0  # from object storage
FETCH_LIST_EVERY_S = 15.0
IDLE_S = 120.0  # that a sweep is followed on after the last one who looked
MAX_WAITING = 1000  # messages that a browser has not taken; then it asks for everything again
COPIES = ".served"  # journals of object storage, beside the folders of sweeps
SAFE_NAME = re.compile(r"[^/\\\0]+")


class Shelf:
    """All sweeps of a storage."""

    def __init__(self, storage: Storage):
        self.storage = storage
        self._open: dict[str, Channel] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._fetched = 0.0
        self._fetching = asyncio.Lock()

    async def names(self) -> list[str]:
        """Of the sweeps that are there. Raises BalltrainError where object storage cannot be read."""
        if self.storage.remote is not None:
            async with self._fetching:
                if time.monotonic() - self._fetched > FETCH_LIST_EVERY_S:
                    await asyncio.to_thread(self.storage.fetch_list)
                    self._fetched = time.monotonic()
        root = self.storage.root
        return sorted(entry.name for entry in root.iterdir() if is_sweep(entry)) if root.is_dir() else []

    async def checked(self, name: str) -> Path:
        """The folder of a sweep. Raises BalltrainError for what is not the name of one: no path leads elsewhere."""
        plain = SAFE_NAME.fullmatch(name) and not name.startswith(".")
        folder = self.storage.root / name
        if plain and (is_sweep(folder) or (self.storage.remote is not None and name in await self.names())):
            return folder
        raise BalltrainError(f"there is no sweep {name!r} in {self.storage.uri}")

    async def channel(self, name: str) -> Channel:
        """A sweep, followed. Raises BalltrainError where there is none of that name, or its journal is damaged."""
        folder = await self.checked(name)
        async with self._opening.setdefault(name, asyncio.Lock()):
            channel = self._open.get(name)
            if channel is None or channel.ended:
                channel = self._open[name] = Channel(self.storage, name, folder)
                try:
                    await channel.open()
                except BaseException:
                    del self._open[name]
                    raise
            channel.touch()
            return channel

    def states(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Of each sweep when it last wrote, and the version of its tables, which its summary is made of."""
        return {name: _written(self.storage.root / name) for name in names}

    async def close(self) -> None:
        for channel in self._open.values():
            await channel.close()


class Channel:
    """One sweep, followed for all who look at it."""

    def __init__(self, storage: Storage, name: str, folder: Path):
        self.storage, self.name, self.folder = storage, name, folder
        self.followed: Followed
        self.ended = False  # followed no more
        self._journal = folder / JOURNAL_FILE
        if storage.remote is not None:  # the folder's own may be that of a sweep which this machine runs
            self._journal = storage.root / COPIES / name / JOURNAL_FILE
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self._used = time.monotonic()
        self._sent_tables = self._sent_marks = 0
        self._fetched = self._planned = 0.0

    async def open(self) -> None:
        await self._fetch()
        await self._start()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        self.ended = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.followed.close()

    def touch(self) -> None:
        self._used = time.monotonic()

    @property
    def tables(self) -> int:
        """Version of the tables: when they were written, in nanoseconds; 0 while there are none."""
        return _modified_ns(self.folder / c.EPOCHS_FILE)

    @property
    def marked(self) -> int:
        """When trials were marked last, in nanoseconds; 0 where none is."""
        return _modified_ns(self.folder / MARKS_FILE)

    def marks(self) -> dict[str, dict[str, Any]]:
        """Stars and notes by trial_id."""
        return {trial_id: asdict(mark) for trial_id, mark in read_marks(self.folder).items()}

    def tell_marks(self) -> None:
        """To all who look, where they have changed."""
        if self._sent_marks != (marked := self.marked):
            self._sent_marks = marked
            self._tell({"kind": "marks", "marks": self.marks()})

    def plan(self) -> dict[str, Any]:
        written = _written(self.folder, self._journal)
        state = written["state"]
        now = time.time() if state == "running" else None
        return {**plan_json(self.followed, self._pacer, now), "state": state, "silent_s": written["silent_s"]}

    async def listen(self) -> AsyncIterator[dict[str, Any]]:
        """What is new, message by message, for as long as somebody asks."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)
            self.touch()

    async def _start(self) -> None:
        self.followed = Followed(self._journal)
        await asyncio.to_thread(self.followed.look, tell=False)
        self._pacer = pacer_of(self.followed)
        self._inode = os.stat(self._journal).st_ino

    async def _work(self) -> None:
        """Looks at the journal until nobody has looked at it for long."""
        while self._listeners or time.monotonic() - self._used < IDLE_S:
            await asyncio.sleep(POLL_S)
            try:
                await self._fetch()
                await self._look()
            except (BalltrainError, OSError) as error:
                self._tell({"kind": "trouble", "text": str(error)})
                if self.storage.remote is not None:  # another machine went on: its journal is not this one's
                    self._journal.unlink(missing_ok=True)
                    self._fetched = 0.0
                await asyncio.sleep(2.0)
        self.ended = True
        self.followed.close()

    async def _look(self) -> None:
        stat = os.stat(self._journal)
        if stat.st_ino != self._inode or stat.st_size < self.followed.position:  # put in place of that one
            self.followed.close()
            await self._start()
            self._tell({"kind": "restart"})
            return
        if stat.st_size > self.followed.position:
            before = self.followed.before
            news = self.followed.look()
            if self.followed.before is not before:
                self._pacer = pacer_of(self.followed)
            if news.trials or news.rows:
                self._tell(self._changes(news.rows, news.trials))
        if self._listeners and time.monotonic() - self._planned >= PLAN_EVERY_S:
            self._planned = time.monotonic()
            self._tell({"kind": "plan", "plan": self.plan()})
        if self._sent_tables != (version := self.tables):
            self._sent_tables = version
            self._tell({"kind": "tables", "version": version})
        self.tell_marks()

    def _changes(self, rows: list[Any], numbers: set[int]) -> dict[str, Any]:
        names, state = config_names(self.followed), self.followed.state
        trials = [trial_json(self.followed, state.trials[number], names) for number in sorted(numbers)]
        return {"kind": "change", "line": self.followed.num_lines, "rows": rows, "trials": trials}

    def _tell(self, message: dict[str, Any]) -> None:
        for queue in list(self._listeners):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait({"kind": "restart"})

    async def _fetch(self) -> None:
        remote = self.storage.remote
        if remote is None or time.monotonic() - self._fetched < FETCH_EVERY_S:
            return
        await asyncio.to_thread(_copy_more, remote, self._journal, f"{self.name}/{JOURNAL_FILE}")
        await asyncio.to_thread(self.storage.fetch_tables, self.name)
        self._fetched = time.monotonic()


def _copy_more(remote: Remote, copy: Path, relative: str) -> None:
    """Append what a journal in object storage has more than its copy; where it has less, the copy begins anew."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    at = copy.stat().st_size if copy.exists() else 0
    more = remote.read_after(relative, at)
    if more is None:
        copy.unlink(missing_ok=True)
    elif more:
        with copy.open("ab") as file:
            file.write(more)


def _written(folder: Path, journal: Path | None = None) -> dict[str, Any]:
    """When a sweep last wrote anything, and whether it runs by that."""
    files = (journal or folder / JOURNAL_FILE, folder / c.TRIALS_FILE, folder / c.EPOCHS_FILE, folder / SWEEP_FILE)
    last = max(_modified_ns(path) for path in files) / 1e9
    silent_s = max(0.0, time.time() - last)
    try:
        ended = ENDED_AT in read_sweep(folder)
    except BalltrainError:
        ended = False
    state = "ended" if ended else "running" if silent_s < SILENT_S else "silent"
    return {"state": state, "silent_s": silent_s, "written": last, "version": _modified_ns(folder / c.TRIALS_FILE)}


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
