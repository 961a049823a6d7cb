"""Sweeps on disk without training: real controller, state and tables, a task whose losses are a formula."""

from __future__ import annotations

import heapq
import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from balltrain.records.journal import Line
from balltrain.records.results import Results, load_results
from balltrain.records.state import SweepState
from balltrain.records.tables import write_tables
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan
from balltrain.search.policy import Cause
from balltrain.search.space import Space
from balltrain.search.sweep import Sweep
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Hyperparameters, Task
from balltrain.training.running import training_names

START = 1_790_000_000.0  # seconds since 1970, of every simulated sweep


class BowlHyperparameters(Hyperparameters):
    width: int = 32
    layers: list[int] = [16, 32]
    activation: Literal["relu", "gelu"] = "relu"
    depth: Literal["18", "34"] = "18"  # text that looks like JSON
    note: str = "[1, 2]"  # so does this
    kernel: Literal["same", 3] = "same"
    dropout: float | None = None
    heads: int | None = None


class Bowl(Task):
    """Learns nothing: its losses fall to a floor that depends on the hyperparameters."""

    name = "bowl"
    Hyperparameters = BowlHyperparameters
    metric_names = ("iou", "map")


class AccurateBowl(Bowl):
    objective = "iou"
    mode = "max"


class MeasuredBowl(AccurateBowl):
    """Has its metrics of the training batches too."""

    def training_outputs(self, returned: Any, batch: Any, hp: Any) -> dict[str, Any]:
        return {}


def space() -> dict[str, Any]:
    from ray import tune

    return {
        "lr": tune.loguniform(1e-5, 1e-1),
        "width": tune.randint(8, 128),
        "layers": tune.choice([[16, 32], [32, 64, 128]]),
        "activation": tune.choice(["relu", "gelu"]),
        "depth": tune.choice(["18", "34"]),
        "dropout": tune.choice([None, tune.uniform(0.0, 0.5)]),
        "batch_size": 16,
    }


class Simulation:
    """A controller whose trials run in virtual time, `concurrency` at once, each epoch a few seconds."""

    def __init__(
        self,
        trials: int = 24,
        epochs: int = 12,
        *,
        name: str = "bowl-1",
        task: Task | None = None,
        scheduler: str = "asha",
        searcher: str = "random",
        concurrency: int = 4,
        failing: Callable[[int], str | None] = lambda number: None,
        domains: dict[str, Any] | None = None,
        confirm: int = 0,
        continue_best: int = 0,
        continue_epochs: int | None = None,
        start: float = START,
        foresee: Callable[..., dict[str, float]] = lambda config: {},
        **goals: Any,
    ):
        """`goals` are constraints and objectives of `Sweep`."""
        self.task, self.failing, self.now = task or Bowl(), failing, start
        self.random = random.Random(1)
        domains = space() if domains is None else domains
        sweep_ = Sweep(
            self.task,
            domains,
            trials=trials,
            epochs=epochs,
            hyperparameters={"optimizer": "adam"},
            searcher=searcher,
            scheduler=scheduler,
            grace=None if searcher == "freeze-thaw" else max(1, epochs // 10),
            seed=3,
            confirm=confirm,
            continue_best=continue_best,
            continue_epochs=continue_epochs,
            repeats=3,
            **goals,
        )
        self.plan = Plan(name, sweep_, TaskRef("bowl"), self.task, Space(domains), DataRequest(size=100))
        self.state = SweepState()
        versions = {"python": "3.11.7", "torch": "2.13.0"}
        sweep = {
            **self.plan.to_json(),
            "data_fingerprint": "f" * 64,
            "versions": versions,
            "git_commit": "abc123",
        }
        sweep |= {
            "host": "node-1",
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)),
            "placement": {"concurrency": concurrency},
        }
        self.state.apply({"type": "sweep", "sweep": json.loads(json.dumps(sweep)), "time": start})
        self.controller = Controller(
            self.plan, self.state, self, concurrency, clock=lambda: self.now, foresee=foresee
        )
        self._events: list[tuple[float, int, int]] = []

    def append(self, line: Line) -> None:
        """The journal, which no report reads."""

    def step(self) -> bool:
        """The next epoch of any trial, or the end of one; False once the sweep is done."""
        while attempt := self.controller.next_attempt():
            first = 2 if self.plan.search_epochs is None else 6  # as long as the longest epoch
            heapq.heappush(self._events, (self.now + first, attempt.number, attempt.reported_epochs + 1))
        if not self._events:
            return False
        self.now, number, epoch = heapq.heappop(self._events)
        error = self.failing(number)
        if error == "nan":
            self.controller.report(number, self.row(number, epoch) | {"objective": math.nan})
        elif error:
            self.controller.fail(number, Cause.DETERMINISTIC, error)
        elif self.controller.report(number, self.row(number, epoch)) == "continue":
            seconds = 1 + self.state.trials[number].config["width"] / 32
            heapq.heappush(self._events, (self.now + seconds, number, epoch + 1))
        return True

    def row(self, number: int, epoch: int) -> dict[str, Any]:
        config = self.state.trials[number].config
        floor = 1e-3 * (1 + (math.log10(config["lr"]) + 3) ** 2) * (1 + 10 / config["width"])
        val = floor + 0.5 * math.exp(-epoch * 0.8) * self.random.uniform(0.8, 1.2)
        iou = 1 - 20 * val
        return {
            "epoch": epoch,
            "seconds": 1 + config["width"] / 32,
            "lr": config["lr"],
            "train_loss": val * 0.8,
            "val_loss": val,
            "metrics": {"iou": iou, "map": iou * 0.8, **self.of_training(iou)},
            "objective": val if self.task.objective == "val_loss" else iou,
            "node": "node-1",
            "num_params": 1000 * config["width"],
        }

    def of_training(self, iou: float) -> dict[str, float]:
        return dict.fromkeys(training_names(self.task), 1.25 * iou)

    def write(self, storage: Path) -> Path:
        """What the sweep has left on disk by now."""
        folder = storage / self.plan.name
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / ".sweep.json.new"  # replaced at once, as a sweep does: others read meanwhile
        new.write_text(json.dumps(self.state.sweep))
        new.replace(folder / "sweep.json")
        write_tables(self.state, self.task, folder)
        return folder


def run(storage: Path, **options: Any) -> Results:
    """The results of a simulated sweep that ran to its end."""
    simulation = Simulation(**options)
    while simulation.step():
        pass
    return load_results(storage, simulation.write(storage).name)


@pytest.fixture(scope="session")
def simulate() -> type[Simulation]:
    return Simulation


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Results]:
    """Runs a simulated sweep in `tmp_path`."""

    def run_here(**options: Any) -> Results:
        return run(tmp_path, **options)

    return run_here


@pytest.fixture
def accurate() -> Task:
    """A task whose objective is a metric, the higher the better."""
    return AccurateBowl()


@pytest.fixture
def measured() -> Task:
    """One with the same metric of the training batches, a quarter higher."""
    return MeasuredBowl()
