"""How fast a sweep goes, and when it will be over: of snapshots, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from balltrain.reporting.snapshot import LiveSnapshot

RATE_WINDOW_S = 30.0


class Pace(NamedTuple):
    """At one moment. None where it cannot be told yet."""

    epochs_per_second: float | None
    elapsed_s: float
    left_s: float | None


class Pacer:
    """Remembers of the snapshots what a rate needs."""

    def __init__(self, since: LiveSnapshot | None, clock: Callable[[], float], started: float | None = None):
        """`since` is what an earlier run of the sweep has done: it tells nothing of this one's speed.

        `started`, by the clock, is when the first trial was; unless given, now.
        """
        self._clock = clock
        self._started = clock() if started is None else started
        self._ended_before = 0 if since is None else since.num_ended
        self._samples = deque([(self._started, 0 if since is None else since.num_epochs)])

    def look(self, snapshot: LiveSnapshot) -> Pace:
        now, epochs = self._clock(), snapshot.num_epochs
        self._samples.append((now, epochs))
        while len(self._samples) > 2 and self._samples[1][0] <= now - RATE_WINDOW_S:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = (epochs - before) / (now - since) if epochs > before and now > since else None
        return Pace(rate, now - self._started, self._seconds_left(snapshot, now, rate))

    def _seconds_left(self, snapshot: LiveSnapshot, now: float, rate: float | None) -> float | None:
        """From the trials ended per second; None before one has ended for each that runs at a time.

        For those that go on after the search, from the epochs per second, `rate`.
        """
        by_this_run = snapshot.num_ended - self._ended_before
        more, epochs = snapshot.trials_to_come, snapshot.epochs_to_come
        if snapshot.time_used is not None and snapshot.time_budget is not None and snapshot.num_trials is None:
            return None if snapshot.interrupted else max(0.0, snapshot.time_budget - snapshot.time_used)
        few = more > 0 and by_this_run < max(2, snapshot.concurrency)
        if snapshot.interrupted or few or (epochs and rate is None):
            return None
        return (more * (now - self._started) / by_this_run if more > 0 else 0.0) + epochs / (rate or 1.0)
