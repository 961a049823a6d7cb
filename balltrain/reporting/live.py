"""What a terminal shows while a sweep runs. Reads what another thread changes, changes nothing."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from balltrain.background import every
from balltrain.records.columns import Status
from balltrain.reporting.notebook import in_notebook, notebook_view
from balltrain.reporting.terminal import STATUS_STYLE
from balltrain.reporting.text import duration, short

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from balltrain.execution.placement import Placement
    from balltrain.records.state import SweepState, Trial
    from balltrain.search.controller import Controller

REFRESH_S = 0.25
RATE_WINDOW_S = 30.0
MAX_WIDTH = 100  # of the panel
LINES_AROUND_TRIALS = 9  # of the panel, without its rows of running trials
SPARKS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 20  # epochs


@contextlib.contextmanager
def live_view(controller: Controller, placement: Placement, console: Console | None = None) -> Iterator[None]:
    """Shows the sweep in the notebook, or on standard error where that is a terminal, until the block ends."""
    if console is None and in_notebook():
        with notebook_view(View(controller, placement).render):
            yield
        return
    from rich.console import Console
    from rich.live import Live

    console = console or Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    view = View(controller, placement)
    # what goes to a standard output that is no terminal, such as `--json | jq`, must get there
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty())

    def draw() -> None:
        live.update(view.render(console.width, console.height), refresh=True)
        if controller.interrupted:
            console.show_cursor(True)  # a second Ctrl-C ends the process without a chance to

    # "dictionary changed size during iteration": the next drawing will do
    with live, every(REFRESH_S, draw, ignoring=(RuntimeError,)):
        yield


class Shown(Protocol):
    """What the panel shows: a controller, or what the tables tell of one elsewhere."""

    plan: Any
    state: SweepState
    live: set[int]
    concurrency: int
    interrupted: bool


class View:
    """Makes the panel, and remembers what its rates need."""

    def __init__(
        self,
        controller: Shown,
        placement: Any,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ):
        """`started`, by the clock, is when the first trial was; unless given, now."""
        self.controller, self.placement, self._clock = controller, placement, clock
        self._started = clock() if started is None else started
        # what the run of the sweep before has done, that this one resumes
        trials = list(controller.state.trials.values()) if started is None else []
        self._ended_before = _num_ended(trials)
        self._samples = deque([(self._started, _num_epochs(trials))])

    def render(self, width: int, height: int) -> RenderableType:
        """The panel as of now, no larger than this. Raises RuntimeError where the state just changed."""
        from rich.console import Group
        from rich.panel import Panel

        trials = list(self.controller.state.trials.values())
        plan, interrupted = self.controller.plan, self.controller.interrupted
        parts: list[Any] = [_line(_interrupted_text(len(self.controller.live)))] if interrupted else []
        parts.append(self._progress(trials))
        parts += [_line(text) for text in (self._counts(trials), self._best(), self._rates(trials))]
        parts.append(self._running(max(1, height - LINES_AROUND_TRIALS - interrupted)))
        title = f"[bold]{_escape(plan.name)}[/]  {plan.task.name} · {plan.sweep.searcher} + {plan.sweep.scheduler}"
        # a terminal echoes ^C behind the panel: at its right edge that would make a line more
        return Panel(
            Group(*parts),
            title=title,
            title_align="left",
            border_style="dim",
            width=min(width - 2, MAX_WIDTH),
        )

    def _progress(self, trials: list[Trial]) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        total, ended = self.controller.plan.num_trials, _num_ended(trials)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True)
        table.add_row(ProgressBar(total=total, completed=ended), f"{ended}/{total} trials")
        return table

    def _counts(self, trials: list[Trial]) -> str:
        counts = Counter(trial.status for trial in trials)
        counts[Status.RUNNING] = len(self.controller.live)
        words = [f"[{STATUS_STYLE[s]}]{counts[s]} {s}[/]" for s in Status if counts[s]]
        places = self.placement.concurrency
        return " · ".join(words) + f"   [dim]{places} at a time[/]"

    def _best(self) -> str:
        name = _escape(self.controller.plan.task.objective)
        best = self.controller.state.best
        if best is None or best.best is None:
            return f"[dim]best[/]  {name} —"
        of = f"trial {best.trial_id}, epoch {best.best['epoch']}"
        return f"[dim]best[/]  {name} [bold green]{short(best.objective)}[/]  {of}"

    def _rates(self, trials: list[Trial]) -> str:
        now = self._clock()
        self._samples.append((now, _num_epochs(trials)))
        while len(self._samples) > 2 and self._samples[1][0] <= now - RATE_WINDOW_S:
            self._samples.popleft()
        (since, before), (_, epochs) = self._samples[0], self._samples[-1]
        rate = (epochs - before) / (now - since) if epochs > before and now > since else None
        left = self._seconds_left(trials, now, rate)
        return "   ".join(
            f"[dim]{name}[/] {value}"
            for name, value in (
                ("epochs", epochs),
                ("per second", "—" if rate is None else short(rate, 3)),
                ("elapsed", duration(now - self._started)),
                ("left", "—" if left is None else f"about {duration(left)}"),
            )
        )

    def _seconds_left(self, trials: list[Trial], now: float, rate: float | None) -> float | None:
        """From the trials ended per second; None before one has ended for each that runs at a time.

        For those that go on after the search, from the epochs per second, `rate`.
        """
        sweep = self.controller.state.sweep
        going_on = [t for t in trials if t.continued_after is not None and t.same_as is None]
        epochs = sum(self.controller.state.epochs_of(t) - t.epochs for t in going_on if not t.has_ended)
        if to_come := max(0, (sweep.get("continue_best") or 0) - len(going_on)):
            epochs += to_come * (sweep["continue_epochs"] - sweep["epochs"])
        ended = _num_ended(trials)
        by_this_run = ended - self._ended_before
        more = self.controller.plan.num_trials - ended - sum(not t.has_ended for t in going_on)
        few = more > 0 and by_this_run < max(2, self.controller.concurrency)
        if self.controller.interrupted or few or (epochs and rate is None):
            return None
        return (more * (now - self._started) / by_this_run if more > 0 else 0.0) + epochs / (rate or 1.0)

    def _running(self, rows: int) -> RenderableType:
        from rich import box
        from rich.table import Table

        state, plan = self.controller.state, self.controller.plan
        running = [state.trials[number] for number in sorted(self.controller.live)]
        if len(running) > rows:
            rows -= 1  # for the line that says so
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), expand=True)
        for name in ("trial", "epoch", plan.task.objective, "best"):
            justify: Any = "left" if name == "trial" else "right"
            table.add_column(_escape(name), justify=justify, no_wrap=True, overflow="ellipsis")
        table.add_column(f"last {CURVE_WIDTH} epochs", ratio=1, no_wrap=True, overflow="crop")
        for trial in running[:rows]:
            values = [row["objective"] for row in list(trial.rows)]
            last = values[-1] if values else None
            table.add_row(
                trial.trial_id,
                f"{trial.epochs}/{state.epochs_of(trial)}",
                short(last) or "—",
                short(trial.objective) or "—",
                f"[cyan]{sparkline(values[-CURVE_WIDTH:])}[/]",
            )
        if not running:
            table.add_row("[dim]none[/]")
        if len(running) > rows:
            table.add_row("…", f"and {len(running) - rows} more")
        return table


def sparkline(values: list[float | None]) -> str:
    """A character a value, in a log scale where all are positive; a space where there is none."""
    finite = [value for value in values if value is not None]
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


def _num_ended(trials: list[Trial]) -> int:
    return sum(trial.status in (Status.COMPLETED, Status.STOPPED, Status.FAILED) for trial in trials)


def _num_epochs(trials: list[Trial]) -> int:
    return sum(trial.epochs for trial in trials)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
