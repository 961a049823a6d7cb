"""What a terminal shows while a sweep runs, here or elsewhere: a panel, drawn again and again of a snapshot."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from balltrain.background import every
from balltrain.records.columns import Status
from balltrain.reporting.notebook import in_notebook, notebook_view
from balltrain.reporting.pace import Pacer
from balltrain.reporting.snapshot import CURVE_LENGTH, LiveSnapshot, LiveTrial
from balltrain.reporting.terminal.style import STATUS_STYLE
from balltrain.reporting.text import duration, short

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REFRESH_S = 0.25
MAX_WIDTH = 100  # of the panel
LINES_AROUND_TRIALS = 9  # of the panel, without its rows of running trials
SPARKS = "▁▂▃▄▅▆▇█"


@contextlib.contextmanager
def live_view(look: Callable[[], LiveSnapshot], console: Console | None = None) -> Iterator[None]:
    """Shows the sweep in the notebook, or on standard error where that is a terminal, until the block ends.

    `look` may raise RuntimeError where another thread has just changed what it looks at: it is asked again.
    """
    if console is None and in_notebook():
        view = View(since=look())
        with notebook_view(lambda width, height: view.render(look(), width, height)):
            yield
        return
    from rich.console import Console
    from rich.live import Live

    console = console or Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    view = View(since=look())
    # what goes to a standard output that is no terminal, such as `--json | jq`, must get there
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty())

    def draw() -> None:
        snapshot = look()
        live.update(view.render(snapshot, console.width, console.height), refresh=True)
        if snapshot.interrupted:
            console.show_cursor(True)  # a second Ctrl-C ends the process without a chance to

    # "dictionary changed size during iteration": the next drawing will do
    with live, every(REFRESH_S, draw, ignoring=(RuntimeError,)):
        yield


class View:
    """Makes the panel of a snapshot, and remembers what its rates need."""

    def __init__(
        self,
        since: LiveSnapshot | None = None,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ):
        """`since` is what an earlier run of the sweep has done: it tells nothing of this one's speed.

        `started`, by the clock, is when the first trial was; unless given, now.
        """
        self._pacer = Pacer(since, clock, started)

    def render(self, snapshot: LiveSnapshot, width: int, height: int) -> RenderableType:
        """The panel, no larger than this."""
        from rich.console import Group
        from rich.panel import Panel

        parts: list[Any] = [_line(_interrupted_text(len(snapshot.running)))] if snapshot.interrupted else []
        if snapshot.waiting is not None:
            parts.append(_line(f"[yellow]{_escape(snapshot.waiting)}[/]"))
        parts.append(_progress(snapshot))
        front = [] if snapshot.front is None else [f"[dim]front[/] {_escape(snapshot.front)}"]
        texts = (_counts(snapshot), _best(snapshot), *front, self._rates(snapshot))
        parts += [_line(text) for text in texts]
        more = len(front) + snapshot.interrupted + (snapshot.waiting is not None)
        rows = max(1, height - LINES_AROUND_TRIALS - more)
        parts.append(_running(snapshot.running, rows, snapshot.objective))
        # a terminal echoes ^C behind the panel: at its right edge that would make a line more
        return Panel(
            Group(*parts),
            title=f"[bold]{_escape(snapshot.name)}[/]  {snapshot.task} · {snapshot.method}",
            title_align="left",
            border_style="dim",
            width=min(width - 2, MAX_WIDTH),
        )

    def _rates(self, snapshot: LiveSnapshot) -> str:
        pace = self._pacer.look(snapshot)
        rate, left = pace.epochs_per_second, pace.left_s
        return "   ".join(
            f"[dim]{name}[/] {value}"
            for name, value in (
                ("epochs", snapshot.num_epochs),
                ("per second", "—" if rate is None else short(rate, 3)),
                ("elapsed", duration(pace.elapsed_s)),
                ("left", "—" if left is None else f"about {duration(left)}"),
            )
        )


def _progress(snapshot: LiveSnapshot) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    total: float | None = snapshot.num_trials
    ended: float = snapshot.num_ended
    words = f"{ended} trials" if total is None else f"{ended}/{total} trials"
    if snapshot.search_epochs is not None:
        total, ended = snapshot.search_epochs, min(snapshot.num_epochs, snapshot.search_epochs)
        words = f"{ended}/{total} epochs"
    elif total is None and snapshot.time_used is not None and snapshot.time_budget is not None:
        total, ended = snapshot.time_budget, min(snapshot.time_used, snapshot.time_budget)
        words = f"{words}, {duration(ended)} of {duration(total)}"
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True)
    table.add_row(ProgressBar(total=total, completed=ended), words)
    return table


def _counts(snapshot: LiveSnapshot) -> str:
    counts = snapshot.counts
    words = [f"[{STATUS_STYLE[s]}]{counts[s]} {s}[/]" for s in Status if counts.get(s)]
    return " · ".join(words) + f"   [dim]{snapshot.concurrency} at a time[/]"


def _best(snapshot: LiveSnapshot) -> str:
    name, best = _escape(snapshot.objective), snapshot.best
    if best is None:
        return f"[dim]best[/]  {name} —"
    of = f"trial {best.trial_id}, epoch {best.epoch}"
    return f"[dim]best[/]  {name} [bold green]{short(best.objective)}[/]  {of}"


def _running(running: Sequence[LiveTrial], rows: int, objective: str) -> RenderableType:
    from rich import box
    from rich.table import Table

    if len(running) > rows:
        rows -= 1  # for the line that says so
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), expand=True)
    measured = any(value is not None for trial in running[:rows] for value in trial.training)
    for name in ("trial", "epoch", objective, "best", *(["training"] if measured else [])):
        justify: Any = "left" if name == "trial" else "right"
        table.add_column(_escape(name), justify=justify, no_wrap=True, overflow="ellipsis")
    table.add_column(f"last {CURVE_LENGTH} epochs", ratio=1, no_wrap=True, overflow="crop")
    if measured:
        table.add_column("training", ratio=1, no_wrap=True, overflow="crop")
    for trial in running[:rows]:
        both = [*trial.curve, *trial.training]
        table.add_row(
            trial.trial_id,
            f"{trial.epoch}/{trial.num_epochs}",
            short(trial.curve[-1]) or "—" if trial.curve else "—",
            short(trial.objective) or "—",
            *([short(trial.training[-1]) or "—" if trial.training else "—"] if measured else []),
            f"[cyan]{sparkline(trial.curve, both)}[/]",
            *([f"[yellow]{sparkline(trial.training, both)}[/]"] if measured else []),
        )
    if not running:
        table.add_row("[dim]none[/]")
    if len(running) > rows:
        table.add_row("…", f"and {len(running) - rows} more")
    return table


def sparkline(values: Sequence[float | None], among: Sequence[float | None] | None = None) -> str:
    """A character a value, in a log scale where all are positive; a space where there is none.

    `among` are the values that share its scale, `values` with them.
    """
    finite = [value for value in (values if among is None else among) if value is not None]
    if not finite:
        return ""
    log = min(finite) > 0
    scaled = [None if value is None else math.log(value) if log else value for value in values]
    low, high = (math.log(min(finite)), math.log(max(finite))) if log else (min(finite), max(finite))
    span = (high - low) or 1.0
    top = len(SPARKS) - 1
    return "".join(" " if v is None else SPARKS[round((v - low) / span * top)] for v in scaled)


def _interrupted_text(num_running: int) -> str:
    trials = "1 trial ends" if num_running == 1 else f"{num_running} trials end"
    return f"[bold magenta]interrupted[/]: {trials} after this epoch; Ctrl-C again ends at once"


def _line(markup: str) -> RenderableType:
    """One line whatever the width, for the panel must not grow."""
    from rich.text import Text

    text = Text.from_markup(markup, overflow="ellipsis")
    text.no_wrap = True
    return text


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
