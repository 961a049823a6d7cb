"""The live view of a sweep that runs elsewhere, from what it leaves in its storage: sweep.json and the two tables."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results, load_results, plain
from balltrain.records.state import SweepState, Trial
from balltrain.reporting.live import View
from balltrain.reporting.text import duration, short
from balltrain.storage import Storage

if TYPE_CHECKING:
    from rich.console import Console

POLL_S = 2.0
SILENT_S = 60.0  # the tables are written every 20 s, and uploaded some seconds later
ENDED_AT = "ended_at"  # in sweep.json, once the sweep has ended or was interrupted


def watch(storage: Storage, name: str, console: Console) -> Results:
    """Show the sweep until it has ended; its results then. Raises BalltrainError where there is none of that name.

    On a terminal it is the panel of `balltrain sweep`, elsewhere a line whenever something has changed.
    """
    watched = Watched(storage, name)
    show = _panel if console.is_terminal and not console.is_dumb_terminal else _lines
    with show(watched, console):
        while not watched.ended:
            time.sleep(POLL_S)
            watched.update()
    assert watched.results is not None
    return watched.results


@dataclass
class Progress:
    """What `View` shows, which a running sweep's controller has too."""

    plan: Any
    state: SweepState
    live: set[int]
    concurrency: int
    interrupted: bool = False


class Watched:
    """What is known of the sweep by now; `update` looks again. Raises BalltrainError where there is no such sweep."""

    def __init__(self, storage: Storage, name: str):
        self.storage, self.name = storage, name
        self.results: Results | None = None
        self.progress: Progress | None = None
        self.alive_at = time.time()  # seconds since 1970: when the sweep last wrote its tables
        self._read()

    def update(self) -> None:
        with contextlib.suppress(BalltrainError):  # storage that is away, a file that is being replaced: next time
            self._read()

    @property
    def ended(self) -> bool:
        if self.results is None:
            return False
        done = sum(self.results.counts[status] for status in (Status.COMPLETED, Status.STOPPED, Status.FAILED))
        return ENDED_AT in self.results.sweep or done >= _num_trials(self.results.sweep)

    @property
    def silence(self) -> str | None:
        """What to say of a sweep that has not written for long."""
        seconds = time.time() - self.alive_at
        if seconds < SILENT_S:
            return None
        return f"no sign of life for {duration(seconds)}: if it was killed, --resume goes on with it"

    def _read(self) -> None:
        folder = self.storage.fetch_tables(self.name)
        if (folder / "sweep.json").is_file() and not (folder / c.EPOCHS_FILE).is_file():
            return  # it has just begun
        self.results = load_results(self.storage.root, self.name)
        self.alive_at = self.storage.modified_at(self.name, c.EPOCHS_FILE) or self.alive_at
        sweep = self.results.sweep
        plan = SimpleNamespace(
            name=self.name,
            task=SimpleNamespace(name=sweep["task"], objective=sweep["objective"]),
            sweep=SimpleNamespace(searcher=sweep["searcher"], scheduler=sweep["scheduler"]["name"]),
            num_trials=_num_trials(sweep),
        )
        state = state_of(self.results)
        live = {trial.number for trial in state.with_status(Status.RUNNING)}
        self.progress = Progress(plan, state, live, sweep["placement"]["concurrency"])


def state_of(results: Results) -> SweepState:
    """The state that the tables tell of: trials without their configurations, and rows of running ones alone."""
    state = SweepState()
    state.sweep = results.sweep
    running = results.trials[results.trials[c.STATUS] == Status.RUNNING][c.TRIAL_ID]
    epochs = results.epochs[results.epochs[c.TRIAL_ID].isin(running)]
    curves = {
        trial_id: [
            {"epoch": int(epoch), "objective": plain(value)}
            for epoch, value in zip(rows[c.EPOCH], rows[results.objective_column], strict=True)
        ]
        for trial_id, rows in epochs.groupby(c.TRIAL_ID)
    }
    for row in results.trials.to_dict("records"):
        trial = Trial(int(row[c.NUMBER]), {}, None, int(row[c.SEED]))
        after = plain(row.get(c.CONTINUED_AFTER))
        trial.continued_after = None if after is None else int(after)
        others = [row.get(column) for column in (c.CONFIRMS, c.SAME_AS)]
        trial.confirms, trial.same_as = (int(other) if isinstance(other, str) else None for other in others)
        trial.status, trial.has_checkpoint = row[c.STATUS], isinstance(row[c.CHECKPOINT], str)
        last = {"epoch": int(row[c.EPOCHS]), "objective": None}  # the tables may be of two moments
        trial.rows = curves.get(row[c.TRIAL_ID]) or [last] * bool(row[c.EPOCHS])
        if (objective := plain(row[c.OBJECTIVE])) is not None:
            trial.best = {"epoch": int(row[c.BEST_EPOCH]), "objective": objective}
        state.trials[trial.number] = trial
        if trial.confirms is None:
            state.searched.append(trial)
    return state


def _num_trials(sweep: dict[str, Any]) -> int:
    trials = sweep["trials"]
    return trials * (sweep.get("folds") or 1) + min(sweep.get("confirm") or 0, trials) * (sweep.get("repeats") or 0)


@contextlib.contextmanager
def _panel(watched: Watched, console: Console) -> Iterator[None]:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    view: View | None = None

    def draw() -> None:
        nonlocal view
        if watched.progress is None or watched.results is None:
            live.update(
                Text(f"{watched.name} has just begun: its first tables come within half a minute"), refresh=True
            )
            return
        if view is None:
            begun = watched.results.trials[c.STARTED_AT].min()
            started = begun.timestamp() if begun == begun else watched.alive_at
            view = View(watched.progress, watched.progress, lambda: watched.alive_at, started)
        view.controller = watched.progress
        text = watched.silence or f"as of {duration(max(0.0, time.time() - watched.alive_at))} ago"
        panel = view.render(console.width, console.height - 1)
        live.update(Group(panel, Text(text, style="yellow" if watched.silence else "dim")), refresh=True)

    live = Live(console=console, auto_refresh=False, transient=True)
    with live:
        draw()  # also of a sweep that ends at once
        with every(POLL_S / 4, draw):
            yield


@contextlib.contextmanager
def _lines(watched: Watched, console: Console) -> Iterator[None]:
    shown = None

    def show() -> None:
        nonlocal shown
        line = watched.silence.partition(" for ")[0] if watched.silence else _line(watched)
        if line != shown:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            shown = line

    show()
    with every(POLL_S / 4, show):
        yield


def _line(watched: Watched) -> str:
    if watched.results is None:
        return f"{watched.name}: it has just begun"
    results, best = watched.results, watched.results.best
    counts = ", ".join(f"{count} {status}" for status, count in results.counts.items() if count)
    text = f"{watched.name}: {len(results.trials)} of {_num_trials(results.sweep)} trials ({counts})"
    text += f", {results.num_epochs} epochs"
    return text if best is None else f"{text}, best {results.objective_name} {short(best[c.OBJECTIVE])}"
