"""Tells whom `--notify` names: when a sweep has ended, failed, reached its target, or has not progressed for long.

Each notice is handed to a process of its own (`deliver.py`), which tries a few times and may outlive the sweep. What
it could not deliver is said in one line. The target and progress are read off the journal, in a thread.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from balltrain.background import every
from balltrain.errors import BalltrainError, UsageError
from balltrain.records.columns import Status
from balltrain.records.journal import FILE, Kind, Line, read_journal, tail_journal
from balltrain.records.state import SweepState
from balltrain.tracking.hooks import Hook

LOOK_EVERY_S = 1.0
WAIT_S = 2.0  # for the last notices, at the end; what is not delivered then goes on beside
AT_ONCE_S = 30.0  # who sees a command fail within it needs no notice
MAX_TEXT = 1900  # characters: Discord takes 2000
DELIVER = str(Path(__file__).with_name("deliver.py"))
# ntfy makes title and message of the JSON by these; other servers do not know them
FOR_NTFY = {"X-Template": "yes", "X-Title": "{{.title}}", "X-Message": "{{.text}}"}


class Event(StrEnum):
    END = "end"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    TARGET = "target"
    STALLED = "stalled"


TITLES = {
    Event.END: "has ended",
    Event.FAILED: "has failed",
    Event.INTERRUPTED: "was interrupted",
    Event.TARGET: "has reached its target",
    Event.STALLED: "does not progress",
}


@dataclass
class Notices:
    """Whom to tell, and how. Without a hook nobody is told, and nothing is done."""

    hooks: tuple[Hook, ...] = ()
    template: Callable[[Mapping[str, str]], tuple[str, str]] | None = None
    stalled_s: float | None = None
    waits_for: str = ""  # as the sweep last knew
    _on_their_way: list[tuple[Hook, subprocess.Popen[bytes]]] = field(default_factory=list)
    _complained: set[Hook] = field(default_factory=set)

    @contextlib.contextmanager
    def about(self, folder: Path, name: str, to_go_on: str) -> Iterator[Callable[[bool], None]]:
        """A block that runs the sweep in `folder`; it calls what it gets with whether it was interrupted.

        Of what it raises, too, those are told.
        """
        if not self.hooks:
            yield lambda interrupted: None
            return
        watch, interrupted = _Watch(self, folder, name), False

        def ran(was_interrupted: bool) -> None:
            nonlocal interrupted
            interrupted = was_interrupted

        for hook in self.hooks:
            if hook.is_url:
                self._hand_over(hook, {"check": hook.target})
        event, error = Event.END, ""
        try:
            with every(LOOK_EVERY_S, watch.look, ignoring=(BalltrainError, OSError), patience_s=1.0):
                yield ran
            event = Event.INTERRUPTED if interrupted else Event.END
        except KeyboardInterrupt:
            event = Event.INTERRUPTED
            raise
        except BaseException as failure:
            event, error = Event.FAILED, " ".join(str(failure).split()) or type(failure).__name__
            raise
        finally:
            if event != Event.FAILED or watch.is_worth_telling(sys.exc_info()[1]):
                self.tell(event, name, _summary(folder, event, error, to_go_on), error=error)
            self.finish()

    def waiting(self, text: str) -> None:
        """What the sweep waits for: «nothing reported for 60 s: trial 00003 is in epoch 4 since 12:01:02»."""
        self.waits_for = text.partition(": ")[2]

    def tell(self, event: Event, name: str, facts: Mapping[str, Any], *, error: str = "") -> None:
        """Hand it over, and return at once. `facts` has its `text`."""
        title = f"{name} {TITLES[event]}"
        text = f"{title}{facts['text']}"[:MAX_TEXT]
        told = {"text": text, "content": text, "title": title, "event": event, "name": name}
        body, kind = json.dumps({**told, "sweep": {**facts, "text": text}}), "application/json"
        if self.template is not None:
            values = {"text": text, "title": title, "event": str(event), "name": name, "error": error}
            body, kind = self.template({**values, "best": str(facts.get("best") or "")})
        for hook in self.hooks:
            if hook.is_url:
                for_ntfy = FOR_NTFY if self.template is None else {}
                headers = {"Content-Type": kind, "User-Agent": "balltrain", **for_ntfy}
                self._hand_over(hook, {"url": hook.target, "headers": headers, "body": body})
            else:
                env = {"BALLTRAIN_EVENT": str(event), "BALLTRAIN_NAME": name, "BALLTRAIN_TEXT": text}
                self._hand_over(hook, {"command": hook.target, "env": env, "body": body})

    def complain(self) -> None:
        """Say of what could not be delivered why; of each hook once."""
        for hook, process in list(self._on_their_way):
            if process.poll() is None:
                continue
            self._on_their_way.remove((hook, process))
            assert process.stdout is not None
            with process.stdout:
                reason = process.stdout.read().decode(errors="replace").strip()
            if reason and hook not in self._complained:
                self._complained.add(hook)
                with contextlib.suppress(OSError):
                    print(f"--notify {hook.shown} could not be told: {reason}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Wait for a moment; those that take longer are delivered, or given up, when nobody looks."""
        deadline = time.monotonic() + WAIT_S
        while self._on_their_way and time.monotonic() < deadline:
            self.complain()
            time.sleep(0.02)

    def _hand_over(self, hook: Hook, task: Mapping[str, Any]) -> None:
        try:
            process = subprocess.Popen(  # -I -S: it imports nothing that is installed
                [sys.executable, "-I", "-S", DELIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            assert process.stdin is not None
            with process.stdin as pipe:
                pipe.write(json.dumps(task).encode())  # not in its arguments, which every user of the machine sees
        except OSError as error:
            print(f"--notify {hook.shown} could not be told: {error.strerror or error}", file=sys.stderr)
            return
        self._on_their_way.append((hook, process))


class _Watch:
    """Reads the journal for the target and for progress: epochs that were reported since it was made."""

    def __init__(self, notices: Notices, folder: Path, name: str):
        self.notices, self.folder, self.name = notices, folder, name
        self.began, self.at = time.time(), time.monotonic()
        self._lines: Iterator[list[Line]] | None = None
        self._sweep: dict[str, Any] = {}
        self._progressed_at = self.at
        self._has_begun = self._is_reached = self._is_stalled = False

    def look(self) -> None:
        self.notices.complain()
        if self._lines is None and (self.folder / FILE).exists():
            self._lines = tail_journal(self.folder)
        for line in next(self._lines) if self._lines is not None else []:
            self._read(line)
        stalled_s, since = self.notices.stalled_s, time.monotonic() - self._progressed_at
        if stalled_s is not None and since > stalled_s and not self._is_stalled:
            self._is_stalled = True
            minutes = f"{since / 60:.0f} min" if since >= 120 else f"{since:.0f} s"
            waits_for = f"; {self.notices.waits_for}" if self.notices.waits_for else ""
            self.notices.tell(Event.STALLED, self.name, {"text": f": no epoch has ended for {minutes}{waits_for}"})

    def is_worth_telling(self, error: BaseException | None) -> bool:
        """Whether a failure may come unseen: not where a command was typed wrong, or fails before one's eyes."""
        if self._has_begun or time.monotonic() - self.at > AT_ONCE_S:
            return True
        return not isinstance(error, UsageError) and not (sys.stderr and sys.stderr.isatty())

    def _read(self, line: Line) -> None:
        is_new = line.get("time", 0.0) >= self.began
        self._has_begun = self._has_begun or is_new
        if line["type"] in (Kind.SWEEP, Kind.RESUME):
            self._sweep = line["sweep"]
        if line["type"] != Kind.REPORT:
            return
        if is_new:
            self._progressed_at, self._is_stalled = time.monotonic(), False
            self.notices.waiting("")
        until, objective = (self._sweep.get("budget") or {}).get("until"), line["row"]["objective"]
        if until is None or objective is None or self._is_reached:
            return
        if objective <= until if self._sweep["mode"] == "min" else objective >= until:
            self._is_reached = True
            if is_new:
                what = f"{self._sweep['objective'].removeprefix('metric.')} {objective:.4g}"
                text = f": {what} in epoch {line['row']['epoch']} of trial {line['number']:05d}"
                self.notices.tell(Event.TARGET, self.name, {"text": f"{text}; {until:g} is good enough"})


def _summary(folder: Path, event: Event, error: str, to_go_on: str) -> dict[str, Any]:
    """What is known of the sweep by its journal, and in `text` how to go on."""
    facts: dict[str, Any] = {"error": error or None, "to_go_on": None if event == Event.END else to_go_on}
    text = f": {error}." if error else "."
    with contextlib.suppress(BalltrainError, OSError):
        state = SweepState.replay(read_journal(folder))
        trials = list(state.trials.values())
        counts: dict[str, int] = {status: sum(t.status == status for t in trials) for status in Status}
        facts |= {"trials": len(trials), **counts, "epochs": sum(t.epochs for t in trials)}
        words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        text += f" {_counted(len(trials), 'trial')} ({words}), {_counted(facts['epochs'], 'epoch')}" if trials else ""
        if state.best is not None:
            facts |= {"best": state.best.objective, "best_trial": state.best.trial_id}
            name = str(state.sweep["objective"]).removeprefix("metric.")
            text += f"; the best {name} is {state.best.objective:.4g}, of trial {state.best.trial_id}"
        text += "." if trials else ""
        if state.limit is not None and event == Event.END:
            text += f" The search ended before its trials, as {state.limit}."
    if facts["to_go_on"]:
        text += f" To go on: {to_go_on}"
    return {**facts, "text": text}


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
