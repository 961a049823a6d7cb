"""What is recorded and cut off: each scenario, what it promises, and how one goes on after a power loss."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from durability.disk import Recorder, State, states
from durability.sweeps import Quick, Toy, digest, on, outcome, toy_plan

from balltrain.data.cache import Dataset, load_data, open_dataset
from balltrain.durable import recover_folder
from balltrain.errors import BalltrainError
from balltrain.records.journal import FILE, Kind, read_journal
from balltrain.search.plan import Plan
from balltrain.tasks import TaskRef
from balltrain.tasks.base import Arrays, DataRequest, Task

NAME = "toy-sweep"
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
# what a lost promise, or a sweep that cannot go on, is seen by
FOUND = (
    AssertionError,
    BalltrainError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    StopIteration,
    EOFError,
)


@dataclass
class Scenario:
    """A part of a sweep's life: `prepare` is over when it begins, and on disk; `check` goes on after a power loss."""

    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path, Callable[[Any], None]], None]
    check: Callable[[Path, tuple[Any, ...]], None]

    def record(self, make: Callable[[Path], Recorder] = Recorder) -> Recorder:
        """The trace of it."""
        with tempfile.TemporaryDirectory(dir=FAST) as folder:
            root = Path(folder)
            with on(Quick()):
                self.prepare(root)
            disk = make(root).adopt()
            for fact in facts_of(root):
                disk.tell(fact)
            disk.begin = len(disk.trace)
            with on(disk):
                self.run(root, disk.tell)
            return disk

    def violation(self, state: State) -> str | None:
        """What is wrong after a power loss that left this state."""
        with tempfile.TemporaryDirectory(dir=FAST) as folder:
            state.write(Path(folder))
            try:
                self.check(Path(folder), state.facts)
            except FOUND as error:
                return f"{self.name}, after operation {state.after}: {type(error).__name__}: {error}"
        return None

    def violations(self, disk: Recorder, *, most: int | None = None, seed: int = 0) -> tuple[list[str], int]:
        """Of all states of a trace, or of a sample of `most`; with how many were tried."""
        rng = random.Random(seed)
        found = list(states(disk, rng))
        if most is not None and len(found) > most:
            found = rng.sample(found, most)
        return [wrong for state in found if (wrong := self.violation(state)) is not None], len(found)


def facts_of(root: Path) -> list[Any]:
    """What had been promised before a scenario began."""
    folder = root / NAME
    if not (folder / FILE).exists():
        return []
    return [("lines", list(read_journal(folder))), ("sweep.json",), ("tables",), ("best", digest(folder / "best"))]


def lines_of(facts: tuple[Any, ...]) -> list[Any]:
    """All lines of the journal that were promised."""
    found: list[Any] = []
    for kind, *what in facts:
        if kind == "lines":
            found = list(what[0])
        elif kind == "line":
            found.append(what[0])
    return found


@dataclass
class Sweeping:
    """Of a sweep with a plan, which an earlier run with `before` may have begun: so many reports of it."""

    name: str
    plan: Plan
    before: Plan | None = None
    reports: int = 5
    concurrency: int = 1
    edit: Callable[[Path], None] = lambda folder: None  # what the earlier run left
    outcome: Any = None
    bests: set[str] = field(default_factory=set)

    def scenario(self) -> Scenario:
        """What it comes to when nothing happens to it is tried first."""
        with tempfile.TemporaryDirectory(dir=FAST) as folder, on(Quick()):
            self.prepare(Path(folder))
            self.bests |= {fact[1] for fact in facts_of(Path(folder)) if fact[0] == "best"}
            toy = self._toy(Path(folder)).run(resume=self.before is not None)
            assert toy.controller is not None
            best = digest(Path(folder) / NAME / "best")
            self.bests.add(best)
            self.outcome = (outcome(Path(folder) / NAME), toy.controller.rungs(), best)
        return Scenario(self.name, self.prepare, self.run, self.check)

    def prepare(self, root: Path) -> None:
        if self.before is not None:
            Toy(self.before, root / NAME).run(resume=False, reports=self.reports)
            self.edit(root / NAME)

    def run(self, root: Path, tell: Callable[[Any], None]) -> None:
        self._toy(root, tell).run(resume=self.before is not None)

    def check(self, root: Path, facts: tuple[Any, ...]) -> None:
        folder = root / NAME
        told = lines_of(facts)
        there = list(read_journal(folder)) if (folder / FILE).exists() else []
        assert there[: len(told)] == told, f"of {len(told)} lines that were promised, {len(there)} are there"
        # the first line of a run is promised once sweep.json is there too
        assert len(there) <= len(told) + 2, "more lines than can be there without having been promised"
        self._check_files(folder, {fact[0] for fact in facts})
        toy = self._toy(root)
        with on(Quick()):
            toy.run(resume=bool(there))
        assert toy.controller is not None
        reported = {(line["number"], line["row"]["epoch"]) for line in there if line["type"] == Kind.REPORT}
        assert not reported & set(toy.trained), "an epoch was trained twice"
        trials = toy.controller.state.trials.values()
        assert all([row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1)) for trial in trials)
        assert all(trial.has_ended for trial in trials)
        assert len(pd.read_parquet(folder / "epochs.parquet")) == sum(len(trial.rows) for trial in trials)
        if self.concurrency == 1:  # else the order of reports depends on the moment
            now = (outcome(folder), toy.controller.rungs(), digest(folder / "best"))
            for what, is_now, expected in zip(("rows", "rungs", "best/"), now, self.outcome, strict=True):
                assert is_now == expected, f"the resumed sweep came to other {what}"

    def _check_files(self, folder: Path, promised: set[str]) -> None:
        """Before anything is mended by a resume."""
        if "sweep.json" in promised:
            assert json.loads((folder / "sweep.json").read_text())["name"] == NAME
        if "tables" in promised:
            for name in ("trials", "epochs"):
                pd.read_parquet(folder / f"{name}.parquet")
        if "best" in promised:
            with on(Quick()):
                recover_folder(folder / "best")  # where names cannot be exchanged, a resume does it
            assert digest(folder / "best") in self.bests, "best/ is neither the former nor the new one"

    def _toy(self, root: Path, tell: Callable[[Any], None] = lambda fact: None) -> Toy:
        return Toy(self.plan, root / NAME, self.concurrency, tell)


class FailingSync(Sweeping):
    """A sync fails, once; the sweep stops, and is resumed on the same machine, which loses its power after that."""

    def run(self, root: Path, tell: Callable[[Any], None]) -> None:
        try:
            super().run(root, tell)
        except BalltrainError:
            there = (root / NAME / FILE).exists() and list(read_journal(root / NAME))
            self._toy(root, tell).run(resume=bool(there))


class PreparingData:
    """Data is built, and built anew from a source that has changed."""

    request = DataRequest()

    class Numbers(Task):
        name = "numbers"
        first = 0

        def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
            arrays["x"] = np.arange(self.first, self.first + 2000)
            return {}

    def scenario(self) -> Scenario:
        return Scenario("data in the cache", lambda root: None, self.run, self.check)

    def run(self, root: Path, tell: Callable[[Any], None]) -> None:
        for first in (0, 1):
            tell(("data", self._load(root, first, anew=True).fingerprint))

    def check(self, root: Path, facts: tuple[Any, ...]) -> None:
        if facts:
            with on(Quick()):  # what a reader does first: the moment without either, where names cannot be exchanged
                recover_folder(root / "numbers" / "key")
            folders = [path for path in (root / "numbers").iterdir() if path.is_dir() and path.name[0] != "."]
            assert len(folders) == 1, "the data is gone"
            self._check_whole(open_dataset(folders[0]))
        with on(Quick()):
            self._check_whole(self._load(root, 0))
            left = [path for path in (root / "numbers").iterdir() if path.is_dir()]
            assert facts or len(left) == 1, "what a build has left stays for ever"

    def _load(self, root: Path, first: int, *, anew: bool = False) -> Dataset:
        task = self.Numbers()
        task.first = first
        return load_data(TaskRef("numbers", None, ""), task, self.request, root, "key", anew=anew)

    def _check_whole(self, dataset: Dataset) -> None:
        x = dataset.arrays["x"]
        assert len(np.unique(np.diff(x))) == 1, "an array has a hole"
        assert x[0] in (0, 1)


def to_version_4(folder: Path) -> None:
    """The journal as the version before checksums wrote it."""
    lines = list(read_journal(folder))
    lines[0]["version"] = 4
    (folder / FILE).write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def tear(folder: Path) -> None:
    """A power loss before: the last line without its first page, which had been promised to nobody."""
    with open(folder / FILE, "ab") as file:
        file.write(b"\0" * 4096 + b'"}\n')


def scenarios() -> dict[str, Callable[[], Scenario]]:
    """By their names; each is made when it is asked for."""
    started, short = toy_plan(trials=3), toy_plan(trials=3, epochs=2)
    longer = toy_plan(trials=3, epochs=2, continue_best=2, continue_epochs=3)
    sweeps = (
        Sweeping("a sweep", toy_plan()),
        Sweeping("a resume", toy_plan(), toy_plan()),
        Sweeping("a resume of a torn journal", started, started, edit=tear),
        Sweeping("a resume of a journal of version 4", started, started, edit=to_version_4),
        Sweeping("a second stage", longer, short, reports=99),
        Sweeping("paused trials", toy_plan(trials=4, epochs=5, searcher="freeze-thaw", grace=None)),
        Sweeping("confirmation", toy_plan(trials=2, epochs=2, confirm=1, repeats=2)),
        Sweeping("two trials at a time", toy_plan(trials=3), concurrency=2),
    )
    return {**{entry.name: entry.scenario for entry in sweeps}, "data in the cache": PreparingData().scenario}
