"""From figures, as they come, to one row an epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

from balltrain.programs.figures import EPOCH, Figures, epoch_key

QUIET_S = 0.25  # after which nothing more is expected of an epoch whose objective is there
# such an objective comes once an epoch, while a training's may come every few steps
_OF_VALIDATION = ("val", "valid", "eval", "test", "dev")


@dataclass
class Numbering:
    """Which rows a trial has had, for all its attempts: kept in the trial's folder.

    A program's own epochs may begin at 0 or 1 and have gaps; rows are numbered from 1, one after the other. A program
    that starts anew says its first epochs again, and they have the numbers that they had.
    """

    keys: list[int] = field(default_factory=list)  # the program's own, in order; none where it names none
    several: bool = False  # the objective comes several times an epoch
    together: bool | None = None  # all figures of an epoch come at once; None before the first has shown it
    source: str | None = None  # where the figures were found

    def of(self, key: int, *, goes_on: bool = False) -> int:
        """The number of a row, from 1.

        `goes_on` says that it is the first after those of the attempts before. Where these had no gaps, the epochs
        between were trained too, and a kill came before they were reported: they keep their numbers.
        """
        if key not in self.keys:
            if goes_on and len(self.keys) > 1 and self.keys == list(range(self.keys[0], self.keys[-1] + 1)):
                self.keys += range(self.keys[-1] + 1, key)
            self.keys.append(key)
        return self.keys.index(key) + 1


class Rows:
    """Collects figures until their epoch is complete.

    With an `epoch` among the figures, those of one epoch are put together, the last value of each. A row is complete
    when figures of another epoch come, when the program ends, or when it has the objective and nothing came for
    QUIET_S: at once where all of the first epoch came together; not at all where the objective comes several times an
    epoch. Without an `epoch`, a row is complete as soon as it has the objective.
    """

    def __init__(self, objective: str, numbering: Numbering):
        self.objective, self.numbering = objective, numbering
        self._num_before = len(numbering.keys)  # of the attempts before
        self.seen: set[str] = set()  # names of all figures
        self._key: int | None = None  # of the epoch that figures are collected of
        self._figures: Figures = {}
        self._told: set[str] = set()  # names of those that came together with their epoch
        self._changed = 0.0
        self._times = 0  # that the objective came in this epoch
        self._parts = 0  # that figures came in it
        self._num_closed = 0  # since this attempt began
        self._last: int | None = None  # the epoch given out last, where the program names epochs
        self._complete: list[tuple[int, Figures]] = []

    def add(self, figures: Figures, now: float) -> None:
        """Figures that came at `now`, in seconds. Raises BalltrainError where their epoch is no number."""
        self.seen.update(figures)
        figures = dict(figures)
        epoch = figures.pop(EPOCH, None)
        if epoch is not None:
            self._begin(epoch_key(epoch), figures)
            self._told.update(figures)
        elif self._key is not None:  # `best val_loss: 0.1` after the last epoch is not its own
            figures = {name: value for name, value in figures.items() if name not in self._told}
        elif self._last is not None:
            return  # between two epochs
        self._times += self.objective in figures
        self._parts += 1
        if figures:
            self._figures |= figures
            self._changed = now
        if self._key is None and self.objective in self._figures:
            self._close()

    def due(self, now: float, *, ended: bool = False) -> list[tuple[int, Figures]]:
        """Rows that are complete, each once: their numbers, from 1, and figures without the epoch."""
        quiet_s = 0.0 if self.numbering.together else QUIET_S
        quiet = self.objective in self._figures and self._once_an_epoch() and now - self._changed >= quiet_s
        if self._key is not None and (ended or quiet):
            self._close()
        complete, self._complete = self._complete, []
        return complete

    def _begin(self, key: int, figures: Figures) -> None:
        if self._key is not None and key != self._key:
            self._close()
        if self._key is None:
            self._figures, self._told = {}, set()
            if key == self._last:  # the row was given out too early
                self.numbering.together = False
                self.numbering.several = self.numbering.several or self.objective in figures
        self._key = key

    def _once_an_epoch(self) -> bool:
        if self.numbering.several or self._times > 1:
            return False
        first_word = self.objective.replace("/", "_").replace("-", "_").split("_")[0].lower()
        return first_word in _OF_VALIDATION or self._num_closed > 0

    def _close(self) -> None:
        figures, key, times, parts = self._figures, self._key, self._times, self._parts
        self._figures, self._told, self._key, self._times, self._parts = {}, set(), None, 0, 0
        if not figures or (key is not None and key == self._last):
            return  # an epoch that was named alone, or figures that came late
        self._num_closed += 1
        if self.numbering.together is None:
            self.numbering.together = parts == 1
        if times > 1 and key is not None:
            self.numbering.several = True
        self._last = key
        if key is None:
            self._complete.append((self._num_closed, figures))
            return
        goes_on = len(self.numbering.keys) == self._num_before
        self._complete.append((self.numbering.of(key, goes_on=goes_on), figures))
