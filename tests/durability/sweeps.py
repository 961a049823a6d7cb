"""Sweeps of a toy task on files as real ones have them, with a training that is a formula: milliseconds a sweep."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from toy import TOY_FILE

from balltrain import durable
from balltrain.execution import sweep_folder
from balltrain.execution.keeping import deleted_checkpoints, finish_sweep
from balltrain.execution.resuming import check_name
from balltrain.execution.sweep_folder import sweep_files
from balltrain.records.journal import Journal, read_journal
from balltrain.records.tables import write_tables
from balltrain.search.attempts import Attempt
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan, make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.training import checkpoint

TABLES_EVERY = 4  # rows
_MODEL = torch.nn.Linear(1, 1)


@dataclass(frozen=True)
class Data:
    """What a sweep's files say of its data."""

    fingerprint: str = "f"


class Told:
    """A journal whose lines are facts once `append` has returned."""

    def __init__(self, journal: Journal, tell: Callable[[Any], None]):
        self.journal, self.tell = journal, tell

    def append(self, line: dict[str, Any]) -> None:
        self.journal.append(line)
        self.tell(("line", json.loads(json.dumps(line, default=str))))


@dataclass
class Toy:
    """Runs a plan in a folder. `tell` hears what is promised: lines, tables, the best checkpoint."""

    plan: Plan
    folder: Path
    concurrency: int = 1
    tell: Callable[[Any], None] = lambda fact: None
    trained: dict[tuple[int, int], int] = field(default_factory=dict)  # (trial, epoch): how often
    controller: Controller | None = None

    def run(self, *, resume: bool, reports: int = 10**9) -> Toy:
        """To the end, or until it is interrupted after so many rows."""
        check_name(self.folder, resume)
        clock = itertools.count(1.0).__next__
        with _provenance(), sweep_files(self.plan, self.folder, Data(), {}, resume) as (journal, state):  # type: ignore[arg-type]
            self._tell_of_header()
            controller = Controller(self.plan, state, Told(journal, self.tell), self.concurrency, clock=clock)
            self.controller = controller
            with deleted_checkpoints(state, self.folder) as deleted:
                controller.on_dropped = deleted
                for count, _ in enumerate(self._rows(controller), 1):
                    if count % TABLES_EVERY == 0:
                        write_tables(state, self.plan.task, self.folder)
                        self.tell(("tables",))
                    if count >= reports:
                        controller.interrupted = True
        finish_sweep(controller, self.folder)
        if state.best is not None:
            self.tell(("best", digest(self.folder / "best")))
        return self

    def _tell_of_header(self) -> None:
        """What a sweep begins with, or goes on with: all lines that are there are promised from here on."""
        self.tell(("lines", list(read_journal(self.folder))))
        self.tell(("sweep.json",))

    def _rows(self, controller: Controller) -> Iterator[None]:
        running: list[tuple[Attempt, Iterator[bool]]] = []
        while not controller.done:
            while attempt := controller.next_attempt():
                running.append((attempt, self._train(controller, attempt)))
            for entry in list(running):
                if not next(entry[1]):
                    running.remove(entry)
                yield

    def _train(self, controller: Controller, attempt: Attempt) -> Iterator[bool]:
        """As `fit`: each epoch is saved before it is reported, and goes on after the last one saved."""
        folder = self.folder / "checkpoints" / attempt.trial_id
        ref = TaskRef("toy", None, "")
        checkpoint.save_config(
            folder, checkpoint.CheckpointConfig(ref, attempt.config, attempt.seed, DataRequest(), {}, "f")
        )
        saved = checkpoint.load_state(folder)
        rows = saved["rows"] if saved else []
        assert len(rows) >= attempt.reported_epochs, f"{attempt.trial_id}: its checkpoint is older than its rows"
        best = checkpoint.best_of(folder)
        assert not rows or (best is not None and best[1] <= min(row["objective"] for row in rows)), (
            "weights are older"
        )
        for row in rows[attempt.reported_epochs :]:
            yield controller.report(attempt.number, row) == "continue"
        while len(rows) < attempt.config["epochs"]:
            row = row_of(attempt, len(rows) + 1)
            key = (attempt.number, row["epoch"])
            self.trained[key] = self.trained.get(key, 0) + 1
            if not rows or row["objective"] < min(r["objective"] for r in rows):
                checkpoint.save_best(folder, _MODEL, row["epoch"], row["objective"])
            rows.append(row)
            checkpoint.save_state(folder, {"rows": rows, "weights": torch.zeros(900)})
            yield controller.report(attempt.number, row) == "continue"


def row_of(attempt: Attempt, epoch: int) -> dict[str, Any]:
    """A curve that falls to what the configuration is worth; it is no plain number, so that rows differ."""
    worth = int(hashlib.sha256(f"{attempt.config['lr']} {attempt.seed}".encode()).hexdigest()[:8], 16) / 2**32
    value = worth + 1 / epoch
    figures = {"train_loss": value, "val_loss": value, "metrics": {"error": value / 2}, "objective": value}
    return {"epoch": epoch, "seconds": 1.0, "lr": attempt.config["lr"], **figures, "num_params": 2, "node": "here"}


def outcome(folder: Path) -> list[Any]:
    """What a sweep comes to: of each trial the configuration, its rows, its decisions and its end; no times."""
    found: dict[int, list[Any]] = {}
    for line in read_journal(folder):
        if line["type"] == "trial":
            found[line["number"]] = [line["config"], line["seed"], []]
        elif line["type"] == "report":
            found[line["number"]][2].append({k: v for k, v in line["row"].items() if k != "time"})
        elif line["type"] == "continue":
            found[line["number"]].append("continue")
    return list(found.items())


def digest(folder: Path) -> str:
    """What a checkpoint holds; raises where any of its files does not."""
    state = checkpoint.load_state(folder)
    found = [sorted(path.name for path in folder.iterdir()), checkpoint.best_of(folder), state and state["rows"]]
    return json.dumps([*found, json.loads((folder / checkpoint.CONFIG).read_text())])


@contextlib.contextmanager
def _provenance() -> Iterator[None]:
    """Without asking git and the versions of packages each time."""
    before, sweep_folder.provenance = sweep_folder.provenance, lambda: {"created_at": "2026-11-27T00:00:00Z"}
    try:
        yield
    finally:
        sweep_folder.provenance = before


@contextlib.contextmanager
def on(disk: durable.Disk) -> Iterator[None]:
    before, durable.disk = durable.disk, disk
    try:
        yield
    finally:
        durable.disk = before


class Quick(durable.Disk):
    """Syncs nothing: what is tried after a power loss ends without one."""

    def sync(self, file: int) -> None: ...

    def sync_file(self, path: Path) -> None: ...

    def sync_folder(self, path: Path) -> None: ...


def toy_plan(**options: Any) -> Plan:
    sweep, ref = find_sweep(TOY_FILE)
    options = {"trials": 4, "epochs": 3, "searcher": "random", "grace": 1, "keep_checkpoints": 2, **options}
    return make_plan(override(sweep, **options), ref, name="toy-sweep", request=DataRequest())
