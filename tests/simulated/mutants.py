"""What the histories are worth: mends and rules that are taken out, one at a time, and have to be missed."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from balltrain import durable
from balltrain.records.state import SweepState
from balltrain.search import policy
from balltrain.search.after_search import AfterSearch
from balltrain.search.controller import Controller


@dataclass(frozen=True)
class Mutant:
    """In the source of `owner.name` the text `old` becomes `new`."""

    what: str
    owner: Any
    name: str
    old: str
    new: str = "pass"
    learns: bool = False  # only searchers that learn show it

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        before = inspect.getattr_static(self.owner, self.name)
        function = before.fget if isinstance(before, property) else before
        source = textwrap.dedent(inspect.getsource(function)).removeprefix("@property\n")
        assert self.old in source, f"{self.what}: its text is not there any more"
        found: dict[str, Any] = {}
        exec(compile(source.replace(self.old, self.new), "<mutant>", "exec"), function.__globals__, found)
        mutant = found[function.__name__]
        setattr(self.owner, self.name, property(mutant) if isinstance(before, property) else mutant)
        try:
            yield
        finally:
            setattr(self.owner, self.name, before)


ROW = 'self._write({"type": Kind.REPORT, "number": number, "row": {**clean, c.DECISION: decision}, **reason})'
TWO_LINES = """self._write({"type": Kind.REPORT, "number": number, "row": {**clean, c.DECISION: "continue"}})
    if decision != "continue":
        self._write({"type": Kind.END, "number": number, "status": decision.status})"""

MUTANTS = (
    Mutant("a line is not synced", durable.AppendedFile, "append", "disk.sync(self._file)"),
    Mutant("a torn line is not cut off", durable.AppendedFile, "__init__", "disk.truncate(self._file, size)"),
    Mutant("the last line is not written once more", durable.AppendedFile, "__init__", "if last:", "if False:"),
    Mutant(
        "a line is applied before it is written",
        Controller,
        "_write",
        "self._journal.append(line)",
        "self.state.apply(line); self._journal.append(line); return",
    ),
    Mutant("a report is accepted twice", Controller, "report", "row[c.EPOCH] <= trial.epochs", "False"),
    Mutant(
        "the decision is not in the row's line",
        Controller,
        "report",
        ROW,
        TWO_LINES,
    ),
    Mutant(
        "rungs begin anew at a resume",
        Controller,
        "_replay",
        "self._stopping.goes_on(trial.trial_id, row[c.EPOCH], heard)",
    ),
    Mutant(
        "rungs hear of the second stage", Controller, "_replay", "trial.rows[: trial.continued_after]", "trial.rows"
    ),
    Mutant(
        "freeze-thaw is told nothing at a resume",
        Controller,
        "_replay",
        'self._freeze_thaw.observe(trial, row[c.EPOCH], None if failed else row["objective"])',
        learns=True,
    ),
    Mutant(
        "configurations are forgotten at a resume",
        Controller,
        "_replay",
        "self._first_with.setdefault",
        "(lambda *_: None)",
    ),
    Mutant("unfinished trials are forgotten at a resume", Controller, "_replay", "self._waiting.extend", "list"),
    Mutant(
        "what comes late is heard",
        Controller,
        "_runs",
        "attempt in (None, self.state.trials[number].attempts)",
        "True",
    ),
    Mutant(
        "attempts that were killed with the sweep count",
        SweepState,
        "apply",
        "lost_attempts += 1",
        "lost_attempts += 0",
    ),
    Mutant(
        "attempts that were interrupted count", SweepState, "_report", "(Decision.INTERRUPT, Decision.PAUSE)", "()"
    ),
    Mutant(
        "a lost node counts", policy.Cause, "is_nobodys_fault", "(Cause.STORAGE, Cause.NODE_LOST)", "(Cause.STORAGE,)"
    ),
    Mutant("trials start after the sweep was told to end", Controller, "_next", "self._closing or ", ""),
    Mutant("trials go on after the sweep was told to end", Controller, "_decide", "if self._closing:", "if False:"),
    Mutant("a trial runs twice", Controller, "next_attempt", "self.live.add(trial.number)"),
    Mutant("one too many goes on", SweepState, "to_continue", "count - chosen", "count - chosen + 1"),
    Mutant("all repeats have one seed", AfterSearch, "repeat_of", "seed_of(self.plan.sweep.seed, times, 1)", "7"),
    Mutant(
        "the last epoch does not end a trial",
        Controller,
        "_decide",
        ">= self.state.epochs_of(trial)",
        "> self.state.epochs_of(trial)",
    ),
)
