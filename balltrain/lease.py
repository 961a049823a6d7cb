"""Who runs a sweep in object storage: one driver at a time, on whatever machine.

Each driver writes a claim of its own and then lists all claims. Stores list what was written before (S3 since 2020,
Google Cloud Storage, Azure), so that of two drivers that begin at once at least one sees the other; who sees another
that is alive withdraws. So no two go on, without conditional writes, which not all stores have. A driver that is
alive writes its claim again every BEAT_S; ages are differences of the store's own times. A claim older than
DEAD_AFTER_S is taken away by the next driver, and who finds its claim gone stops.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from balltrain.background import every
from balltrain.errors import BalltrainError, StorageError

CLAIMS = ".drivers"  # folder of a sweep
BEAT_S, DEAD_AFTER_S = 10.0, 60.0
TRIES, PAUSE_S = 4, (0.5, 2.0)  # of drivers that begin at once


class Store(Protocol):
    """What a lease needs of object storage: `balltrain.storage.Remote` has it. All raise StorageError."""

    def push(self, content: bytes, relative: str) -> None: ...
    def read(self, relative: str) -> bytes | None: ...
    def is_there(self, relative: str) -> bool: ...
    def delete_file(self, relative: str) -> None: ...
    def times(self, relative: str) -> dict[str, float]:
        """When each object right under `relative` was written, by the store's own clock."""


class Lease:
    """A driver's claim to a sweep. `lost` says in words that another has taken it."""

    def __init__(self, remote: Store, name: str):
        self.remote, self.name = remote, name
        self.lost: str | None = None
        self.claim = f"{name}/{CLAIMS}/{uuid.uuid4().hex}.json"
        self._who = _this_process()
        self._beat_at = time.monotonic()

    def acquire(self) -> None:
        """Raises BalltrainError that says who runs the sweep, and since when."""
        _held.add(self.claim)
        for left in reversed(range(TRIES)):
            self._write()
            alive = self._others_alive()
            if not alive:
                return
            self.remote.delete_file(self.claim)
            # a claim that is as new as this one may withdraw as well
            if left == 0 or min(age for _, age in alive) > PAUSE_S[1]:
                _held.discard(self.claim)
                raise BalltrainError(_refusal(self.name, *alive[0]))
            time.sleep(random.uniform(*PAUSE_S))

    def beat(self) -> None:
        """Say that this driver is alive. Raises BalltrainError where another has taken the sweep over."""
        if self.lost is None and not self.remote.is_there(self.claim):
            self.lost = f"another machine has taken the sweep {self.name} over"
            others = self._others_alive()
            if others:
                self.lost += f": {_words(others[0][0])}"
        if self.lost is not None:
            raise BalltrainError(self.lost)
        self._write()

    def check(self) -> None:
        """Before something is written: after a pause in which another may have taken over, ask. Raises as `beat`."""
        if self.lost is not None or time.monotonic() - self._beat_at > DEAD_AFTER_S / 2:
            self.beat()

    def release(self) -> None:
        _held.discard(self.claim)
        if self.lost is None:
            with contextlib.suppress(BalltrainError):
                self.remote.delete_file(self.claim)

    def _write(self) -> None:
        self.remote.push(json.dumps(self._who).encode(), self.claim)
        self._beat_at = time.monotonic()

    def _others_alive(self) -> list[tuple[dict[str, Any], float]]:
        """Claims of other drivers that are alive, and seconds since each was last written; others are taken away."""
        times = self.remote.times(f"{self.name}/{CLAIMS}")
        now = times.get(self.claim) or max(times.values(), default=0.0)
        found = []
        for claim, written in times.items():
            if claim == self.claim:
                continue
            who = self._read(claim)
            if who is None:
                continue
            if now - written > DEAD_AFTER_S or _has_ended_here(who, claim):
                self.remote.delete_file(claim)
            else:
                found.append((who, now - written))
        return found

    def _read(self, claim: str) -> dict[str, Any] | None:
        content = self.remote.read(claim)
        if content is None:  # withdrawn
            return None
        with contextlib.suppress(ValueError):
            who = json.loads(content)
            if isinstance(who, dict):
                return who
        return {}


@contextlib.contextmanager
def held(remote: Store, name: str, on_lost: Callable[[str], None]) -> Iterator[Lease]:
    """In the block no other driver runs the sweep. Raises BalltrainError where one does.

    `on_lost` is told in words where this one was away for so long that another took over.
    """
    lease = Lease(remote, name)
    lease.acquire()

    def beat() -> None:
        try:
            lease.beat()
        except StorageError:  # away: whether the sweep is still ours is asked once it is back
            return
        except BalltrainError as error:
            on_lost(str(error))

    try:
        with every(BEAT_S, beat):
            yield lease
    finally:
        lease.release()


_held: set[str] = set()  # by this process: a claim that could not be deleted, as the store was away, is none of them


def this_user() -> str:
    """user@host, as people know who it is."""
    return f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _this_process() -> dict[str, Any]:
    return {
        "user": _user(),
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _machine() -> str:
    """The machine since it was started: process numbers mean nothing on another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()}"


def _has_ended_here(who: dict[str, Any], claim: str) -> bool:
    """Whether it is of a process of this machine that is no more, or of a sweep of this process that has ended."""
    if who.get("machine") != _machine() or not isinstance(who.get("pid"), int):
        return False
    if who["pid"] == os.getpid():
        return claim not in _held
    try:
        os.kill(who["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _words(who: dict[str, Any]) -> str:
    return f"{who.get('user')}@{who.get('host')}, process {who.get('pid')}, since {who.get('since')}"


def _refusal(name: str, who: dict[str, Any], age: float) -> str:
    return (
        f"the sweep {name} is run by {_words(who)}, which was alive {age:.0f} s ago: stop that one, or, where it has "
        f"died, try again after {DEAD_AFTER_S:.0f} s"
    )
