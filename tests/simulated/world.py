"""A sweep in a world that is all simulated but the sweep: its clock, its disk, its nodes, and what Tune does.

Controller, journal, state, the files of a sweep and Tune's two sides of the controller are those of production. What
happens is a list of actions, each with a number that says to which node, to which trial, or how much. The same plan,
seed and actions give the same history, to the byte.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import shutil
import tempfile
import types
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from simulated import plans
from simulated.disk import ForgettingDisk, Killed
from simulated.oracle import Reader, Wrong

from balltrain import durable
from balltrain.errors import BalltrainError
from balltrain.execution import ray_tune, sweep_folder
from balltrain.execution.keeping import deleted_checkpoints
from balltrain.execution.resuming import load_sweep_data
from balltrain.execution.sweep_folder import sweep_files
from balltrain.execution.trial import END, ROW
from balltrain.records.journal import Journal, read_journal
from balltrain.records.state import SweepState, Trial
from balltrain.search.controller import Attempt, Controller
from balltrain.search.plan import Plan
from balltrain.search.policy import MAX_RETRIES, Cause

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
MOST_STEPS = 200_000  # to the end of a sweep whose world has been mended
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


class World:
    """`actions` are methods by name. A wrong history raises Wrong, or what should never be raised."""

    def __init__(self, options: dict[str, Any], seed: int = 0, slots: tuple[int, ...] = (2,)) -> None:
        self.plan: Plan = plans.plan_of(json.dumps(options, sort_keys=True))
        self.rng = random.Random(seed)  # of what a power loss takes, alone
        self.now = 1000.0
        self.disk = ForgettingDisk(self.rng)
        self.root = Path(tempfile.mkdtemp(prefix="simulated-", dir=MEMORY))
        self.nodes = dict(enumerate(slots))  # number to slots
        self.driver: Driver | None = None
        self.saved: dict[int, list[dict[str, Any]]] = {}  # checkpoints: the rows of a trial
        self.acknowledged: list[dict[str, Any]] = []  # lines of the journal that somebody relies on
        self.closed_at: dict[int, float] = {}  # sessions that were told to end, to lines there were then
        self.epochs = self.kills = 0
        self.has_ended = False
        self.reader, self.replayed = Reader(self.plan, self.closed_at), SweepState()  # of what is promised
        self._content, self._num_checked = b"", 0
        self._continued: dict[int, int] = {}  # trials that were told to go on, after which epoch
        self.is_forgiving = False
        self._failures: Counter[tuple[int, int]] = Counter()
        self._trained: Counter[tuple[int, int]] = Counter()

    @property
    def folder(self) -> Path:
        """Of the sweep, on the machine of its driver."""
        return self.root / plans.NAME

    def run(self, actions: list[tuple[str, int]]) -> World:
        """All that happens, and then the rest of the sweep in peace."""
        with self.lives():
            for name, number in actions:
                self.act(name, number)
            self.finish()
        return self

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

    def act(self, name: str, number: int = 0) -> None:
        """One action; it does nothing where there is nothing to do it to."""
        if self.has_ended:
            return
        try:
            if self.driver is None:
                self._start()
            if self.driver is not None:
                getattr(self, name)(number)
        except Killed:
            self._died()

    def finish(self) -> None:
        """Mend what is broken, and go on to the end."""
        self.disk.is_full = self.disk.fails_to_sync = False
        self.disk.fuse = None
        if not self.nodes:
            self.nodes[0] = 1
        for _ in range(MOST_STEPS):
            if self.has_ended:
                break
            self.act("rounds", 0)
        else:
            raise Wrong(f"the sweep does not end: {self.driver and self.driver.running}")
        self.reader.check_end()

    # -- what happens

    def work(self, number: int) -> None:
        """A trial trains an epoch and reports it."""
        if running := self._one_of(self._free(), number):
            self._train(running)
            self._deliver(running)

    def rounds(self, number: int) -> None:
        """All trials train some epochs, in turn."""
        for _ in range(number + 1):
            if self.driver is None:
                return
            free = self._free()
            for running in free:
                if self.driver is not None and running in self.driver.running:
                    self._train(running)
                    self._deliver(running)
            if not free:
                self._pass(1.0)
                self._deliver_all()
                self._ask()

    def hold(self, number: int) -> None:
        """A trial trains an epoch, and its row is late."""
        if running := self._one_of(self._free(), number):
            self._train(running)

    def deliver(self, number: int) -> None:
        """A late row comes: of one that runs, or of one that was given up."""
        assert self.driver is not None
        held = [r for r in (*self.driver.running, *self.driver.late) if r.row is not None]
        if running := self._one_of(held, number):
            self._deliver(running)

    def double(self, number: int) -> None:
        """A row comes once more."""
        assert self.driver is not None
        if heard := self._one_of(self.driver.heard, number):
            self._tell(*heard)
            self._ask()

    def node_joins(self, number: int) -> None:
        if len(self.nodes) < 4:
            self.nodes[max(self.nodes, default=0) + 1] = number % 3 + 1
            self._follow_nodes()

    def node_dies(self, number: int) -> None:
        self._lose_node(number, cut=False)

    def node_is_cut(self, number: int) -> None:
        """It is given up; what its trials had reported comes later."""
        self._lose_node(number, cut=True)

    def trial_is_killed(self, number: int) -> None:
        assert self.driver is not None
        running = self._one_of(self.driver.running, number)
        if running and self._may_fail(running):
            self._ends(running)
            self._fail(running, Cause.KILLED)
            self._ask()

    def dies_late(self, number: int) -> None:
        """A trial's process dies after its attempt was over, and Tune says so when another may run already."""
        assert self.driver is not None
        if self.driver.heard:
            running = self._one_of(self.driver.heard, number)[0]
            if running not in self.driver.running:
                self._fail(running, Cause.KILLED)
                self._ask()

    def trial_raises(self, number: int) -> None:
        self._raise(number, Cause.EXCEPTION)

    def trial_cannot_write(self, number: int) -> None:
        self._raise(number, Cause.STORAGE)

    def kill(self, number: int) -> None:
        """The driver is killed, and with it its Ray."""
        if self.driver is not None:
            self.disk.is_dead = True
            self._died()

    def kill_soon(self, number: int) -> None:
        """In an operation on a file."""
        self.disk.fuse = number + 1

    def lose_power(self, number: int) -> None:
        self.kill(0)
        self.disk.lose_power()
        self._check()

    def disk_fills(self, number: int) -> None:
        self.disk.is_full = True

    def disk_has_room(self, number: int) -> None:
        self.disk.is_full = False

    def sync_fails(self, number: int) -> None:
        self.disk.fails_to_sync = True

    def interrupt(self, number: int) -> None:
        """Ctrl-C."""
        assert self.driver is not None
        self.driver.controller.interrupted = True
        self._note_closed()
        self._ask()

    def terminate(self, number: int) -> None:
        """SIGTERM: epochs that run are left."""
        self.interrupt(0)
        if self.driver is not None:
            self._leave()

    def wait(self, number: int) -> None:
        self._pass(4.0 * number)
        self._ask()

    # -- the driver

    def _start(self) -> None:
        """Begin the sweep, or go on with it; a disk that fails may prevent it."""
        self.disk.revive()
        was_broken = self._is_broken
        with contextlib.ExitStack() as stack:
            try:
                is_there = self._fetch()
                load_sweep_data(self.plan, self.folder, None, resume=is_there)
                self._mirror(stack)
                files = sweep_files(self.plan, self.folder, None, {}, is_there, self.now)
                journal, state = stack.enter_context(files)
            except (BalltrainError, OSError) as error:
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
            self._check()
            self.reader.check_rungs(controller.rungs())
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
        world = self

        class Acknowledging(Journal):
            def append(self, line: dict[str, Any]) -> None:
                super().append(line)
                world.acknowledged.append(line)

        journal = Acknowledging(folder)
        rest = self._journal_bytes()[len(self._content) :].splitlines(keepends=True)
        self.acknowledged[self._num_checked :] = [line_of(raw) for raw in rest]
        self._check()
        return journal

    def _died(self) -> None:
        driver, self.driver = self.driver, None
        self.kills += 1
        if driver is not None:
            with contextlib.suppress(Killed, BalltrainError):  # of what is done no more
                driver.files.__exit__(Killed, Killed(), None)
        self.disk.revive()
        self._check(driver)

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
            if not is_broken:
                raise Wrong(f"the sweep cannot end: {error}") from error
        error = driver.controller.error
        if error is not None and not isinstance(error, BalltrainError):
            raise error
        self._check(driver)
        self.has_ended = error is None and not driver.controller.interrupted
        if driver.state.best is not None and error is None and driver.state.best.number not in self.saved:
            raise Wrong("the best trial has no checkpoint")

    def _note_closed(self) -> None:
        if self.driver is not None and (self.driver.controller.interrupted or self.driver.controller.error):
            # a line that could not be synced may be there
            in_doubt = self.driver.controller.error is not None
            self.closed_at.setdefault(self._session, len(self.acknowledged) + 0.5 * in_doubt)

    @property
    def _session(self) -> int:
        return sum(line["type"] in ("sweep", "resume") for line in self.acknowledged)

    @property
    def _slots(self) -> int:
        return sum(self.nodes.values())

    def _follow_nodes(self) -> None:
        if self.driver is not None:
            self.driver.controller.concurrency = max(1, self._slots)
            self._ask()

    def _lose_node(self, number: int, *, cut: bool) -> None:
        assert self.driver is not None
        if len(self.nodes) < 2 and number % 2:
            return
        node = self._one_of(sorted(self.nodes), number)
        if node is None:
            return
        del self.nodes[node]
        for running in [r for r in self.driver.running if r.node == node]:
            self._ends(running)
            if cut:
                self.driver.late.append(running)
            self._fail(running, Cause.NODE_LOST)
        if not self.nodes:  # another comes in its place
            self.nodes[node + 1] = 1
        self._follow_nodes()

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
            self._continued[number] = max(row["epoch"], self._continued.get(number, 0))
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

    # -- what is promised

    def _check(self, driver: Driver | None = None) -> None:
        """The journal, as far as it was promised; what was looked at before has to be as it was."""
        content = self._journal_bytes()
        if not content.startswith(self._content):
            raise Wrong("lines that were promised are not there, or others")
        raws = content[len(self._content) :].splitlines(keepends=True)
        told = self.acknowledged[self._num_checked :]
        lines = [line_of(raw) for raw in raws[: len(told)]]
        if lines != told:
            raise Wrong(f"of {len(told)} lines that were promised, {len(raws)} are there, or they are others")
        if sum(raw.endswith(b"\n") for raw in raws) > len(told) + 1:
            raise Wrong("more lines are there than can be without having been promised")
        for line in lines:
            self.reader.read(line)
            self.replayed.apply(line)
        self._content += b"".join(raws[: len(told)])
        self._num_checked += len(told)
        for number, epoch in self._continued.items():
            if number not in self.replayed.trials or self.replayed.trials[number].epochs < epoch:
                raise Wrong(f"trial {number} was told to go on after epoch {epoch}, whose row is not there")
        if driver is not None:
            check_same(driver.state, self.replayed)
            self.reader.check(self.replayed)

    def _journal_bytes(self) -> bytes:
        path = self.folder / "journal.jsonl"
        return path.read_bytes() if path.exists() else b""


def line_of(raw: bytes) -> dict[str, Any]:
    """As it was appended. Raises Wrong where it is not that."""
    body, mark, sum_ = raw.rpartition(b',"crc":"')
    if not mark or sum_ != b'%08x"}\n' % zlib.crc32(body):
        raise Wrong(f"a line is damaged: {raw[:60]!r}")
    line: dict[str, Any] = from_json(body + b"}")
    return line


def outcome(world: World) -> list[Any]:
    """What a sweep comes to: its proposals, their rows and decisions, whatever stood between two of them."""
    found: dict[int, list[Any]] = {}
    for line in world.acknowledged:
        if line["type"] == "trial":
            found[line["number"]] = [{**line, "time": None}, []]
        elif line["type"] == "report":
            row = line["row"]
            was_between = row["decision"] in ("interrupt", "pause")
            found[line["number"]][1].append({**row, "decision": "continue" if was_between else row["decision"]})
        elif line["type"] == "continue":
            found[line["number"]].append("continue")
    return [*found.items(), [(t.number, t.status) for t in world.replayed.trials.values()]]


def check_same(state: SweepState, replayed: SweepState) -> None:
    """What a sweep knows while it runs is what its journal says."""
    for name in ("trials", "limit", "learned", "sweep"):
        if getattr(state, name) != getattr(replayed, name):
            raise Wrong(f"{name} of the state are not those of the journal")
    for name in ("searched", "ended_in_order"):
        if [t.number for t in getattr(state, name)] != [t.number for t in getattr(replayed, name)]:
            raise Wrong(f"{name} of the state is not that of the journal")
    if not math.isclose(state.usage.at(2e9).cpu, replayed.usage.at(2e9).cpu):
        raise Wrong("what the sweep has used is not what the journal says")


@contextlib.contextmanager
def instead(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
