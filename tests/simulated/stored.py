"""A sweep in object storage: on machines that are lost, beside others that want it, with requests that fail."""

from __future__ import annotations

import contextlib
import shutil
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulated import plans
from simulated.oracle import Wrong
from simulated.promises import journal_in
from simulated.runner import Driver, instead
from simulated.store import Objects, SimulatedRemote
from simulated.world import World

from balltrain import lease, storage
from balltrain.errors import BalltrainError
from balltrain.search.attempts import Attempt
from balltrain.storage import Storage

UPLOADED_WITHIN_S = storage.MIRROR_EVERY_S + 4.0  # with the epoch that is trained in between


@dataclass(eq=False)
class Tick:
    """What a thread of a driver does each so many seconds."""

    seconds: float
    action: Callable[[], None]
    ignoring: tuple[type[Exception], ...]
    at: float


@dataclass
class Asleep:
    """A driver whose machine was suspended."""

    driver: Driver
    machine: int
    process: int
    ticks: list[Tick]


class StoredWorld(World):
    """Its folder is in object storage; each machine has a copy."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.objects = Objects(lambda: self.now)
        self.objects.before, self.objects.after = self._before, self._after
        self.machine = self.process = 0
        self.ended: set[int] = set()  # processes
        self.ticks: list[Tick] = []
        self.away_until = self.broken_at = self.lost_at = self.died_at = self.began_at = -1e9
        self.answers_lost = 0
        self.lost: list[str] = []
        self.asleep: Asleep | None = None
        self._num_claims = 0

    @property
    def folder(self) -> Path:
        return self.root / f"machine-{self.machine}" / plans.NAME

    @property
    def _is_broken(self) -> bool:
        is_refused = self.now - self.lost_at <= lease.DEAD_AFTER_S  # until the claim of a lost machine has run out
        return super()._is_broken or self.now < self.away_until or self.answers_lost > 0 or is_refused

    @contextlib.contextmanager
    def lives(self) -> Iterator[None]:
        clock = types.SimpleNamespace(
            monotonic=lambda: self.now,
            sleep=self._sleep,
            time_ns=lambda: int(self.now * 1e9),
            strftime=lambda form, *at: time.strftime(form, *(at or [time.gmtime(self.now)])),
            gmtime=lambda: time.gmtime(self.now),
        )
        with contextlib.ExitStack() as stack:
            for module in (lease, storage):
                stack.enter_context(instead(module, "time", clock))
                stack.enter_context(instead(module, "every", self._every))
            stack.enter_context(instead(lease, "random", types.SimpleNamespace(uniform=lambda low, high: high)))
            stack.enter_context(instead(lease, "uuid", types.SimpleNamespace(uuid4=self._claim)))
            stack.enter_context(instead(lease, "_this_process", self._who))
            stack.enter_context(instead(lease, "_has_ended_here", self._has_ended_here))
            stack.enter_context(super().lives())
            yield

    def finish(self) -> None:
        self.away_until, self.answers_lost = -1e9, 0
        if self.asleep is not None:
            self.wakes(0)
        super().finish()
        content = self.objects.objects[f"bucket/{plans.NAME}/journal.jsonl"][0]
        if content != journal_in(self.folder):
            raise Wrong("the storage has not the whole journal at the end")

    # -- what happens

    def store_is_away(self, number: int) -> None:
        self.away_until = self.broken_at = self.now + 10.0 * (number + 1)

    def store_loses_answers(self, number: int) -> None:
        """Requests are done, and fail all the same."""
        self.answers_lost = number % 3 + 1

    def machine_is_lost(self, number: int) -> None:
        """With what it had not uploaded."""
        if self.asleep is None:
            self.kill(0)
            self.lost_at = self.now
            self._go_elsewhere()

    def second_driver(self, number: int) -> None:
        """Another machine wants the sweep while this one runs it."""
        if self.driver is None or self._is_broken:
            return
        machine, process, alive = self.machine, self.process, self.now - self.broken_at > lease.DEAD_AFTER_S
        self.machine, self.process = machine + 100, process + 100
        try:
            with self._storage().mirrored(plans.NAME):
                if alive:
                    raise Wrong("two machines run the sweep")
        except BalltrainError:
            pass
        finally:
            shutil.rmtree(self.folder.parent, ignore_errors=True)
            self.machine, self.process = machine, process

    def falls_asleep(self, number: int) -> None:
        """Its machine is suspended, and another takes the sweep over once its claim has run out."""
        if self.driver is None or self.asleep is not None or self._is_broken:
            return
        self.asleep = Asleep(self.driver, self.machine, self.process, self.ticks)
        self.driver, self.ticks = None, []
        self.now += lease.DEAD_AFTER_S + 20.0
        self._go_elsewhere()
        self._start()

    def wakes(self, number: int) -> None:
        """The one that slept goes on: it has to notice, and to leave the storage alone."""
        if self.asleep is None:
            return
        now = self.driver, self.machine, self.process, self.ticks
        asleep, self.asleep = self.asleep, None
        before = {path: content for path, (content, _) in self.objects.objects.items()}
        self.driver, self.machine, self.process, self.ticks = (
            asleep.driver,
            asleep.machine,
            asleep.process,
            asleep.ticks,
        )
        self.lost.clear()
        away, self.away_until, self.answers_lost = self.away_until, -1e9, 0
        for tick in list(self.ticks):
            with contextlib.suppress(*tick.ignoring):
                tick.action()
        if not self.lost:
            raise Wrong("a driver whose sweep was taken over does not notice")
        with contextlib.suppress(BalltrainError):
            asleep.driver.files.close()
        if {path: content for path, (content, _) in self.objects.objects.items()} != before:
            raise Wrong("a driver whose sweep was taken over writes to the storage")
        self.ended.add(asleep.process)
        self.away_until = away
        self.driver, self.machine, self.process, self.ticks = now

    # -- the driver's side

    def _storage(self) -> Storage:
        found = Storage.__new__(Storage)
        found.uri, found.root, found.away = "simulated://bucket", self.folder.parent, None
        found.remote = SimulatedRemote(self.objects)
        return found

    def _start(self) -> None:
        self.ended.add(self.process)
        self.process += 1
        self.began_at, self.ticks = self.now, []
        super()._start()
        if self.driver is None:
            self.now += lease.DEAD_AFTER_S + 1.0  # until its user tries again
            self.away_until, self.answers_lost = -1e9, 0

    def _died(self) -> None:
        self.died_at = now = self.now
        super()._died()
        self.now = now

    def _fetch(self) -> bool:
        self._storage().open(plans.NAME)
        return super()._fetch()

    def _mirror(self, files: contextlib.ExitStack) -> None:
        files.enter_context(self._storage().mirrored(plans.NAME, on_lost=self.lost.append))

    def _begin(self, attempt: Attempt) -> None:
        if attempt.attempt == 1:  # what a machine that was lost has left of another begins anew
            self.saved.pop(attempt.number, None)
            for key in [key for key in self._trained if key[0] == attempt.number]:
                del self._trained[key]
        self._train_again(attempt)
        super()._begin(attempt)

    def _train_again(self, attempt: Attempt) -> None:
        """Of a trial that ended, and whose checkpoint was deleted, in what a lost machine had not uploaded."""
        rows = self.saved.setdefault(attempt.number, [])
        if self.machine:
            mode, seconds = self.plan.task.mode, 1.0 + attempt.number % 3
            for epoch in range(len(rows) + 1, attempt.reported_epochs + 1):
                rows.append(plans.row_of(attempt.config, attempt.seed, epoch, mode=mode, seconds=seconds))

    def _go_elsewhere(self) -> None:
        """What was not uploaded is forgotten, by those as well who had been told of it."""
        here = journal_in(self.folder)
        there = self.objects.objects.get(f"bucket/{plans.NAME}/journal.jsonl", (b"", 0.0))[0]
        if not here.startswith(there):
            raise Wrong("the storage has another journal than the sweep")
        if self.asleep is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.machine += 1
        late = self.promises.lines[there.count(b"\n") :]
        # the first that could have been uploaded, by the driver that has just died
        ago = self.died_at - max(late[0]["time"], self.began_at) if late else 0.0
        if self.asleep is None and ago > UPLOADED_WITHIN_S and self.died_at - self.broken_at > lease.DEAD_AFTER_S:
            raise Wrong(f"a line of {ago:.0f} s ago was not uploaded")
        self.promises.forget_from(there)
        # a checkpoint may be deleted before the line is uploaded by which its trial ended: it is trained again
        for key in [key for key in self._trained if key[0] not in self.saved]:
            del self._trained[key]

    def _pass(self, seconds: float) -> None:
        super()._pass(seconds)
        for tick in self.ticks:
            if self.now >= tick.at and not self.disk.is_dead:
                tick.at = self.now + tick.seconds
                with contextlib.suppress(*tick.ignoring):
                    tick.action()

    @contextlib.contextmanager
    def _every(
        self, seconds: float, action: Callable[[], None], *, ignoring: tuple[type[Exception], ...] = (), **_: Any
    ) -> Iterator[None]:
        tick = Tick(seconds, action, ignoring, self.now + seconds)
        ticks = self.ticks
        ticks.append(tick)
        try:
            yield
        finally:
            ticks.remove(tick)

    # -- requests

    def _before(self) -> None:
        if self.disk.is_dead:
            raise OSError("the process is dead")
        if self.now < self.away_until:
            self.broken_at = self.now
            raise OSError("the storage is away")

    def _after(self) -> None:
        if self.answers_lost:
            self.answers_lost -= 1
            self.broken_at = self.now
            raise OSError("timed out")

    def _sleep(self, seconds: float) -> None:
        if self.disk.is_dead:
            self.now += 1000.0
        self.now += seconds

    def _claim(self) -> Any:
        self._num_claims += 1
        return types.SimpleNamespace(hex=f"claim-{self._num_claims}")

    def _who(self) -> dict[str, Any]:
        return {"user": "u", "host": "h", "machine": self.machine, "pid": self.process, "since": "then"}

    def _has_ended_here(self, who: dict[str, Any], claim: str) -> bool:
        return who.get("machine") == self.machine and who.get("pid") in self.ended
