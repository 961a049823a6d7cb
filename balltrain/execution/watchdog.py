"""Says what a sweep waits for, once nothing has been reported for longer than its epochs take. Knows no Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from balltrain.records.state import Trial
from balltrain.search.controller import Controller

# a sweep is silent after so many seconds; once it has epochs, after so many times the longest of the last
FIRST_S, LEAST_S, TIMES = 60.0, 20.0, 3.0
NUM_RECENT = 20
AGAIN = 4.0  # what is waited for is said again when it takes so many times as long
MOST_NAMED = 3  # trials, in one line
LOOP_S = 10.0  # that Ray Tune may take for a step


@dataclass(frozen=True)
class Whereabouts:
    """What Ray knows of the trials that run. `nodes` are the names of the nodes that their processes are on."""

    pending: Collection[int] = ()  # numbers of those that wait for resources
    starting: Collection[int] = ()  # whose processes start
    nodes: Mapping[int, str] = field(default_factory=dict)
    resources: str = ""  # what those that wait need, and what is free: "1 CPU, and 0 of 4 CPUs are free"
    loop_s: float = 0.0  # since Ray Tune's loop was last seen to turn


@dataclass(frozen=True)
class Watch:
    """Who is told of a sweep in which nothing goes on: when that begins, and again each time it lasts four times as
    long. `trouble` says what is known to be wrong besides, such as storage that is away."""

    say: Callable[[str], None] = lambda text: None
    trouble: Callable[[], str | None] = lambda: None


NO_WATCH = Watch()


class Watchdog:
    """Looks at a sweep that runs, once a second or so. `controller.waiting` has what it waits for, in words."""

    def __init__(
        self,
        controller: Controller,
        here: str,
        where: Callable[[], Whereabouts],
        watch: Watch = NO_WATCH,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.controller, self.here = controller, here
        self._where, self._watch, self._clock = where, watch, clock
        self._seen = controller.state.usage.last
        self._since = clock()
        self._said_after = 0.0

    def look(self) -> None:
        """May raise RuntimeError where another thread changed what it looked at: the next look will do."""
        controller, now = self.controller, self._clock()
        if (last := controller.state.usage.last) != self._seen or controller.done:
            self._seen, self._since, self._said_after, controller.waiting = last, now, 0.0, None
            return
        silent_s = now - self._since
        if silent_s < self.patience_s:
            return
        waits_for = "; ".join(filter(None, (self._watch.trouble(), self._what())))
        text = f"nothing reported for {_seconds(silent_s)}: {waits_for}"
        if controller.state.usage.last != self._seen:  # Ray took its time to answer, and a row came
            return
        controller.waiting = text
        if silent_s >= AGAIN * self._said_after:
            self._said_after = silent_s
            self._watch.say(text)

    @property
    def patience_s(self) -> float:
        """How long nothing may be reported."""
        state = self.controller.state
        rows = [state.trials[number].rows[at] for number, at in state.learned[-NUM_RECENT:] if at is not None]
        longest = max((row["seconds"] or 0.0 for row in rows), default=None)
        return FIRST_S if longest is None else max(LEAST_S, TIMES * longest)

    def _what(self) -> str:
        live = [self.controller.state.trials[number] for number in sorted(self.controller.live)]
        if not live:
            return "the next trial is being proposed"
        where = self._where()
        if where.loop_s > LOOP_S:
            return f"Ray Tune does not go on since {_clock_time(time.time() - where.loop_s)}"
        pending = [trial for trial in live if trial.number in where.pending]
        parts = [self._of(trial, where) for trial in live if trial not in pending]
        if len(parts) > MOST_NAMED:
            parts = [*parts[:MOST_NAMED], f"and so are {len(parts) - MOST_NAMED} more"]
        if pending:
            who = _named(pending)
            parts.insert(0, f"{who} for {where.resources or 'resources of Ray'}")
        return "; ".join(parts)

    def _of(self, trial: Trial, where: Whereabouts) -> str:
        node = where.nodes.get(trial.number)
        on = f" on {node}" if node else ""
        since = self.controller.state.usage.since(trial.number)
        begun = since is not None and any(time >= since for time in trial.times[-1:])
        at = trial.times[-1] if begun else since
        when = f" since {_clock_time(at)}" if at is not None else ""
        if trial.number in where.starting:
            return f"the process of trial {trial.trial_id} starts{on}{when}"
        doing = f"trial {trial.trial_id} is in epoch {trial.epochs + 1}"
        if not begun and node not in (None, self.here) and not self._has_trained(node):
            doing += ", or builds the data,"
        return f"{doing}{on}{when}"

    def _has_trained(self, node: str | None) -> bool:
        return any(trial.node == node for trial in self.controller.state.trials.values())


def _named(trials: list[Trial]) -> str:
    if len(trials) == 1:
        return f"trial {trials[0].trial_id} waits"
    return f"{len(trials)} trials wait"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _clock_time(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
