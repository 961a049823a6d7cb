"""What a sweep has used up by its journal: wall-clock time, and the time that its trials have held CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from balltrain.records.columns import Decision
from balltrain.records.journal import Kind, Line


class Used(NamedTuple):
    """In seconds: of the clock on the wall, of one CPU and of one GPU."""

    wall: float
    cpu: float
    gpu: float


class Usage:
    """Adds up the sessions of a sweep, from its first line to its last, and those of its attempts."""

    def __init__(self) -> None:
        self._began = self._last = 0.0  # of this session, and of its last line
        self._earlier, self._cpu, self._gpu = 0.0, 0.0, 0.0
        self._since: dict[int, float] = {}  # trials that hold their resources, and from when on
        self._each = (1.0, 0.0)  # CPUs and GPUs of a trial

    def apply(self, line: Line) -> None:
        """Each line of the journal comes once, in order."""
        kind, time = line["type"], float(line.get("time", self._last))
        if kind in (Kind.SWEEP, Kind.RESUME):
            for trial in list(self._since):  # a killed session's trials held them until its last line
                self._release(trial, self._last)
            self._earlier += self._last - self._began
            self._began = float(line.get("began", time))
            self._each = resources_of(line["sweep"])
        elif kind == Kind.START:
            self._since[line["number"]] = time
        elif kind == Kind.END or (kind == Kind.REPORT and line["row"]["decision"] != Decision.CONTINUE):
            self._release(line["number"], time)
        self._last = time

    def at(self, now: float) -> Used:
        """By now, in seconds since 1970, of a sweep that goes on."""
        held = sum(now - since for since in self._since.values())
        cpus, gpus = self._each
        return Used(self._earlier + now - self._began, self._cpu + held * cpus, self._gpu + held * gpus)

    @property
    def each(self) -> tuple[float, float]:
        """CPUs and GPUs that a trial holds."""
        return self._each

    @property
    def last(self) -> float:
        """When the last line was written, in seconds since 1970."""
        return self._last

    def since(self, number: int) -> float | None:
        """When the attempt at a trial began that holds its resources now; None where none does."""
        return self._since.get(number)

    def _release(self, number: int, time: float) -> None:
        if (since := self._since.pop(number, None)) is not None:
            cpus, gpus = self._each
            self._cpu += (time - since) * cpus
            self._gpu += (time - since) * gpus


def resources_of(sweep: Mapping[str, Any]) -> tuple[float, float]:
    """CPUs and GPUs that a trial of a sweep holds, by its `sweep.json`."""
    placement = sweep.get("placement") or {}
    workers = placement.get("workers", 1)
    return workers * placement.get("cpus_per_worker", 1.0), workers * placement.get("gpus_per_worker", 0.0)
