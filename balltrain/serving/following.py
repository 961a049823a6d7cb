"""A sweep followed by its journal: its state, and its epochs in columns, in little memory and without a lock."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records.columns import Decision, Status
from balltrain.records.journal import Kind, Line, Tail
from balltrain.records.state import SweepState, Trial
from balltrain.reporting.snapshot import CURVE_LENGTH, LiveSnapshot, snapshot_of

NAN = float("nan")


@dataclass
class Attempt:
    """One time that a trial ran, in seconds since 1970. `how` is what it ended by; None while it runs."""

    since: float
    until: float | None = None
    how: str | None = None
    error: str | None = None
    node: str | None = None


@dataclass
class Curves:
    """The epochs of one trial: an array a column of epochs.parquet. NaN where an epoch has no such figure."""

    columns: dict[str, array[float]] = field(default_factory=dict)

    def append(self, figures: dict[str, float | None]) -> None:
        length = len(self)
        for name, value in figures.items():
            if name not in self.columns:
                self.columns[name] = array("d", [NAN] * length)
            self.columns[name].append(NAN if value is None else value)
        for values in self.columns.values():
            if len(values) == length:
                values.append(NAN)

    def __len__(self) -> int:
        return len(self.columns[c.EPOCH]) if c.EPOCH in self.columns else 0


@dataclass(frozen=True)
class News:
    """What has come since the last look. `rows` are (trial_id, figures by column), `trials` numbers that changed."""

    rows: list[tuple[str, dict[str, float | None]]]
    trials: set[int]
    restarted: bool = False  # all is to be asked for again


class Followed:
    """A sweep as its journal has it by now. `look` reads what is new; nothing is ever locked or written.

    It is a `snapshot.Running`, so that the page shows what a terminal does. Raises BalltrainError where there is no
    journal, or it is damaged.
    """

    interrupted = False
    waiting: str | None = None  # which the journal does not tell

    def __init__(self, journal: Path):
        self.path = journal
        self.state = SweepState()
        self.curves: dict[int, Curves] = {}
        self.attempts: dict[int, list[Attempt]] = {}
        self.last_time = 0.0  # of the last line, seconds since 1970
        self.began = 0.0  # when this session of the sweep did
        self.before: LiveSnapshot | None = None  # what sessions before it have done
        self.num_lines = 0
        self._same: dict[int, list[int]] = {}  # of a trial those with its configuration, which are not trained
        try:
            self._tail = Tail(journal)
        except OSError as error:
            raise BalltrainError(f"cannot read {journal}: {error.strerror or error}") from error

    def close(self) -> None:
        self._tail.close()

    @property
    def position(self) -> int:
        """Bytes of the journal that were read."""
        return self._tail.position

    def look(self, *, tell: bool = True) -> News:
        """What is new. Unless `tell`, it is read but not listed, as of a journal that is long already."""
        rows: list[tuple[str, dict[str, float | None]]] | None = [] if tell else None
        trials: set[int] = set()
        for line in self._tail:
            try:
                self._apply(line, rows, trials)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise BalltrainError(f"{self.path}: line {self.num_lines + 1} is damaged: {error!r}") from error
            self.num_lines += 1
        if trials:
            self.state.learned.clear()  # the searcher's, which is not asked
            self.state.dropped.clear()
        return News(rows or [], trials)

    @property
    def live(self) -> set[int]:
        """Numbers of the trials that train."""
        return {t.number for t in self.state.trials.values() if t.status == Status.RUNNING and t.same_as is None}

    @property
    def concurrency(self) -> int:
        return int((self.state.sweep.get("placement") or {}).get("concurrency") or 1)

    @property
    def objective_column(self) -> str:
        """The objective's column in epochs.parquet."""
        name = str(self.state.sweep.get("objective", c.VAL_LOSS))
        return name if name in (c.VAL_LOSS, c.TRAIN_LOSS) else c.METRIC_PREFIX + name

    def trial(self, trial_id: str) -> Trial | None:
        return self.state.trials.get(int(trial_id)) if trial_id.isdecimal() else None

    def rows_of(self, trial_ids: Iterable[str]) -> dict[str, dict[str, list[float]]]:
        """All epochs of these trials, by column."""
        found = {}
        for trial_id in trial_ids:
            trial = self.trial(trial_id)
            if trial is not None and trial.number in self.curves:
                columns = self.curves[trial.number].columns
                found[trial_id] = {name: values.tolist() for name, values in columns.items()}
        return found

    def _apply(self, line: Line, rows: list[tuple[str, dict[str, float | None]]] | None, trials: set[int]) -> None:
        kind, number = line["type"], line.get("number")
        trial = self.state.trials.get(number) if number is not None else None
        epochs = trial.epochs if trial is not None else 0
        self.state.apply(line)
        if kind == Kind.RESUME:
            self._end_killed()
            self.before = snapshot_of(self)
        self.last_time = float(line.get("time", self.last_time))
        if kind in (Kind.SWEEP, Kind.RESUME):
            self.began = float(line.get("began", self.last_time))
        if number is None:
            trials.update(self.state.trials)
            return
        trial = self.state.trials[number]
        if trial.same_as is not None and kind == Kind.TRIAL:
            self._same.setdefault(trial.same_as, []).append(number)
        trials.update((number, *self._same.get(number, ())))
        self._note_attempt(trial, line)
        if kind == Kind.REPORT and trial.epochs > epochs:
            figures = _figures(line["row"])
            self.curves.setdefault(number, Curves()).append(figures)
            if rows is not None:
                rows.append((trial.trial_id, figures))
        if self.state.goals is None:  # several objectives are asked of all epochs
            _let_go(trial)

    def _end_killed(self) -> None:
        """What had not ended when the sweep goes on was killed, after the last line before."""
        for attempts in self.attempts.values():
            if attempts and attempts[-1].until is None:
                attempts[-1].until, attempts[-1].how = self.last_time, "killed"

    def _note_attempt(self, trial: Trial, line: Line) -> None:
        kind, time = line["type"], float(line.get("time", self.last_time))
        attempts = self.attempts.setdefault(trial.number, [])
        if kind == Kind.START:
            attempts.append(Attempt(time))
        elif kind == Kind.REPORT and attempts:
            attempts[-1].node = line["row"].get("node", attempts[-1].node)
            decision = Decision(line["row"]["decision"])
            if decision != Decision.CONTINUE:
                attempts[-1].until, attempts[-1].how, attempts[-1].error = time, decision.status, trial.error
        elif kind == Kind.END and attempts:
            cause = line.get("cause")
            how = f"{line['status']}, {cause}" if cause and cause != line["status"] else line["status"]
            attempts[-1].until, attempts[-1].how, attempts[-1].error = time, how, line.get("error")


def _figures(row: Any) -> dict[str, float | None]:
    plain = {name: row.get(name) for name in (c.EPOCH, c.SECONDS, c.LR, c.TRAIN_LOSS, c.VAL_LOSS)}
    return {**plain, **{c.METRIC_PREFIX + name: value for name, value in row["metrics"].items()}}


def _let_go(trial: Trial) -> None:
    """Of the rows as dicts those are kept that are asked for: the first, which has facts, and the last of a curve."""
    keep = CURVE_LENGTH if trial.status == Status.RUNNING else 1
    if len(trial.rows) > keep + 1:
        del trial.rows[1:-keep]
        del trial.times[1:-keep]
