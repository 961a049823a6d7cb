"""The live view of a sweep that runs elsewhere, from what it leaves in its storage: sweep.json and the two tables."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records.results import Results, load_results
from balltrain.reporting.live import View
from balltrain.reporting.snapshot import LiveSnapshot, num_planned, snapshot_of_results
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


class Watched:
    """What is known of the sweep by now; `update` looks again. Raises BalltrainError where there is no such sweep."""

    def __init__(self, storage: Storage, name: str):
        self.storage, self.name = storage, name
        self.results: Results | None = None
        self.snapshot: LiveSnapshot | None = None
        self.alive_at = time.time()  # seconds since 1970: when the sweep last wrote its tables
        self._read()

    def update(self) -> None:
        with contextlib.suppress(BalltrainError):  # storage that is away, a file that is being replaced: next time
            self._read()

    @property
    def ended(self) -> bool:
        if self.results is None or self.snapshot is None:
            return False
        planned = self.snapshot.num_trials
        return ENDED_AT in self.results.sweep or (planned is not None and self.snapshot.num_ended >= planned)

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
        results = load_results(self.storage.root, self.name)
        self.snapshot, self.results = snapshot_of_results(results), results
        self.alive_at = self.storage.modified_at(self.name, c.EPOCHS_FILE) or self.alive_at


@contextlib.contextmanager
def _panel(watched: Watched, console: Console) -> Iterator[None]:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    view: View | None = None

    def draw() -> None:
        nonlocal view
        if watched.results is None or watched.snapshot is None:
            live.update(
                Text(f"{watched.name} has just begun: its first tables come within half a minute"), refresh=True
            )
            return
        if view is None:
            begun = watched.results.trials[c.STARTED_AT].min()
            started = begun.timestamp() if begun == begun else watched.alive_at
            view = View(clock=lambda: watched.alive_at, started=started)
        text = watched.silence or f"as of {duration(max(0.0, time.time() - watched.alive_at))} ago"
        panel = view.render(watched.snapshot, console.width, console.height - 1)
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
    planned = num_planned(results.sweep)
    of_all = "" if planned is None else f" of {planned}"
    text = f"{watched.name}: {len(results.trials)}{of_all} trials ({counts})"
    text += f", {results.num_epochs} epochs"
    text = text if best is None else f"{text}, best {results.objective_name} {short(best[c.OBJECTIVE])}"
    return text if watched.snapshot is None or watched.snapshot.front is None else f"{text}; {watched.snapshot.front}"
