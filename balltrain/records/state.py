"""The state of a sweep, a function of its journal's lines: who ran, what they reported, what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.records import ranking
from balltrain.records.columns import NEVER_BEST, WITHOUT_OBJECTIVE, Decision, Status
from balltrain.records.confirmation import Confirmed
from balltrain.records.figures import EPOCH_SECONDS, figure_of
from balltrain.records.goals import Goals
from balltrain.records.journal import Kind, Line
from balltrain.records.usage import Usage
from balltrain.training.rows import EpochRow

Point = dict[str, float | int]  # of a search space: a number for each label; of a choice its option's index


@dataclass
class Trial:
    """One configuration and what is known of it. `rows` has one row an epoch, in order, from epoch 1."""

    number: int
    config: dict[str, Any]
    point: Point | None
    seed: int
    fold: int | None = None
    confirms: int | None = None  # number of the searched trial that this one repeats with another seed
    same_as: int | None = None  # number of the searched trial with the same configuration: not trained again
    known: dict[str, float] = field(default_factory=dict)  # figures that were known before it trained
    order: int = -1  # among the searched trials, from 0
    status: Status = Status.RUNNING
    attempts: int = 0
    # not held against it: ended by a node's loss, with its sweep, or by a pause, or before it was continued
    lost_attempts: int = 0
    continued_after: int | None = None  # epochs that it had when the search was over and it was chosen to go on
    searched_best: EpochRow | None = None  # its best row at that time
    config_before: dict[str, Any] | None = None  # its configuration at that time
    rows: list[EpochRow] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # when each row was reported, seconds since 1970
    started_at: float | None = None  # seconds since 1970
    ended_at: float | None = None
    error: str | None = None
    stopped_by: str | None = None  # the user who asked for its end, with the reason
    node: str | None = None
    best: EpochRow | None = None  # the row with the best objective
    has_checkpoint: bool = False  # on disk; no longer once better trials have ended

    @property
    def trial_id(self) -> str:
        return f"{self.number:05d}"

    @property
    def objective(self) -> float | None:
        return self.best["objective"] if self.best else None

    def figure(self, name: str) -> float | None:
        """A figure at its best epoch, seconds an epoch of all of them; None where there is none of that name."""
        if self.best is None or not self.rows:
            return None
        return figure_of(name, self.rows[-1] if name == EPOCH_SECONDS else self.best, self.rows)

    @property
    def searched_objective(self) -> float | None:
        """The best of the search's epochs alone, by which trials compare; None where the search saw it fail."""
        if self.continued_after is None:
            return None if self.status in NEVER_BEST else self.objective
        return self.searched_best["objective"] if self.searched_best else None

    @property
    def searched_config(self) -> dict[str, Any]:
        """Its configuration in the search: what goes on after it has other epochs, and may have another patience."""
        return self.config if self.config_before is None else self.config_before

    @property
    def is_searched(self) -> bool:
        """Its part in the search is over, whether or not it goes on after it."""
        return self.has_ended or self.continued_after is not None

    @property
    def is_after_search(self) -> bool:
        """It goes on after the search, or confirms it."""
        return self.continued_after is not None or self.confirms is not None

    @property
    def has_ended(self) -> bool:
        return self.status.has_ended

    @property
    def diverged(self) -> bool:
        """It failed by a row that was not finite: what its configuration is worth, and no error."""
        return bool(self.rows) and self.rows[-1]["decision"] == Decision.FAIL

    @property
    def is_learned_by_row(self) -> bool:
        """What the search learns of its end is its last row's decision."""
        return bool(self.rows) and self.rows[-1]["decision"] in WITHOUT_OBJECTIVE

    @property
    def epochs(self) -> int:
        return self.rows[-1]["epoch"] if self.rows else 0


class SweepState:
    """Made by `apply` line by line: while the sweep runs, and again when it is resumed or read."""

    def __init__(self) -> None:
        self.sweep: dict[str, Any] = {}  # the contents of sweep.json
        self.goals: Goals | None = None  # where it has several objectives
        self.usage = Usage()
        self.limit: str | None = None  # why no trial of the search starts any more, though it has some to come
        self.trials: dict[int, Trial] = {}
        self.searched: list[Trial] = []  # those that the searcher proposed, in order; the others confirm them
        self.ended_in_order: list[Trial] = []  # as the searcher was told
        # what the search has learned, in order: numbers of its trials, with a row's place, or None for a failure
        self.learned: list[tuple[int, int | None]] = []
        self.dropped: list[Trial] = []  # whose checkpoints are no longer kept
        self.to_stop: set[int] = set()  # numbers of trials that a user has stopped, and that have not ended
        self._kept: list[Trial] = []  # of those that ended, the best first
        self._same: dict[int, list[Trial]] = {}  # trials that wait for the one with their configuration
        self._num_went_on = 0  # continued, and ended again
        self._open: set[int] = set()  # trials with an attempt that has not ended

    @classmethod
    def replay(cls, lines: Iterable[Line]) -> SweepState:
        """Raises BalltrainError naming the line that makes no sense after those before it."""
        state = cls()
        for number, line in enumerate(lines, 1):
            try:
                state.apply(line)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise BalltrainError(f"line {number} of the journal is damaged: {error!r}") from error
        return state

    @property
    def mode(self) -> str:
        return str(self.sweep["mode"])

    def apply(self, line: Line) -> None:
        self.usage.apply(line)
        match line["type"]:
            case Kind.SWEEP | Kind.RESUME:
                self.sweep, self.limit = line["sweep"], None
                for number in self._open:  # ended with the run of the sweep before
                    self.trials[number].lost_attempts += 1
                self._open.clear()
                self.goals = Goals.of(self.sweep)
            case Kind.LIMIT:
                self.limit = line["reason"]
            case Kind.TRIAL:
                self._add(line)
            case Kind.START:
                trial = self.trials[line["number"]]
                trial.attempts += 1
                self._open.add(trial.number)
                trial.status, trial.ended_at, trial.error = Status.RUNNING, None, None
                trial.started_at = trial.started_at or line["time"]
                for same in self._same.get(trial.number, ()):
                    same.status = Status.RUNNING
            case Kind.REPORT:
                self._report(self.trials[line["number"]], line["row"], line["time"], line.get("reason"))
            case Kind.END:
                trial = self.trials[line["number"]]
                trial.lost_attempts += bool(line.get("lost"))
                self._end(trial, Status(line["status"]), line["time"], line.get("error"))
            case Kind.STOP:
                self.trials[line["number"]].stopped_by = line["reason"]
                self.to_stop.add(line["number"])
            case Kind.THAW:
                trial = self.trials[line["number"]]
                for same in (trial, *self._same.get(trial.number, ())):
                    same.status, same.ended_at = Status.RUNNING, None
            case Kind.CONTINUE:
                changes: dict[str, Any] = {name: line[name] for name in ("epochs", "patience") if name in line}
                self._continue(self.trials[line["number"]], changes)
            case kind:
                raise KeyError(f"unknown type {kind!r}")

    def epochs_of(self, trial: Trial) -> int:
        """The most that a trial trains: those that go on after the search, or confirm it, may have more."""
        return epochs_of(self.sweep, after_search=trial.is_after_search)

    def to_continue(self, count: int) -> list[Trial]:
        """Of the `count` searched trials that go on after the search those to come, the best first.

        They are chosen by the search's epochs: what those that went on before have become changes nothing.
        """
        rest = [t for t in self.searched if t.continued_after is None]
        chosen = sum(t.continued_after is not None and t.same_as is None for t in self.searched)
        return self.ranked(rest)[: max(0, count - chosen)]

    def improves(self, objective: float | None, than: float | None) -> bool:
        if objective is None or than is None:
            return objective is not None
        return objective < than if self.mode == "min" else objective > than

    def with_status(self, *statuses: Status) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.status in statuses]

    def ranked(self, trials: Iterable[Trial] | None = None) -> list[Trial]:
        """Those that trained to an objective and may be the best, the best first; of all searched unless given."""
        return ranking.ranked(self.searched if trials is None else trials, self.mode, self.goals)

    @property
    def best(self) -> Trial | None:
        """The searched trial with the best objective; once there is a confirmed winner, its best training."""
        return ranking.best(self.trials.values(), self.mode, self.sweep.get("repeats") or 0, self.goals)

    @property
    def front(self) -> list[Trial]:
        """The searched trials that none dominates, the best first; with one objective the best alone."""
        if self.goals is None:
            return [] if self.best is None else [self.best]
        return ranking.front(self.trials.values(), self.goals)

    def confirmations(self) -> tuple[list[Confirmed], Confirmed | None]:
        """What was confirmed, the best mean first, and the winner, if all of it has ended."""
        return ranking.confirmed(self.trials.values(), self.mode, self.sweep.get("repeats") or 0)

    def _add(self, line: Line) -> None:
        more = (line.get("fold"), line.get("confirms"), line.get("same_as"))
        known = line.get("known") or {}
        trial = Trial(line["number"], line["config"], line["point"], line["seed"], *more, known=known)
        self.trials[trial.number] = trial
        if trial.confirms is None:
            trial.order = len(self.searched)
            self.searched.append(trial)
        if trial.same_as is not None:
            first = self.trials[trial.same_as]
            if first.has_ended:
                self._share(first, trial)
            else:
                self._same.setdefault(first.number, []).append(trial)

    def _end(self, trial: Trial, status: Status, time: float, error: str | None) -> None:
        trial.status, trial.ended_at, trial.error = status, time, error
        self._open.discard(trial.number)
        if status in (Status.INTERRUPTED, Status.PAUSED):
            for same in self._same.get(trial.number, ()):
                same.status = status
            return
        self.to_stop.discard(trial.number)
        if trial.continued_after is None:
            self.ended_in_order.append(trial)
            if status in NEVER_BEST and trial.confirms is None and not trial.is_learned_by_row:
                self.learned.append((trial.number, None))
        else:
            self._num_went_on += 1
        self._keep_or_drop(trial)
        for same in self._same.pop(trial.number, ()):
            self._share(trial, same)

    def _share(self, first: Trial, same: Trial) -> None:
        """What became of a trial is also what would have become of one with its configuration."""
        if same.continued_after is None:
            self.ended_in_order.append(same)
        same.status, same.best, same.error, same.ended_at = first.status, first.best, first.error, first.ended_at
        same.continued_after, same.searched_best = first.continued_after, first.searched_best

    def _continue(self, trial: Trial, changes: dict[str, Any]) -> None:
        """A trial that has ended goes on with other epochs, and with it those of the same configuration."""
        self._same[trial.number] = [t for t in self.searched if t.same_as == trial.number]
        for other in (trial, *self._same[trial.number]):
            other.continued_after, other.searched_best = trial.epochs, trial.best
            other.config_before, other.config = other.searched_config, {**other.config, **changes}
            other.status, other.ended_at = Status.RUNNING, None
        trial.lost_attempts = trial.attempts
        self._kept = [kept for kept in self._kept if kept is not trial]

    def _keep_or_drop(self, trial: Trial) -> None:
        """Keep the checkpoints of the best that have ended; of a cross-validation, and of repeats, all."""
        count = self.sweep.get("keep_checkpoints")
        if count is None or trial.fold is not None or trial.confirms is not None:
            return
        to_continue = self.sweep.get("continue_best") or 0
        if self._num_went_on < to_continue:  # the others go on from theirs
            count = max(count, to_continue)
        self._kept = self.ranked([*self._kept, trial])
        dropped = [*self._kept[count:], *([] if trial in self._kept else [trial])]
        del self._kept[count:]
        for out in dropped:
            out.has_checkpoint = False
            self.dropped.append(out)

    def _report(self, trial: Trial, row: EpochRow, time: float, reason: str | None) -> None:
        if row["epoch"] <= trial.epochs:
            return
        trial.rows.append(row)
        trial.times.append(time)
        if trial.confirms is None and trial.continued_after is None:
            self.learned.append((trial.number, len(trial.rows) - 1))
        trial.has_checkpoint = True
        trial.node = row.get("node", trial.node)
        decision = Decision(row["decision"])
        if decision not in WITHOUT_OBJECTIVE and self.improves(row["objective"], trial.objective):
            trial.best = row
        # the decision is in the row's own line: no kill can come between the two
        if decision != Decision.CONTINUE:
            trial.lost_attempts += decision in (Decision.INTERRUPT, Decision.PAUSE)
            if decision == Decision.FAIL:
                reason = f"epoch {row['epoch']}: the objective or the loss is not finite"
            self._end(trial, decision.status, time, reason)


def epochs_of(sweep: Mapping[str, Any], *, after_search: bool) -> int:
    """The most that a trial trains, by what sweep.json says: after the search it may be more."""
    searched: int = sweep["epochs"]
    return (sweep.get("continue_epochs") or searched) if after_search else searched
