"""Sweeps under a virtual clock: the production Controller on known learning curves, an epoch a unit of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from balltrain.records.columns import Decision
from balltrain.records.journal import VERSION, Line
from balltrain.records.state import SweepState
from balltrain.search.attempts import Attempt
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan, make_plan
from balltrain.search.sweep import Sweep
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Task
from balltrain.testing.curves import Problem
from balltrain.training.rows import EpochRow


@dataclass(frozen=True)
class _Known(TaskRef):
    """A reference to a problem's task, which no file defines."""

    problem: Problem | None = None

    def load(self) -> Task:
        assert self.problem is not None
        return self.problem.task()


def plan_of(problem: Problem, **options: Any) -> Plan:
    """The plan of a sweep of a problem. `options` are those of `Sweep`; its epochs are the problem's."""
    sweep = Sweep(problem.task(), problem.space, **{"epochs": problem.epochs, **options})
    ref = _Known(problem.name, None, None, problem=problem)
    return make_plan(sweep, ref, name="virtual", request=DataRequest())


class VirtualSweep:
    """A sweep of a problem, on so many workers. `lines` are the journal, of an earlier run to go on with too.

    `seconds` says how long an epoch of an attempt takes; a resumed sweep goes on when the earlier one ended.
    """

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        *,
        workers: int = 4,
        lines: Iterable[Line] = (),
        seconds: Callable[[Attempt, int], float] = lambda attempt, epoch: 1.0,
    ) -> None:
        self.problem, self.now, self._seconds = problem, 0.0, seconds
        self.lines: list[Line] = list(lines)
        self.state = SweepState.replay(self.lines)
        self.now = float(self.lines[-1]["time"]) if self.lines else 0.0
        header = {"version": VERSION, "sweep": {**plan.to_json(), "data_fingerprint": ""}, "time": self.now}
        self.append({"type": "resume" if self.lines else "sweep", **header})
        self.state.apply(self.lines[-1])
        self.controller = Controller(plan, self.state, self, workers, clock=lambda: self.now)
        self._queue: list[tuple[float, int, Attempt, int, np.ndarray]] = []
        self._order = 0

    def append(self, line: Line) -> None:
        self.lines.append(line)

    def values(self) -> Iterator[float]:
        """The objective of each epoch trained, until the sweep has ended: one that is left is one that was killed."""
        self._start()
        while self._queue:
            self.now, _, attempt, epoch, curve = heapq.heappop(self._queue)
            value = float(curve[epoch - 1])
            row = _row(epoch, value, self._seconds(attempt, epoch))
            if self.controller.report(attempt.number, row) == Decision.CONTINUE:
                self._push(attempt, epoch + 1, curve)
            yield value
            self._start()

    def run(self, epochs: int | None = None) -> VirtualSweep:
        """To its end, or until it is killed after so many epochs."""
        for count, _ in enumerate(self.values(), 1):
            if count == epochs:
                break
        return self

    def _start(self) -> None:
        while attempt := self.controller.next_attempt():
            self._push(attempt, attempt.reported_epochs + 1, self.problem.curve(attempt.config))

    def _push(self, attempt: Attempt, epoch: int, curve: np.ndarray) -> None:
        heapq.heappush(self._queue, (self.now + self._seconds(attempt, epoch), self._order, attempt, epoch, curve))
        self._order += 1


def outcome(state: SweepState) -> list[Any]:
    """All that two sweeps which went alike have in common."""
    return [(t.config, t.status, t.seed, t.rows) for t in state.trials.values()]


def _row(epoch: int, value: float, seconds: float) -> EpochRow:
    loss = value if math.isfinite(value) else math.nan
    return {
        "epoch": epoch,
        "seconds": seconds,
        "lr": 1.0,
        "num_params": 1,
        "node": "virtual",
        "train_loss": loss,
        "val_loss": loss,
        "objective": loss,
        "metrics": {},
    }
