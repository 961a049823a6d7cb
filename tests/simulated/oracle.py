"""What must hold of a journal, told from its lines alone, and by other code than the sweep's."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from balltrain.records.state import SweepState
from balltrain.search.plan import Plan

OVER = ("completed", "stopped", "failed")
AFTER = {"stop": "stopped", "complete": "completed", "interrupt": "interrupted", "fail": "failed", "pause": "paused"}
MOST_FAILURES = 3  # of one trial's attempts, by chance
BY_CHANCE = ("exception", "killed")


class Wrong(AssertionError):
    """A promise that was not kept."""


@dataclass
class Seen:
    """A trial, as far as the lines go."""

    number: int
    config: dict[str, Any]
    seed: int
    fold: int
    order: int | None  # among those of the search
    confirms: int | None
    same_as: int | None
    status: str = "new"
    rows: list[dict[str, Any]] = field(default_factory=list)
    attempts: int = 0
    num_failures: int = 0
    session: int = 0  # that runs it, or ran it last
    continued_after: int | None = None
    objective_of_search: float | None = None

    @property
    def is_after_search(self) -> bool:
        return self.confirms is not None or self.continued_after is not None

    def best(self, sign: int) -> float | None:
        known = [sign * r["objective"] for r in self.rows if r["objective"] is not None and r["decision"] != "fail"]
        return min(known, default=None)


class Reader:
    """Goes through the lines of a journal, and raises Wrong at the first that should not be there."""

    def __init__(self, plan: Plan, closed_at: dict[int, float]) -> None:
        self.plan, self.closed_at = plan, closed_at
        self.sign = 1 if plan.task.mode == "min" else -1
        self.trials: dict[int, Seen] = {}
        self.searched: list[Seen] = []
        self.to_stop: set[int] = set()  # by users
        self.first_with: dict[str, Seen] = {}
        self.session, self.limit = 0, False
        self.count = 0
        sweep = plan.sweep
        self.is_asha = sweep.scheduler == "asha"
        self.freezes = sweep.searcher == "freeze-thaw"
        self.rungs: dict[float, dict[int, float]] = {}
        at = float(sweep.grace or 1)
        while self.is_asha and at <= plan.epochs + 1 + 1e-9:
            self.rungs[at] = {}
            at *= sweep.reduction_factor
        self.points = None if sweep.searcher in ("hyperopt", "freeze-thaw") else plan.build_searcher()

    def read(self, line: dict[str, Any]) -> None:
        getattr(self, "_" + line["type"])(line)
        self.count += 1

    def check(self, state: SweepState) -> None:
        """The state that is made of the same lines."""
        for trial in self.trials.values():
            found = state.trials[trial.number]
            if found.attempts != trial.attempts or (trial.status in OVER and found.status != trial.status):
                raise Wrong(f"trial {trial.number}: {found.attempts} attempts, {found.status}; not {trial}")
            if [row["epoch"] for row in found.rows] != list(range(1, len(trial.rows) + 1)):
                raise Wrong(f"trial {trial.number} has other rows than the journal")

    def check_rungs(self, rungs: Mapping[int, Mapping[str, float]]) -> None:
        """Those of a controller that was made of the same lines."""
        found = {at: dict(values) for at, values in rungs.items() if values}
        rows_make = {
            int(at): {f"{number:05d}": value for number, value in values.items()}
            for at, values in self.rungs.items()
            if values
        }
        if found != rows_make:
            raise Wrong(f"the rungs are {found}, but the rows make {rows_make}")

    def check_end(self) -> None:
        """Of a sweep that has ended by itself."""
        sweep, own = self.plan.sweep, [t for t in self.searched if t.same_as is None]
        limited = self.limit or sweep.is_limited
        for trial in self.trials.values():
            if trial.same_as is None and trial.status not in OVER and not (limited and not self._is_followed(trial)):
                raise Wrong(f"trial {trial.number} is {trial.status} at the end")
        if not limited and not self.freezes and len(self.searched) != self.plan.num_searched:
            raise Wrong(f"{len(self.searched)} trials were searched of {self.plan.num_searched}")
        ranked = sorted(
            (t for t in own if t.objective_of_search is not None), key=lambda t: (t.objective_of_search, t.number)
        )
        went_on = [t for t in own if t.continued_after is not None]
        if not sweep.is_limited:
            if {t.number for t in went_on} != {t.number for t in ranked[: sweep.continue_best]}:
                raise Wrong(f"{[t.number for t in went_on]} went on, of {[t.number for t in ranked]}")
            counts = Counter(t.confirms for t in self.trials.values() if t.confirms is not None)
            if set(counts.values()) - {sweep.repeats} or len(counts) > sweep.confirm:
                raise Wrong(f"{counts} were confirmed")
            if len(counts) < min(sweep.confirm, len(self._confirmable(own))):
                raise Wrong(f"only {counts} were confirmed")

    def _confirmable(self, own: list[Seen]) -> list[Seen]:
        return [t for t in own if t.status != "failed" and t.best(self.sign) is not None]

    def _is_followed(self, trial: Seen) -> bool:
        return self.plan.follows_search and not trial.is_after_search and not self.plan.sweep.is_limited

    # -- by the type of the line

    def _sweep(self, line: dict[str, Any]) -> None:
        if self.session:
            raise Wrong("the sweep begins twice")
        self._resume(line)

    def _resume(self, line: dict[str, Any]) -> None:
        self.session, self.limit = self.session + 1, False

    def _limit(self, line: dict[str, Any]) -> None:
        if self.limit or not self.plan.sweep.is_limited:
            raise Wrong("a limit that is none")
        self.limit = True

    def _trial(self, line: dict[str, Any]) -> None:
        self._open("a trial is proposed")
        number, confirms, same_as = line["number"], line.get("confirms"), line.get("same_as")
        if number != len(self.trials):
            raise Wrong(f"trial {number} comes after {len(self.trials)}")
        order = None if confirms is not None else len(self.searched)
        trial = Seen(number, line["config"], line["seed"], line.get("fold") or 0, order, confirms, same_as)
        self.trials[number] = trial
        if confirms is None:
            if self.limit or any(t.confirms is not None for t in self.trials.values()):
                raise Wrong(f"trial {number} is searched after the search")
            self.searched.append(trial)
            self._check_proposal(trial, line["point"])
        elif {**self.trials[confirms].config, **self.plan.after_search} != trial.config:
            raise Wrong(f"trial {number} is another configuration than {confirms}, which it confirms")
        elif any(t.confirms == confirms and t.seed == trial.seed for t in list(self.trials.values())[:-1]):
            raise Wrong(f"trial {number} confirms with a seed that was there")
        elif any(t.status not in OVER for t in self.searched if t.same_as is None):
            raise Wrong(f"trial {number} confirms a search that goes on")

    def _check_proposal(self, trial: Seen, point: dict[str, Any]) -> None:
        if self.plan.configure(self.plan.space.decode(point)) != trial.config:
            raise Wrong(f"trial {trial.number} has not the configuration of its point")
        assert trial.order is not None
        proposal, fold = divmod(trial.order, self.plan.sweep.folds or 1)
        if fold != trial.fold:
            raise Wrong(f"trial {trial.number} has fold {trial.fold}")
        if self.points is not None and self.points.suggest(proposal) != point:
            raise Wrong(f"trial {trial.number} is not the searcher's proposal {proposal}")
        found = self.first_with.setdefault(json.dumps([fold, trial.config], sort_keys=True), trial)
        first = None if found is trial else found
        if (first and first.number) != trial.same_as:
            raise Wrong(f"trial {trial.number} is the same as {first and first.number}, not as {trial.same_as}")
        if first is not None and first.seed != trial.seed:
            raise Wrong(f"trial {trial.number} has another seed than the one with its configuration")

    def _start(self, line: dict[str, Any]) -> None:
        trial = self.trials[line["number"]]
        self._open(f"trial {trial.number} starts")
        if trial.status in OVER or trial.same_as is not None:
            raise Wrong(f"trial {trial.number} starts, which is {trial.status}")
        if trial.status == "running" and trial.session == self.session and trial.attempts:
            raise Wrong(f"trial {trial.number} starts, which runs")
        if self.limit and not trial.is_after_search:
            raise Wrong(f"trial {trial.number} starts after the search has used up what it may")
        trial.attempts += 1
        if line["attempt"] != trial.attempts:
            raise Wrong(f"trial {trial.number} has attempt {line['attempt']} after {trial.attempts - 1}")
        trial.status, trial.session = "running", self.session

    def _report(self, line: dict[str, Any]) -> None:
        trial, row = self.trials[line["number"]], line["row"]
        self._check_runs(trial, "reports")
        if row["epoch"] != len(trial.rows) + 1:
            raise Wrong(f"trial {trial.number} has epoch {row['epoch']} after {len(trial.rows)}")
        expected = self._expected(trial, row)
        if row["decision"] not in expected:
            raise Wrong(f"trial {trial.number}, epoch {row['epoch']}: {row['decision']}, not {expected}")
        trial.rows.append(row)
        if row["decision"] != "continue":
            self._over(trial, AFTER[row["decision"]])

    def _end(self, line: dict[str, Any]) -> None:
        trial, cause = self.trials[line["number"]], line.get("cause")
        if line["status"] == "stopped" and trial.number in self.to_stop:
            return self._over(trial, "stopped")
        if line["status"] == "stopped":
            if trial.status in OVER or (trial.status == "running" and trial.session == self.session):
                raise Wrong(f"trial {trial.number} is stopped, which is {trial.status}")
            return self._over(trial, "stopped")
        self._check_runs(trial, "ends")
        if cause is None:
            if line["status"] != "completed" or trial.config.get("patience") is None:
                raise Wrong(f"trial {trial.number} ends without a cause")
            return self._over(trial, "completed")
        lost = cause in ("storage", "node-lost")
        if bool(line["lost"]) != lost:
            raise Wrong(f"an attempt at trial {trial.number} that ended by {cause} has lost={line['lost']}")
        trial.num_failures += not lost
        again = lost or self._is_closed or (cause in BY_CHANCE and trial.num_failures < MOST_FAILURES)
        if line["status"] != ("interrupted" if again else "failed"):
            raise Wrong(f"trial {trial.number} is {line['status']} by {cause} after {trial.num_failures} failures")
        self._over(trial, line["status"])

    def _stop(self, line: dict[str, Any]) -> None:
        trial = self.trials[line["number"]]
        if trial.status in OVER or trial.same_as is not None:
            raise Wrong(f"trial {trial.number} is stopped by a user, which is {trial.status}")
        self.to_stop.add(trial.number)

    def _thaw(self, line: dict[str, Any]) -> None:
        trial = self.trials[line["number"]]
        self._open(f"trial {trial.number} is thawed")
        if trial.status != "paused":
            raise Wrong(f"trial {trial.number} is thawed, which is {trial.status}")
        trial.status, trial.session = "interrupted", self.session

    def _continue(self, line: dict[str, Any]) -> None:
        trial = self.trials[line["number"]]
        self._open(f"trial {trial.number} goes on")
        if any(t.status not in OVER and t.continued_after is None for t in self.searched if t.same_as is None):
            raise Wrong(f"trial {trial.number} goes on while the search does")
        if trial.status not in OVER or trial.continued_after is not None or trial.same_as is not None:
            raise Wrong(f"trial {trial.number} goes on, which is {trial.status}")
        trial.continued_after, trial.num_failures = len(trial.rows), 0
        changes = {key: line[key] for key in ("epochs", "patience") if key in line}
        trial.config, trial.status = {**trial.config, **changes}, "interrupted"

    # -- rules

    @property
    def _is_closed(self) -> bool:
        return self.count >= self.closed_at.get(self.session, math.inf)

    def _open(self, what: str) -> None:
        if self._is_closed:
            raise Wrong(f"{what} after the sweep was told to end")

    def _check_runs(self, trial: Seen, what: str) -> None:
        if trial.status != "running" or trial.session != self.session:
            raise Wrong(f"trial {trial.number} {what}, which does not run")

    def _over(self, trial: Seen, status: str) -> None:
        trial.status = status
        if status in OVER:
            self.to_stop.discard(trial.number)
        if status in OVER and trial.order is not None and trial.continued_after is None:
            trial.objective_of_search = None if status == "failed" else trial.best(self.sign)

    def _expected(self, trial: Seen, row: dict[str, Any]) -> set[str]:
        """The decisions that may follow from a row."""
        sweep, objective = self.plan.sweep, row["objective"]
        if row["train_loss"] is None and row["decision"] == "fail":  # NaN is None in the journal
            return {"fail"}
        goes_on = trial.is_after_search or objective is None or self._reaches(trial.number, row["epoch"], objective)
        if row["epoch"] >= (self.plan.most_epochs if trial.is_after_search else self.plan.epochs):
            return {"complete"}
        if trial.number in self.to_stop:
            return {"stop"}
        reached = (
            sweep.until is not None and objective is not None and self.sign * objective <= self.sign * sweep.until
        )
        found = {"continue"} if not self._is_closed else {"interrupt"}
        if self.count + 1 > self.closed_at.get(self.session, math.inf):  # the line in which it was told, perhaps
            found |= {"interrupt"}
        if not goes_on or (reached and not trial.is_after_search):
            found = {"stop"}
        if self.freezes and not trial.is_after_search:
            found |= {"pause"}
        if sweep.is_limited:  # by budgets, which need the clock
            found |= {"stop", "interrupt"} if goes_on and not reached else set()
        return found

    def _reaches(self, number: int, epoch: int, objective: float) -> bool:
        """Asynchronous successive halving: whether a row is good enough at the rung that it reaches, if any."""
        for at, recorded in sorted(self.rungs.items(), reverse=True):
            if epoch < at or number in recorded:
                continue
            others = sorted(-self.sign * value for value in recorded.values())
            recorded[number] = objective
            if not others:
                return True
            place = (1 - 1 / self.plan.sweep.reduction_factor) * (len(others) - 1)
            low, part = others[math.floor(place)], place - math.floor(place)
            needed = low + part * (others[min(math.floor(place) + 1, len(others) - 1)] - low)
            value = -self.sign * objective
            return value >= needed or math.isclose(value, needed, rel_tol=1e-12)
        return True
