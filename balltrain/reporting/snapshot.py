"""What a live view draws of a sweep at one moment: of one that runs here, or by its tables of one elsewhere.

What was planned is in `sweep.json`'s contents, which state and results hold alike.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results, plain
from balltrain.records.state import SweepState, epochs_of
from balltrain.reporting.front import front_in_words
from balltrain.reporting.text import method_of, short
from balltrain.training.rows import EpochRow

CURVE_LENGTH = 20  # epochs


@dataclass(frozen=True)
class LiveTrial:
    """A trial that trains. `curve` has the objectives of its last epochs, None where one was not finite.

    `training` has the same figure of the training batches, None where there is none.
    """

    trial_id: str
    epoch: int  # 0 until the first has ended
    num_epochs: int  # the most that it trains
    objective: float | None  # the best so far
    curve: tuple[float | None, ...]
    training: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class LiveBest:
    trial_id: str
    epoch: int
    objective: float


@dataclass(frozen=True)
class LiveSnapshot:
    """A sweep at one moment. `counts` are its trials by status, `running` those that train, in their order."""

    name: str
    task: str
    method: str  # searcher and scheduler
    objective: str  # its name
    concurrency: int  # trials at a time
    num_trials: int | None  # planned, those that confirm the best among them; None where a budget alone ends them
    num_epochs: int  # trained by all trials together
    counts: Mapping[Status, int]
    best: LiveBest | None
    running: tuple[LiveTrial, ...]
    trials_to_come: int  # that have not ended, but for those that go on after the search
    epochs_to_come: int  # of those
    interrupted: bool = False
    search_epochs: int | None = None  # of a search that ends by them while it goes on: its trials pause till then
    time_used: float | None = None  # seconds of a time budget, where there is one and it is known
    time_budget: float | None = None  # seconds
    front: str | None = None  # of several objectives: how many trials are on it, and from where to where they reach
    waiting: str | None = None  # for what, where nothing has been reported for long

    @property
    def num_ended(self) -> int:
        return sum(count for status, count in self.counts.items() if status.has_ended)


class Running(Protocol):
    """A sweep that runs in this process, as `search.controller.Controller` holds it; or one that is followed."""

    @property
    def state(self) -> SweepState: ...
    @property
    def live(self) -> set[int]: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def interrupted(self) -> bool: ...
    @property
    def waiting(self) -> str | None: ...


def snapshot_of(running: Running) -> LiveSnapshot:
    """Of a sweep that another thread changes. Raises RuntimeError where it did so right now: ask again."""
    state = running.state
    best = state.best
    snapshot = _snapshot(
        state.sweep,
        list(state.trials.values()),
        [_live_trial(state, number) for number in sorted(running.live)],
        LiveBest(best.trial_id, best.best["epoch"], best.best["objective"]) if best and best.best else None,
        running.concurrency,
        running.interrupted,
        time_used=state.usage.at(time.time()).wall if _time_budget(state.sweep) else None,
        front=_front(state),
    )
    return dataclasses.replace(snapshot, waiting=running.waiting)


def snapshot_of_results(results: Results) -> LiveSnapshot:
    """Of a sweep elsewhere, when its tables were written: they do not say that it is being interrupted."""
    best = results.best
    return _snapshot(
        results.sweep,
        [_tabled(row) for row in results.trials.to_dict("records")],
        _live_trials(results),
        None if best is None else LiveBest(best[c.TRIAL_ID], int(best[c.BEST_EPOCH]), float(best[c.OBJECTIVE])),
        results.sweep["placement"]["concurrency"],
        front=None if results.goals is None or results.best is None else front_in_words(results),
    )


def num_planned(sweep: Mapping[str, Any]) -> int | None:
    """Trainings of a sweep in all, by what sweep.json says: fewer where the search finds fewer to confirm.

    None where not their number ends it, but a budget alone.
    """
    trials: int | None = sweep["trials"]
    if trials is None:
        return None
    return trials * (sweep.get("folds") or 1) + min(sweep.get("confirm") or 0, trials) * (sweep.get("repeats") or 0)


def _time_budget(sweep: Mapping[str, Any]) -> float | None:
    """In seconds."""
    found: float | None = (sweep.get("budget") or {}).get("seconds")
    return found


class _Counted(Protocol):
    """What is counted of a trial."""

    @property
    def status(self) -> Status: ...
    @property
    def epochs(self) -> int: ...
    @property
    def continued_after(self) -> int | None: ...
    @property
    def same_as(self) -> Any: ...


class _Tabled(NamedTuple):
    status: Status
    epochs: int
    continued_after: int | None
    same_as: str | None


def _snapshot(
    sweep: Mapping[str, Any],
    trials: Sequence[_Counted],
    running: list[LiveTrial],
    best: LiveBest | None,
    concurrency: int,
    interrupted: bool = False,
    *,
    time_used: float | None = None,
    front: str | None = None,
) -> LiveSnapshot:
    # a trial whose configuration another one has trains with that one
    counts = {**Counter(trial.status for trial in trials), Status.RUNNING: len(running)}
    going_on = [trial for trial in trials if trial.continued_after is not None and trial.same_as is None]
    going = [trial for trial in going_on if not trial.status.has_ended]
    epochs_to_come = sum(epochs_of(sweep, after_search=True) - trial.epochs for trial in going)
    if will_go_on := max(0, (sweep.get("continue_best") or 0) - len(going_on)):
        epochs_to_come += will_go_on * (sweep["continue_epochs"] - sweep["epochs"])
    num_ended = sum(trial.status.has_ended for trial in trials)
    planned = num_planned(sweep)
    trials_to_come = 0 if planned is None else planned - num_ended - len(going)
    search_epochs = _search_epochs(sweep, trials)
    if search_epochs is not None:
        epochs_to_come += max(0, search_epochs - sum(trial.epochs for trial in trials))
        trials_to_come = (planned or 0) - sweep["trials"]
    return LiveSnapshot(
        name=sweep["name"],
        task=sweep["task"],
        method=method_of(sweep),
        objective=sweep["objective"],
        concurrency=concurrency,
        num_trials=planned,
        num_epochs=sum(trial.epochs for trial in trials),
        counts=counts,
        best=best,
        running=tuple(running),
        trials_to_come=trials_to_come,
        epochs_to_come=epochs_to_come,
        interrupted=interrupted,
        search_epochs=search_epochs,
        time_used=time_used,
        time_budget=_time_budget(sweep),
        front=front,
    )


def _front(state: SweepState) -> str | None:
    """Of a sweep with several objectives, once a trial has values."""
    if state.goals is None or not (trials := state.front):
        return None
    values = {name: [trial.figure(name) or 0.0 for trial in trials] for name in state.goals.names}
    reach = [f"{name} {short(min(found), 3)} to {short(max(found), 3)}" for name, found in values.items()]
    return f"{len(trials)} on the front: {', '.join(reach)}"


def _search_epochs(sweep: Mapping[str, Any], trials: Sequence[_Counted]) -> int | None:
    """Of a search that ends by its epochs, while trials are paused or to come."""
    total: int | None = sweep.get("search_epochs")
    if total is None:
        return None
    goes_on = len(trials) < sweep["trials"] or any(trial.status == Status.PAUSED for trial in trials)
    return total if goes_on else None


def _live_trial(state: SweepState, number: int) -> LiveTrial:
    trial = state.trials[number]
    last = trial.rows[-CURVE_LENGTH:]
    curve = tuple(row["objective"] for row in last)
    training = tuple(_of_training(row, state.sweep["objective"]) for row in last)
    epochs = state.epochs_of(trial)
    return LiveTrial(trial.trial_id, trial.epochs, epochs, trial.objective, curve, _if_any(training))


def _if_any(training: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Of a task without figures of training nothing."""
    return training if any(value is not None for value in training) else ()


def _of_training(row: EpochRow, objective: str) -> float | None:
    """The figure of the training batches beside the objective."""
    column = c.training_column(objective)
    if column is None or column == c.TRAIN_LOSS:
        return None if column is None else row["train_loss"]
    return row["metrics"].get(column.removeprefix(c.METRIC_PREFIX))


def _live_trials(results: Results) -> list[LiveTrial]:
    trials = results.trials[(results.trials[c.STATUS] == Status.RUNNING) & results.same_as.isna()]
    epochs = results.epochs[results.epochs[c.TRIAL_ID].isin(trials[c.TRIAL_ID])]
    by_trial = epochs.groupby(c.TRIAL_ID)
    curves = dict(iter(by_trial[results.objective_column]))
    beside = results.training_column(results.objective_column)
    of_training = {} if beside is None else dict(iter(by_trial[beside]))
    after_search = results.went_on | results.confirms.notna()
    found = []
    for (_, row), after in zip(trials.iterrows(), after_search[trials.index], strict=True):
        # the tables may be of two moments
        curve, training = (
            tuple(plain(value) for value in found_in.get(row[c.TRIAL_ID], [])[-CURVE_LENGTH:])
            for found_in in (curves, of_training)
        )
        num_epochs = epochs_of(results.sweep, after_search=bool(after))
        best = plain(row[c.OBJECTIVE])
        found.append(LiveTrial(row[c.TRIAL_ID], int(row[c.EPOCHS]), num_epochs, best, curve, _if_any(training)))
    return found


def _tabled(row: Mapping[Any, Any]) -> _Tabled:
    after = plain(row.get(c.CONTINUED_AFTER))
    return _Tabled(Status(row[c.STATUS]), int(row[c.EPOCHS]), after, plain(row.get(c.SAME_AS)))
