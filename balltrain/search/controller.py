"""Runs a sweep's trials without knowing how they are run: what to start, what a report decides, what ends it.

Knows no Ray and no clock but the one it is given, so that it is tested on simulated trials in milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from balltrain.errors import BalltrainError, SweepStopped
from balltrain.records import columns as c
from balltrain.records.columns import WITHOUT_OBJECTIVE, Decision, Status
from balltrain.records.journal import Kind, Line, finite_or_none
from balltrain.records.state import Point, SweepState, Trial
from balltrain.search import judging, policy
from balltrain.search.after_search import AfterSearch, seed_of
from balltrain.search.attempts import Attempt
from balltrain.search.constraints import Constraints, Foresee
from balltrain.search.freeze_thaw import FreezeThaw
from balltrain.search.plan import Plan
from balltrain.search.policy import Cause
from balltrain.search.spending import Spending
from balltrain.training.rows import EpochRow


class Writer(Protocol):
    def append(self, line: Line) -> None: ...


class Controller:
    """Proposes, records and decides. `state` may hold trials of an earlier run of the same sweep.

    Where it is told whose row or end it is, an `attempt` that was given up is not heard any more.
    """

    def __init__(
        self,
        plan: Plan,
        state: SweepState,
        journal: Writer,
        concurrency: int,
        clock: Callable[[], float] = time.time,
        foresee: Foresee = lambda config: {},
    ):
        """`foresee` says which figures of a configuration are known before it trains."""
        self.plan, self.state, self.concurrency = plan, state, concurrency
        self.live: set[int] = set()
        self.interrupted = False
        self.error: BaseException | None = None  # ends the sweep
        self.waiting: str | None = None  # for what, in words, where nothing is reported for long
        self.on_dropped: Callable[[Trial], None] = lambda trial: None  # for who deletes its checkpoint
        self.on_row: Callable[[Trial, EpochRow], None] = lambda trial, row: None  # for who watches
        self._journal, self._clock, self._foresee = journal, clock, foresee
        self._constraints, self._goals = Constraints(plan.sweep.bounds), plan.goals
        self._freeze_thaw = plan.build_freeze_thaw()  # decides on both, or there is a searcher and a stopping rule
        self._searcher = None if self._freeze_thaw else plan.build_searcher()
        self._first = plan.first_points()
        self._stopping = plan.build_stopping()
        self._spending = Spending(plan, state, clock)
        self._waiting: deque[int] = deque()
        self._first_with: dict[bytes, Trial] = {}  # of each configuration
        self._num_told = 0
        self._after = AfterSearch(plan, state)
        self._failures = policy.Failures()
        self._replay()

    @property
    def done(self) -> bool:
        return not self.live and (self._closing or not self._has_more())

    @property
    def is_overdue(self) -> bool:
        """Whether epochs that run have outlasted the time budget: they are left, and a resume trains them again."""
        return bool(self.live) and self._spending.is_overdue

    def next_attempt(self) -> Attempt | None:
        """The next attempt to start; None while there is none, or none may start yet."""
        while (trial := self._next()) is not None and self._is_refused(trial):
            pass
        if trial is None:
            return None
        self._write({"type": Kind.START, "number": trial.number, "attempt": trial.attempts + 1})
        self.live.add(trial.number)
        fold = None if trial.fold is None or self.plan.sweep.folds is None else (trial.fold, self.plan.sweep.folds)
        return Attempt(trial.number, trial.trial_id, trial.attempts, trial.config, trial.seed, trial.epochs, fold)

    def report(self, number: int, row: EpochRow, attempt: int | None = None) -> Decision:
        """Record a row of an epoch; its decision, after which the trial goes on only if it is `continue`."""
        trial = self.state.trials[number]
        if not self._runs(number, attempt):
            return Decision.STOP
        if row[c.EPOCH] <= trial.epochs:
            return Decision.CONTINUE
        self._look_at_figures(trial, row)
        broken = self._constraints.broken_at(row, trial.rows)
        decision = self._decide(trial, row, broken)
        clean: dict[str, Any] = {key: finite_or_none(v) if isinstance(v, float) else v for key, v in row.items()}
        clean["metrics"] = {key: finite_or_none(value) for key, value in row["metrics"].items()}
        reason = {"reason": broken} if decision == Decision.INFEASIBLE else {}
        self._write({"type": Kind.REPORT, "number": number, "row": {**clean, c.DECISION: decision}, **reason})
        self.on_row(trial, trial.rows[-1])
        if decision == Decision.INTERRUPT and not self._closing and self.state.limit is None:
            self._write({"type": Kind.LIMIT, "reason": self._spending.reason})
        if decision != Decision.CONTINUE:
            self._ended(trial)
        return decision

    def complete(self, number: int, attempt: int | None = None) -> None:
        """A trial ended by itself before its last epoch: it ran out of patience."""
        if self._runs(number, attempt):
            self._write({"type": Kind.END, "number": number, "status": Status.COMPLETED})
            self._ended(self.state.trials[number])

    def fail(self, number: int, cause: Cause, error: str, attempt: int | None = None) -> None:
        """An attempt ended with an error. Its trial is tried again, or has failed: `policy.py` says which."""
        if not self._runs(number, attempt):
            return
        trial = self.state.trials[number]
        if number in self.state.to_stop:
            return self._end_stopped(number)
        if cause == Cause.STORAGE and self.error is None:
            self.error = SweepStopped(f"{error}; the sweep has stopped and can be resumed")
        counting = trial.attempts - trial.lost_attempts - (lost := cause.is_nobodys_fault)
        again = self._closing or policy.is_retried(cause, counting)
        status = Status.INTERRUPTED if again else Status.FAILED
        end = {"number": number, "status": status, "cause": cause, "error": error, "lost": lost}
        self._write({"type": Kind.END, **end})
        if not again:
            if self._freeze_thaw is not None and trial.confirms is None and trial.continued_after is None:
                self._freeze_thaw.failed(trial)
            self._ended(trial)
            return
        self.live.discard(number)
        self._waiting.append(number)

    def stop(self, number: int, reason: str, *, now: bool = False) -> None:
        """End a trial for good, as a stopping rule does: at its next row; one that waits, or with `now`, at once."""
        self._write({"type": Kind.STOP, "number": number, "reason": reason})
        self._end_stopped(number if now else None)

    def rungs(self) -> Mapping[int, Mapping[str, float]]:
        return self._stopping.rungs()

    def _runs(self, number: int, attempt: int | None) -> bool:
        return number in self.live and attempt in (None, self.state.trials[number].attempts)

    @property
    def _closing(self) -> bool:
        return self.interrupted or self.error is not None

    def _has_more(self) -> bool:
        if self.state.limit is None and (self._waiting or not self._all_proposed or self._any_paused):
            return True
        return self._has_time_for_one() and self._has_more_after_search()

    def _look_at_figures(self, trial: Trial, row: EpochRow) -> None:
        """End the sweep where a program's first row lacks what a constraint names: it would be asked in vain."""
        if not trial.rows and self.error is None and (unknown := self._constraints.unknown_to(row)):
            self.error = BalltrainError(f"{self.plan.task.name}: {unknown}")

    def _next(self) -> Trial | None:
        """The next trial to train, unless a constraint refuses it."""
        if self._closing or len(self.live) >= self.concurrency:
            return None
        self._end_stopped()
        self._look_at_limits()
        return self._next_trial() if self.state.limit is None else self._next_after_search()

    def _is_refused(self, trial: Trial) -> bool:
        """Whether what was known before its first epoch breaks a constraint: it ends without one."""
        broken = None if trial.attempts else self._constraints.broken_before(trial.known)
        if broken is None:
            return False
        self._write({"type": Kind.END, "number": trial.number, "status": Status.INFEASIBLE, "error": broken})
        if self._freeze_thaw is not None:
            self._freeze_thaw.failed(trial)
        self._ended(trial)
        return True

    def _next_trial(self) -> Trial | None:
        if self._waiting:
            return self.state.trials[self._waiting.popleft()]
        if self._freeze_thaw is not None:
            if (trial := self._start_or_thaw(self._freeze_thaw)) is not None:
                return trial
        else:
            while not self._all_proposed:
                if (trial := self._propose()) is not None:
                    return trial
        return self._continue_or_confirm()

    def _continue_or_confirm(self) -> Trial | None:
        if not self._has_time_for_one():
            return None
        if (best := self._after.to_continue()) is not None:
            self._write({"type": Kind.CONTINUE, "number": best.number, **self.plan.after_search})
            return best
        if (repeated := self._after.to_confirm()) is None:
            return None
        config, seed = self._after.repeat_of(repeated)
        return self._add_trial(repeated.point, config, seed, confirms=repeated.number)

    def _look_at_limits(self) -> None:
        """Write it once where the search has used up what it may, or is good enough."""
        if not self.plan.sweep.is_limited or self.state.limit is not None:
            return
        if not (self._waiting or self._any_paused or not self._all_proposed):
            return
        reason = self._spending.reached(self.concurrency, len(self.live))
        if reason is not None:
            self._write({"type": Kind.LIMIT, "reason": reason})

    @property
    def _any_paused(self) -> bool:
        """Asked many times a second, so all trials are looked at only where some may pause."""
        return self._freeze_thaw is not None and bool(self.state.with_status(Status.PAUSED))

    @property
    def _all_proposed(self) -> bool:
        return len(self.state.searched) >= self.plan.num_searched

    def _has_time_for_one(self) -> bool:
        """Whether another trial after the search can train an epoch."""
        return self._spending.has_time(1, len(self.live) + 1, self.concurrency, after_search=True)

    def _has_more_after_search(self) -> bool:
        if any(self.state.trials[number].is_after_search for number in self._waiting):
            return True
        if self.state.limit is not None and not all(trial.is_searched for trial in self.state.searched):
            return self.plan.follows_search
        return (self._after.to_continue() or self._after.to_confirm()) is not None

    def _next_after_search(self) -> Trial | None:
        """Of a search that was ended early what follows it; first, of its trials that might go on, the end."""
        if not self.plan.follows_search or not self._has_time_for_one():
            return None
        for _ in range(len(self._waiting)):
            if (trial := self.state.trials[self._waiting.popleft()]).is_after_search:
                return trial
        if not self.live:
            for trial in self.state.searched:
                if not trial.is_searched and trial.same_as is None:
                    self._write({"type": Kind.END, "number": trial.number, "status": Status.STOPPED})
        return self._continue_or_confirm()

    def _start_or_thaw(self, search: FreezeThaw) -> Trial | None:
        """What freeze-thaw runs next; None once it has spent its epochs, and all that is paused has ended."""
        while (chosen := search.decide(self.state.searched)) is not None:
            for given_up in search.out(self.state.searched, chosen):
                self._write({"type": Kind.END, "number": given_up.number, "status": Status.STOPPED})
            if isinstance(chosen, Trial):
                self._write({"type": Kind.THAW, "number": chosen.number})
                return chosen
            if (trial := self._add_searched(chosen)) is not None:
                return trial
        if not self.live:
            for trial in self.state.with_status(Status.PAUSED):
                if trial.same_as is None:
                    self._write({"type": Kind.END, "number": trial.number, "status": Status.STOPPED})
        return None

    def _propose(self) -> Trial | None:
        """A new trial; None for one that will not be trained, because another had its configuration before."""
        proposal, fold = divmod(len(self.state.searched), self.plan.sweep.folds or 1)
        assert self._searcher is not None  # freeze-thaw proposes by itself
        if fold:
            point = self.state.searched[-1].point or {}
        elif proposal < len(self._first):
            point = self._first[proposal]
            self._searcher.add(proposal, point)
        else:
            point = self._searcher.suggest(proposal)
        return self._add_searched(point, fold)

    def _add_searched(self, point: Point, fold: int = 0) -> Trial | None:
        order = len(self.state.searched)
        config = self.plan.configure(self.plan.space.decode(point))
        more = {} if self.plan.sweep.folds is None else {"fold": fold}
        first = self._first_with.get(_key(config, fold))
        if first is None:
            trial = self._add_trial(point, config, seed_of(self.plan.sweep.seed, order), **more)
            self._first_with[_key(config, fold)] = trial
            return trial
        self._add_trial(point, config, first.seed, **more, same_as=first.number)
        self._tell_of_ended()
        return None

    def _add_trial(self, point: Point | None, config: dict[str, Any], seed: int, **more: int) -> Trial:
        number = len(self.state.trials)
        line = {"type": Kind.TRIAL, "number": number, "point": point, "config": config, "seed": seed}
        known = {} if "same_as" in more else dict(self._foresee(config))
        self._write({**line, **more, **({"known": known} if known else {})})
        return self.state.trials[number]

    def _decide(self, trial: Trial, row: EpochRow, broken: str | None) -> Decision:
        objective = row["objective"]
        finite = judging.is_finite(self._goals, row, trial.rows)
        counts = finite and broken is None
        heard = judging.heard(self._goals, row, trial.rows) if counts else None
        after_search, is_known = trial.is_after_search, objective is not None
        good_enough = counts and is_known and not after_search and self._spending.hear(objective)
        if self._freeze_thaw is not None and not after_search and (is_known or not counts):
            self._freeze_thaw.observe(trial, row[c.EPOCH], objective if counts else None)
        if not counts:
            return Decision.INFEASIBLE if finite else Decision.FAIL
        goes_on = after_search or heard is None or self._stopping.goes_on(trial.trial_id, row[c.EPOCH], heard)
        if row[c.EPOCH] >= self.state.epochs_of(trial):
            return Decision.COMPLETE
        is_stopped = trial.number in self.state.to_stop
        if self._freeze_thaw and not after_search and not is_stopped and self._pauses(trial, row[c.EPOCH]):
            return Decision.PAUSE
        if not goes_on or good_enough or is_stopped:
            return Decision.STOP
        if self._closing:
            return Decision.INTERRUPT
        return self._spending.decide(trial, row[c.SECONDS], len(self.live), self.concurrency)

    def _pauses(self, trial: Trial, epoch: int) -> bool:
        """Whether another runs in its place, after a row that is observed but not yet written."""
        search = self._freeze_thaw
        assert search is not None
        if epoch not in search.milestones:
            return False
        if self.state.limit is not None:  # nothing else starts in its place
            rest = self.plan.epochs - epoch
            return self._closing or not self._spending.has_time(rest, len(self.live), self.concurrency)
        return self._closing or search.decide(self.state.searched, arriving=trial) is not trial

    def _end_stopped(self, number: int | None = None) -> None:
        """What users have stopped and does not train, also in an earlier run; and that trial, if it trains."""
        self.live.discard(-1 if number is None else number)
        for stopped in sorted(self.state.to_stop - self.live):
            if stopped in self._waiting:
                self._waiting.remove(stopped)
            self._write({"type": Kind.END, "number": stopped, "status": Status.STOPPED})
            self._ended(self.state.trials[stopped])

    def _ended(self, trial: Trial) -> None:
        self.live.discard(trial.number)
        if trial.status in (Status.INTERRUPTED, Status.PAUSED):
            return
        self._tell_of_ended()
        hopeless = self._failures.ended(trial, self.state.searched)
        if hopeless is not None and self.error is None:
            self.error = BalltrainError(f"{hopeless}; the sweep has stopped and can be resumed")

    def _tell_of_ended(self) -> None:
        while self._num_told < len(self.state.ended_in_order):
            self._tell(self.state.ended_in_order[self._num_told])
            self._num_told += 1

    def _tell(self, trial: Trial) -> None:
        """Tell the searcher of a proposal once all its folds have ended: their mean, or that one failed."""
        if trial.confirms is not None or self._searcher is None:
            return
        folds = self.plan.sweep.folds or 1
        proposal = trial.order // folds
        trials = self.state.searched[proposal * folds : (proposal + 1) * folds]
        done = [t for t in trials if t.is_searched]
        if len(done) < folds:
            return
        if self._goals is not None:  # without folds
            self._searcher.tell(proposal, judging.ended_at(self._goals, trial, self.state))
            return
        known = [t.searched_objective for t in done if t.searched_objective is not None]
        self._searcher.tell(proposal, sum(known) / folds if len(known) == folds else None)

    def _write(self, line: Line) -> None:
        """To disk first, then into the state: the state never holds what a kill could take back."""
        line = {**line, "time": self._clock()}
        self._journal.append(line)
        self.state.apply(line)
        while self.state.dropped:
            self.on_dropped(self.state.dropped.pop())

    def _replay(self) -> None:
        """Tell the searcher and the scheduler of the trials of an earlier run; queue those it did not finish."""
        for trial in self.state.searched:
            if not trial.fold and self._searcher is not None:
                self._searcher.add(trial.order // (self.plan.sweep.folds or 1), trial.point or {})
            self._first_with.setdefault(_key(trial.searched_config, trial.fold or 0), trial)
            for row in trial.rows[: trial.continued_after]:
                heard = judging.heard(self._goals, row, trial.rows)
                if row["decision"] not in WITHOUT_OBJECTIVE and heard is not None:
                    self._stopping.goes_on(trial.trial_id, row[c.EPOCH], heard)
        if self._freeze_thaw is not None:
            for number, place in self.state.learned:
                trial = self.state.trials[number]
                if place is None:
                    self._freeze_thaw.failed(trial)
                else:
                    row = trial.rows[place]
                    failed = row[c.DECISION] in WITHOUT_OBJECTIVE
                    if row["objective"] is None and not failed:
                        continue
                    self._freeze_thaw.observe(trial, row[c.EPOCH], None if failed else row["objective"])
        self._tell_of_ended()
        unfinished = self.state.with_status(Status.RUNNING, Status.INTERRUPTED)
        self._waiting.extend(trial.number for trial in unfinished if trial.same_as is None)


def _key(config: dict[str, Any], fold: int) -> bytes:
    """Without the epochs, which are no part of a search: a resumed one may have others."""
    text = json.dumps([fold, {**config, "epochs": None}], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()  # the texts were a tenth of a sweep's memory
