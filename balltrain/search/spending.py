"""Whether a sweep has enough left of its budgets: for a new trial, for another epoch, for what follows its search."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

from balltrain.records.columns import Decision, Status
from balltrain.records.goals import Signed
from balltrain.records.state import SweepState, Trial
from balltrain.search.judging import ended_at
from balltrain.search.limits import Limits

if TYPE_CHECKING:
    from balltrain.search.plan import Plan

END_S = 3.0  # that a sweep takes to end after its last epoch, about: tables, mirrors, Ray
LATE_S, LATE_PART = 5.0, 0.02  # that a sweep may end after its time budget: the larger one
NUM_RECENT = 20  # epochs that tell how long one takes


class Spending:
    """What is left of a sweep's budgets, by its journal and the clock. It judges by the epochs trained last."""

    def __init__(self, plan: Plan, state: SweepState, clock: Callable[[], float]) -> None:
        self.plan, self.state, self._clock = plan, state, clock
        self.limits: Limits = plan.sweep
        self._good_enough = False
        for trial in state.searched:
            self.hear(trial.searched_objective)
        self._num_ended = self._num_flat = self._most_flat = 0
        self._best: float | None = None
        self._front: list[Signed] = []  # with several objectives; what is dominated later does no harm
        self._best_of, self._best_seconds = -1, 0.0

    def reached(self, concurrency: int, num_live: int) -> str | None:
        """Why no trial of the search starts any more; None while one may. In words that end a sentence."""
        if self._good_enough:
            return f"the objective reached {self.limits.until:g}, which is good enough"
        if self.limits.stop_when_flat is not None and self._flat() >= self.limits.stop_when_flat:
            return f"{self.limits.stop_when_flat} trials ended without a better best"
        words, left = self._least(num_live + 1, concurrency)
        if left > 0 and left >= self.plan.fewest_epochs * self.epoch_seconds():
            return None
        return _used_up(words)

    @property
    def reason(self) -> str:
        """Which budget has ended, in words that end a sentence."""
        return _used_up(self._least(1, 0)[0])

    def hear(self, objective: float | None) -> bool:
        """Of an objective that a trial of the search has reached; whether it is good enough, which is remembered."""
        until = self.limits.until
        if until is None or objective is None:
            return False
        found = objective <= until if self.plan.task.mode == "min" else objective >= until
        self._good_enough = found or self._good_enough
        return found

    def decide(self, trial: Trial, seconds: float, num_live: int, concurrency: int) -> Decision:
        """On a trial that would go on with more, after an epoch of so many `seconds`.

        One that the budgets end has ended for good only where what follows the search asks for it.
        """
        after_search = trial.is_after_search
        if self._good_enough and not after_search:
            return Decision.STOP
        if self.has_time(1, num_live, concurrency, after_search=after_search, each=seconds):
            return Decision.CONTINUE
        return Decision.STOP if self.plan.follows_search and not after_search else Decision.INTERRUPT

    def has_time(
        self,
        epochs: int,
        num_live: int,
        concurrency: int,
        *,
        after_search: bool = False,
        each: float | None = None,
    ) -> bool:
        """Whether so many epochs of a trial, one of `num_live`, fit into what is left, at `each` seconds.

        A trial of the search leaves what follows the search its part.
        """
        if not self.limits.is_limited:
            return True
        left = self._least(num_live, 0 if after_search else concurrency)[1]
        return epochs * (each or self.epoch_seconds()) <= left + self._late / 2

    @property
    def is_overdue(self) -> bool:
        """Whether an epoch that still runs has made the sweep late."""
        if self.limits.time_budget is None:
            return False
        return self.state.usage.at(self._clock()).wall > float(self.limits.time_budget) + self._late - END_S

    def epoch_seconds(self) -> float:
        """The median of those that the search has trained last, 0 before the first."""
        rows = [self.state.trials[n].rows[at] for n, at in self.state.learned[-NUM_RECENT:] if at is not None]
        return statistics.median(row["seconds"] or 0.0 for row in rows) if rows else 0.0

    @property
    def _late(self) -> float:
        """Seconds by which an end may miss a time budget."""
        budget = self.limits.time_budget
        return 0.0 if budget is None else max(LATE_S, LATE_PART * float(budget))

    def _least(self, num_live: int, concurrency: int) -> tuple[str, float]:
        """The budget that ends first where so many trials go on, in words, and in how many seconds it does.

        With so many trials at a time what follows the search has its part; with 0 it may take all.
        """
        used, each, num_live = self.state.usage.at(self._clock()), self.state.usage.each, max(1, num_live)
        one_by_one, together = self._kept(concurrency) if concurrency else (0.0, 0.0)
        found = [("budget", math.inf)]
        for words, kind, seconds in self.limits.budgets:
            if kind == "wall":
                found.append((words, seconds - used.wall - END_S - together))
            elif held := each[0 if kind == "cpu" else 1]:
                found.append((words, ((seconds - getattr(used, kind)) / held - one_by_one) / num_live))
        return min(found, key=lambda budget: budget[1])

    def _kept(self, concurrency: int) -> tuple[float, float]:
        """Seconds that what follows the search takes: all its epochs one by one, and so many trials at a time."""
        sweep, each = self.plan.sweep, self._seconds_of_best()
        going_on, extra = min(sweep.continue_best, sweep.most_trials), self.plan.most_epochs - self.plan.epochs
        repeats = self.plan.num_trials - self.plan.num_searched
        rounds = math.ceil(going_on / concurrency) * extra + math.ceil(repeats / concurrency) * self.plan.most_epochs
        return self.plan.epochs_after_search * each, rounds * each

    def _seconds_of_best(self) -> float:
        """An epoch of the slowest of those that will go on, or be confirmed, by what is known now."""
        sweep, num_ended = self.plan.sweep, len(self.state.ended_in_order)
        if num_ended != self._best_of:  # a search that has thousands of trials is not sorted at every row
            count = max(sweep.continue_best, sweep.confirm)
            rows = [trial.rows[-1] for trial in self.state.ranked()[:count] if trial.rows]
            self._best_of = num_ended
            self._best_seconds = max((row["seconds"] or 0.0 for row in rows), default=0.0)
        return self._best_seconds or self.epoch_seconds()

    def _flat(self) -> int:
        """Most trials that have ended one after the other without one better than all before it.

        The most, so that a search which ended by it stays at its end, also when resumed: of the trials that ran on
        one may have been better.
        """
        ended = self.state.ended_in_order[self._num_ended :]
        self._num_ended += len(ended)
        for trial in ended:
            untrained = trial.status == Status.INFEASIBLE and not trial.rows  # which has cost nothing
            if untrained or trial.confirms is not None or trial.same_as is not None:
                continue
            self._num_flat = 0 if self._is_better(trial) else self._num_flat + 1
            self._most_flat = max(self._most_flat, self._num_flat)
        return self._most_flat

    def _is_better(self, trial: Trial) -> bool:
        """Than all that ended before it, which it then belongs to; of several objectives, whether the front grows."""
        if (goals := self.plan.goals) is not None:
            values = ended_at(goals, trial, self.state)
            if values is None or any(all(a <= b for a, b in zip(v, values, strict=True)) for v in self._front):
                return False
            self._front.append(values)
            return True
        objective = trial.searched_objective
        better = self.state.improves(objective, than=self._best)
        self._best = objective if better else self._best
        return better


def no_epoch(plan: Plan, state: SweepState, now: float) -> str | None:
    """Of a sweep that has ended: that its budgets were too small for one epoch, and how long one takes."""
    budgets = list(plan.sweep.budgets)
    trials = [trial for trial in state.trials.values() if trial.status != Status.INFEASIBLE]
    if not budgets or any(trial.rows or trial.status != Status.INTERRUPTED for trial in trials):
        return None  # a trial that failed without a row is another matter
    used = state.usage.at(now)
    ended = min(budgets, key=lambda budget: budget.seconds - getattr(used, budget.kind))
    runs = [t.ended_at - t.started_at for t in trials if t.started_at is not None and t.ended_at is not None]
    took = (
        f"one takes more than {min(used.wall, max(runs)):.1f} s here"
        if runs
        else f"{used.wall:.0f} s went by before a trial began"
    )
    return (
        f"{ended.seconds:g} s of {ended.words} are too few for one epoch: {took}; --dry-run says how long one takes, "
        "--resume goes on with more"
    )


def _used_up(words: str) -> str:
    return f"its {words} are used up" if words.endswith("hours") else f"its {words} is used up"
