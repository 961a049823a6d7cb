"""What is asked of the driver of a sweep from elsewhere, through the sweep's storage: to stop it, or one trial of it.

Requests are in one hidden file of the sweep, the driver's answers in another; neither is mirrored. To look for
requests where there are none, a driver opens a file that is not there: some 30 µs in a folder, one HEAD request of
object storage. Who asks looks for the answer by the request's id, and asks again where another's request was written
over its own.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.lease import this_user
from balltrain.storage import ANSWERS_FILE, MIRROR_EVERY_S, REQUESTS_FILE, Storage

LOOK_EVERY_S = 0.5  # in a folder; object storage is looked at as often as it is written
WAIT_S, WAIT_REMOTE_S = 10.0, 30.0  # that a driver has for an answer
STALE_S = 120.0  # whoever asked has long given up: such a request is of an earlier driver
NUM_ANSWERS = 50  # kept, for those who still wait


@dataclass(frozen=True)
class StopRequest:
    """To end the sweep, or the trial of that number: after the epochs that run, or `now`. `who` is user@host."""

    trial: int | None = None
    now: bool = False
    who: str = field(default_factory=this_user)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    at: float = field(default_factory=time.time)  # seconds since 1970


@dataclass(frozen=True)
class Answer:
    """Whether the driver does what was asked, and what follows, or why not: in words that follow the sweep's name."""

    taken: bool
    says: str


class Requests:
    """Those of one sweep. All methods raise StorageError where the storage cannot be read or written."""

    def __init__(self, place: Storage, name: str):
        self.place, self.name = place, name

    def ask(self, request: StopRequest, wait_s: float | None = None) -> Answer | None:
        """What the driver answers; None where none does so in time, and the request is withdrawn."""
        is_remote = self.place.remote is not None
        wait_s = wait_s if wait_s is not None else WAIT_REMOTE_S if is_remote else WAIT_S
        deadline, pause_s = time.monotonic() + wait_s, 1.0 if is_remote else 0.1
        self.put(request)
        try:
            while True:
                last = time.monotonic() > deadline
                if (answer := self.answer_to(request)) is not None or last:
                    return answer
                if request not in self.pending() and self.answer_to(request) is None:
                    self.put(request)  # another's was written over it
                time.sleep(pause_s)
        finally:
            with contextlib.suppress(BalltrainError):
                self.remove(request)

    def put(self, request: StopRequest) -> None:
        self._write([*self.pending(), request])

    def pending(self) -> list[StopRequest]:
        """Those that were not withdrawn; a file that is no JSON of requests holds none."""
        found = []
        for entry in self._read(REQUESTS_FILE, list):
            with contextlib.suppress(TypeError):  # of another version
                found.append(StopRequest(**entry))
        return found

    def remove(self, request: StopRequest) -> None:
        pending = self.pending()
        if request in pending:
            self._write([other for other in pending if other != request])

    def answer(self, request: StopRequest, answer: Answer) -> None:
        """Written before the request goes: one of the two is there at each moment."""
        answers = list(self._read(ANSWERS_FILE, dict).items())[1 - NUM_ANSWERS :]
        content = json.dumps({**dict(answers), request.id: asdict(answer)}).encode()
        self.place.write_file(self.name, ANSWERS_FILE, content)
        self.remove(request)

    def answer_to(self, request: StopRequest) -> Answer | None:
        found = self._read(ANSWERS_FILE, dict).get(request.id)
        return None if found is None else Answer(**found)

    @contextlib.contextmanager
    def heard(self, follow: Callable[[StopRequest], Answer]) -> Iterator[None]:
        """In the block, requests are followed in a thread of their own, each once, and answered."""
        done: dict[str, Answer] = {}

        def look() -> None:
            for request in self.pending():
                if request.id not in done:
                    if time.time() - request.at > STALE_S:
                        self.remove(request)
                        continue
                    done[request.id] = follow(request)
                self.answer(request, done[request.id])

        seconds = LOOK_EVERY_S if self.place.remote is None else MIRROR_EVERY_S
        with every(seconds, look, ignoring=(BalltrainError,), patience_s=2.0):
            yield

    def _read(self, file: str, kind: type[Any]) -> Any:
        content = self.place.read_file(self.name, file)
        with contextlib.suppress(ValueError):
            if content is not None and isinstance(found := json.loads(content), kind):
                return found
        return kind()

    def _write(self, requests: list[StopRequest]) -> None:
        if requests:
            content = json.dumps([asdict(request) for request in requests]).encode()
            self.place.write_file(self.name, REQUESTS_FILE, content)
        else:
            self.place.delete_file(self.name, REQUESTS_FILE)
