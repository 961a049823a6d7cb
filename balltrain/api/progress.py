"""What a run shows while it runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from balltrain.errors import SweepStopped
from balltrain.reporting.notebook import Output, in_notebook

View = Callable[[Any, Any], contextlib.AbstractContextManager[Any]]  # of a controller and its placement


@dataclass
class Progress:
    """Shows a run on standard error, or in the notebook. Of a quiet one nothing but an interruption
    is said, and what it waits for.

    `view` makes what is shown beside a run, `how_to_go_on` is what resumes it.
    """

    view: View | None = None
    how_to_go_on: str = ""
    quiet: bool = False
    _said: set[str] = field(default_factory=set)
    _place: Output = field(default_factory=Output)  # in a notebook
    _is_viewed: bool = False

    def phase(self, phase: str) -> None:
        """What takes its time before the first trial; in a log only what is waited for, once."""
        if self.quiet:
            return
        if in_notebook():
            self._place.show(phase and f"{phase} …")
            return
        if sys.stderr.isatty():
            print(f"\r\033[K{phase and phase + ' …'}", end="", file=sys.stderr, flush=True)
            return
        what, waits, _ = phase.partition(":")  # what follows changes while it is waited for
        if waits and what not in self._said:
            print(f"{phase} …", file=sys.stderr, flush=True)
        self._said.add(what)

    @contextlib.contextmanager
    def cleared(self) -> Iterator[None]:
        """No phase stays where an error ends the block, and what goes on with a sweep is said."""
        try:
            yield
        except SweepStopped:
            self.phase("")
            print(f"to go on: {self.how_to_go_on}", file=sys.stderr, flush=True)
            raise
        except BaseException:
            self.phase("")
            raise

    def interrupted(self) -> None:
        """Said at the first Ctrl-C."""
        again = "another interrupt" if in_notebook() else "Ctrl-C again"
        print(f"ending after the epochs that run; {again} ends at once", file=sys.stderr)
        print(f"to go on: {self.how_to_go_on}", file=sys.stderr, flush=True)

    def waiting(self, text: str) -> None:
        """Said where no live view shows it."""
        if not self._is_viewed or not (in_notebook() or sys.stderr.isatty()):
            print(text, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def _viewed(self, controller: Any, placement: Any) -> Iterator[None]:
        with self.view(controller, placement) if self.view else contextlib.nullcontext():
            self._is_viewed = self.view is not None
            try:
                yield
            finally:
                self._is_viewed = False

    @property
    def hooks(self) -> dict[str, Any]:
        """As the functions take it that run a sweep or a training."""
        return {
            "on_start": None if self.quiet else self._viewed,
            "on_phase": self.phase,
            "on_interrupt": self.interrupted,
        }


def sweep_view(controller: Any, placement: Any) -> contextlib.AbstractContextManager[Any]:
    """The live panel of a sweep."""
    from balltrain.reporting.live import live_view
    from balltrain.reporting.snapshot import snapshot_of

    return live_view(lambda: snapshot_of(controller))


def training_view(controller: Any, placement: Any) -> contextlib.AbstractContextManager[Any]:
    """A line an epoch."""
    from balltrain.reporting.epochs import epoch_lines

    return epoch_lines(controller, placement)
