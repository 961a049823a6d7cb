"""The sweep's own code, run as `run_sweep` and Ray Tune run it: its driver, and the trials that report to it."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import tempfile
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulated import plans
from simulated.disk import ForgettingDisk, Killed
from simulated.oracle import Wrong
from simulated.promises import Promises

from balltrain import durable
from balltrain.errors import BalltrainError
from balltrain.execution import ray_tune, sweep_folder
from balltrain.execution.keeping import deleted_checkpoints
from balltrain.execution.resuming import load_sweep_data
from balltrain.execution.sweep_folder import sweep_files
from balltrain.execution.trial import END, ROW
from balltrain.records.journal import Journal, read_journal
from balltrain.records.state import SweepState, Trial
from balltrain.search.attempts import Attempt
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan
from balltrain.search.policy import MAX_RETRIES, Cause

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
STOP, FINISHED = ray_tune.FIFOScheduler.STOP, ray_tune.Searcher.FINISHED


@dataclass(eq=False)
class Running:
    """An attempt in its process. It waits where its row is on the way."""

    attempt: Attempt
    node: int
    told: int  # rows that it has reported, those of attempts before among them
    row: dict[str, Any] | None = None  # on the way
    config: dict[str, Any] = field(default_factory=dict)  # as Tune's trial has it
    error_file: str = ""

    def __post_init__(self) -> None:
        self.config = {"attempt": self.attempt}


@dataclass
class Driver:
    """The process that runs the sweep: what `run_sweep` does, without Ray."""

    files: contextlib.ExitStack
    controller: Controller
    searcher: Any
    scheduler: Any
    running: list[Running] = field(default_factory=list)
    late: list[Running] = field(default_factory=list)  # of attempts that were given up
    heard: list[tuple[Running, dict[str, Any]]] = field(default_factory=list)  # the last messages

    @property
    def state(self) -> SweepState:
        return self.controller.state


class Runner:
    """Knows what runs and what was saved; what happens to it is `World`'s."""

    def __init__(self, options: dict[str, Any], seed: int = 0, slots: tuple[int, ...] = (2,)) -> None:
        self.plan: Plan = plans.plan_of(json.dumps(options, sort_keys=True))
        self.rng = random.Random(seed)  # of what a power loss takes, alone
        self.now = 1000.0
        self.disk = ForgettingDisk(self.rng)
        self.root = Path(tempfile.mkdtemp(prefix="simulated-", dir=MEMORY))
        self.nodes = dict(enumerate(slots))  # number to slots
        self.driver: Driver | None = None
        self.saved: dict[int, list[dict[str, Any]]] = {}  # checkpoints: the rows of a trial
        self.promises = Promises(self.plan)
        self.epochs = self.kills = 0
        self.has_ended = False
        self.is_forgiving = self.power_goes = False
        self.fuse_of_next: int | None = None  # that of the disk for the next start
        self._failures: Counter[tuple[int, int]] = Counter()
        self._trained: Counter[tuple[int, int]] = Counter()

    @property
    def folder(self) -> Path:
        """Of the sweep, on the machine of its driver."""
        return self.root / plans.NAME

    @contextlib.contextmanager
    def lives(self) -> Iterator[None]:
        """In the block production sees this world's disk and clock."""
        clock = types.SimpleNamespace(time=lambda: self.now)
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.root, ignore_errors=True)
            stack.enter_context(instead(durable, "disk", self.disk))
            stack.enter_context(instead(sweep_folder, "time", clock))
            stack.enter_context(instead(sweep_folder, "provenance", lambda: {"created_at": "2026-11-28T00:00:00Z"}))
            stack.enter_context(instead(sweep_folder, "write_tables", lambda *_: None))
            stack.enter_context(instead(sweep_folder, "Journal", self._journal))
            try:
                yield
            finally:
                self.kill(0)

    # -- the driver

    def _start(self) -> None:
        """Begin the sweep, or go on with it; a disk that fails may prevent it."""
        self.disk.revive()
        self.disk.fuse, self.fuse_of_next = self.fuse_of_next, None
        was_broken = self._is_broken
        with contextlib.ExitStack() as stack:
            try:
                is_there = self._fetch()
                load_sweep_data(self.plan, self.folder, None, resume=is_there)
                self._mirror(stack)
                files = sweep_files(self.plan, self.folder, None, {}, is_there, self.now)
                journal, state = stack.enter_context(files)
            except (BalltrainError, OSError) as error:
                if self.disk.is_dead:
                    raise Killed from error
                if not was_broken:
                    raise Wrong(f"the sweep does not go on: {error}") from error
                self.disk.is_full = False  # its user makes room
                return
            controller = Controller(self.plan, state, journal, max(1, self._slots), clock=lambda: self.now)
            controller.on_dropped = stack.enter_context(deleted_checkpoints(state, self.folder))
            for trial in self._dropped(state):
                self.saved.pop(trial.number, None)
            delete = controller.on_dropped

            def dropped(trial: Trial) -> None:
                delete(trial)
                self.saved.pop(trial.number, None)

            controller.on_dropped = dropped
            run: Any = types.SimpleNamespace(controller=controller, lock=contextlib.nullcontext(), left=None)
            searcher, scheduler = ray_tune.ControllerSearcher(run), ray_tune.ControllerScheduler(run)
            self.promises.check(self.folder)
            self.promises.reader.check_rungs(controller.rungs())
            self.driver = Driver(stack.pop_all(), controller, searcher, scheduler)
        self._ask()

    @property
    def _is_broken(self) -> bool:
        return self.disk.is_full or self.disk.fails_to_sync

    def _fetch(self) -> bool:
        """Whether there is a sweep to go on with; from elsewhere, it is fetched."""
        return (self.folder / "journal.jsonl").exists() and next(read_journal(self.folder), None) is not None

    def _mirror(self, files: contextlib.ExitStack) -> None:
        """Keep what is elsewhere up to date while the sweep runs."""

    def _pass(self, seconds: float) -> None:
        self.now += seconds

    def _dropped(self, state: SweepState) -> list[Trial]:
        """Trials whose checkpoints a resume deletes once more."""
        return [t for t in state.trials.values() if t.rows and not t.has_checkpoint]

    def _journal(self, folder: Path) -> Journal:
        promises = self.promises

        class Acknowledging(Journal):
            def append(self, line: dict[str, Any]) -> None:
                super().append(line)
                promises.lines.append(line)

        journal = Acknowledging(folder)
        self.promises.take_up(folder)
        return journal

    def _died(self) -> None:
        driver, self.driver = self.driver, None
        self.kills += 1
        if driver is not None:
            with contextlib.suppress(Killed, BalltrainError):  # of what is done no more
                driver.files.__exit__(Killed, Killed(), None)
        self.disk.revive()
        if self.power_goes:
            self.power_goes = False
            self.disk.lose_power()
        self.promises.check(self.folder, driver.state if driver is not None else None)

    def _ask(self) -> None:
        """As Tune: for new attempts as long as there are some, or for the end."""
        driver = self.driver
        while driver is not None:
            if driver.controller.is_overdue:
                return self._leave()
            found = driver.searcher.suggest("")
            self._note_closed()
            if found == FINISHED:
                return self._end()
            if found is None:
                break
            self._begin(found["attempt"])
        if (
            driver is not None
            and not driver.running
            and not driver.controller.done
            and self.plan.sweep.time_budget is None
        ):
            raise Wrong("nothing runs, nothing starts, and the sweep does not end")

    def _begin(self, attempt: Attempt) -> None:
        assert self.driver is not None
        rows = self.saved.setdefault(attempt.number, [])
        if len(rows) < attempt.reported_epochs:
            raise Wrong(f"trial {attempt.number} has {attempt.reported_epochs} rows, and its checkpoint {len(rows)}")
        if any(r.attempt.number == attempt.number for r in self.driver.running):
            raise Wrong(f"trial {attempt.number} runs twice at a time")
        loads = Counter(running.node for running in self.driver.running)
        node = min(self.nodes, key=lambda n: (loads[n] >= self.nodes[n], n), default=-1)
        self.driver.running.append(Running(attempt, node, attempt.reported_epochs))

    def _leave(self) -> None:
        """As `_TuneRun.leave`."""
        assert self.driver is not None
        for number in sorted(self.driver.controller.live):
            with contextlib.suppress(BalltrainError):  # a disk that fails
                self.driver.controller.fail(number, Cause.NODE_LOST, "the sweep was ended within an epoch")
        self._note_closed()
        self._end()

    def _end(self) -> None:
        """The sweep's process ends by itself."""
        driver, self.driver = self.driver, None
        assert driver is not None
        is_broken = self._is_broken
        try:
            driver.files.close()
        except BalltrainError as error:
            if self.disk.is_dead:
                raise Killed from error
            if not is_broken:
                raise Wrong(f"the sweep cannot end: {error}") from error
        error = driver.controller.error
        if error is not None and not isinstance(error, BalltrainError):
            raise error
        self.promises.check(self.folder, driver.state)
        self.has_ended = error is None and not driver.controller.interrupted
        if driver.state.best is not None and error is None and driver.state.best.number not in self.saved:
            raise Wrong("the best trial has no checkpoint")

    def _note_closed(self) -> None:
        if self.driver is not None and (self.driver.controller.interrupted or self.driver.controller.error):
            self.promises.close(in_doubt=self.driver.controller.error is not None)

    @property
    def _slots(self) -> int:
        return sum(self.nodes.values())

    def _follow_nodes(self) -> None:
        if self.driver is not None:
            self.driver.controller.concurrency = max(1, self._slots)
            self._ask()

    # -- trials

    def _free(self) -> list[Running]:
        """That train: on a node that has room for them, and told of their last row."""
        assert self.driver is not None
        used: Counter[int] = Counter()
        found = []
        for running in self.driver.running:
            if running.node not in self.nodes or used[running.node] >= self.nodes[running.node]:
                running.node = next((n for n in self.nodes if used[n] < self.nodes[n]), -1)
            if running.node == -1:
                continue
            used[running.node] += 1
            if running.row is None:
                found.append(running)
        return found

    def _train(self, running: Running) -> None:
        """An epoch, or one that was saved and not reported; it is saved before it is reported."""
        attempt, rows = running.attempt, self.saved[running.attempt.number]
        if running.told == len(rows):
            epoch = len(rows) + 1
            seconds = 1.0 + attempt.number % 3
            self._pass(seconds / max(1, self._slots))
            self.epochs += 1
            if plans.fails_by_itself(attempt.config, attempt.seed, epoch):
                running.row = {"cause": Cause.DETERMINISTIC, "error": "ValueError: no", "traceback": ""}
                return
            self._trained[attempt.number, epoch] += 1
            if self._trained[attempt.number, epoch] > 1:
                raise Wrong(f"trial {attempt.number} trained epoch {epoch} twice")
            mode = self.plan.task.mode
            rows.append(plans.row_of(attempt.config, attempt.seed, epoch, mode=mode, seconds=seconds))
        running.row = rows[running.told]

    def _deliver(self, running: Running) -> None:
        assert self.driver is not None
        row, running.row = running.row, None
        assert row is not None
        running.told += 1
        if self._tell(running, row) == STOP:
            if running in self.driver.late:
                self.driver.late.remove(running)
            self._ends(running)
        elif running in self.driver.running:
            rows = self.saved[running.attempt.number][: running.told]
            patience = running.attempt.config["patience"]
            if plans.runs_out_of_patience(rows, patience, self.plan.task.mode):
                self._ends(running)
                self.driver.scheduler.on_trial_result(None, running, {END: "{}"})
        self._ask()

    def _deliver_all(self) -> None:
        for running in list(self.driver.running if self.driver else ()):
            if self.driver is not None and running.row is not None:
                self._deliver(running)

    def _tell(self, running: Running, row: dict[str, Any]) -> str:
        """Of a row, or of an error, what Tune is told to do."""
        assert self.driver is not None
        driver, number = self.driver, running.attempt.number
        driver.heard = [*driver.heard[-7:], (running, row)]
        text = json.dumps(row)
        result = {END: text} if "cause" in row else {ROW: text}
        decision: str = driver.scheduler.on_trial_result(None, running, result)
        self._note_closed()
        if decision != STOP and "cause" not in row:
            self.promises.told[number] = max(row["epoch"], self.promises.told.get(number, 0))
        return decision

    def _fail(self, running: Running, cause: Cause) -> None:
        """Its process died."""
        assert self.driver is not None
        with instead(ray_tune, "_death", lambda trial: (cause, "it died")):
            self.driver.scheduler.on_trial_error(None, running)
        self._note_closed()

    def _raise(self, number: int, cause: Cause) -> None:
        running = self._one_of(self._free(), number)
        if running and (cause == Cause.STORAGE or self._may_fail(running)):
            self._tell(running, {"cause": cause, "error": "it broke", "traceback": ""})
            self._ends(running)
            self._ask()

    def _may_fail(self, running: Running) -> bool:
        """By chance: in a history that is compared with one in which nothing happens, as often as is forgiven."""
        key = (running.attempt.number, running.attempt.config["epochs"])
        self._failures[key] += 1
        return not self.is_forgiving or self._failures[key] <= MAX_RETRIES

    def _ends(self, running: Running) -> None:
        if self.driver is not None and running in self.driver.running:
            self.driver.running.remove(running)

    def _one_of(self, things: Any, number: int) -> Any:
        return things[number % len(things)] if things else None


@contextlib.contextmanager
def instead(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
