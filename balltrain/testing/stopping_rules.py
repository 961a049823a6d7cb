"""What every stopping rule passes, balltrain's own and those of plug-ins, on known curves and in virtual sweeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import ClassVar

import numpy as np

from balltrain.records.columns import Status
from balltrain.records.journal import Line
from balltrain.search.stopping import StoppingRule, build_stopping
from balltrain.testing.curves import generated_problem
from balltrain.testing.virtual import VirtualSweep, outcome, plan_of

EPOCHS, GRACE = 27, 3
Row = tuple[str, int, float]  # trial, epoch, objective


class StoppingConformance:
    """Tests of one stopping rule, for pytest. Subclass it by a name that begins with Test, and say which.

    Attributes:
        scheduler: Its name, as `--scheduler` takes it.
        stops: Whether it ever stops a trial: only `none` does not.

    Example:
        >>> class TestMedian(StoppingConformance):
        ...     scheduler = "median"
    """

    scheduler: ClassVar[str]
    stops: ClassVar[bool] = True

    def rule(self, mode: str = "min", grace: int = GRACE) -> StoppingRule:
        """One that knows of no trial."""
        return build_stopping(self.scheduler, mode, EPOCHS, grace, 3)

    def sweep(self, lines: Iterable[Line] = (), workers: int = 1) -> VirtualSweep:
        """A sweep by the rule, which has not begun, or goes on with a journal's lines."""
        problem = generated_problem(1, epochs=EPOCHS)
        plan = plan_of(problem, searcher="random", scheduler=self.scheduler, trials=20, grace=GRACE)
        return VirtualSweep(problem, plan, workers=workers, lines=lines)

    def test_it_stops_the_bad_ones_and_a_sweep_ends(self) -> None:
        state = self.sweep(workers=4).run().state
        stopped = [t for t in state.searched if t.status == Status.STOPPED]
        assert all(t.has_ended for t in state.searched)
        assert bool(stopped) == self.stops
        assert any(t.status == Status.COMPLETED for t in state.searched)

    def test_no_trial_is_stopped_before_its_grace_period(self) -> None:
        rule = self.rule()
        assert all(goes_on for (_, epoch, _), goes_on in decisions(rule, curves()) if epoch < GRACE)

    def test_one_that_is_ahead_of_all_others_goes_on(self) -> None:
        assert all(goes_on for (trial, _, _), goes_on in decisions(self.rule(), curves()) if trial == "best")

    def test_large_objectives_are_as_good_as_small_ones(self) -> None:
        negative = [[(trial, epoch, -value) for trial, epoch, value in rows] for rows in curves()]
        smallest = [goes_on for _, goes_on in decisions(self.rule("min"), curves())]
        largest = [goes_on for _, goes_on in decisions(self.rule("max"), negative)]
        assert smallest == largest

    def test_told_again_in_the_order_of_trials_it_decides_the_same(self) -> None:
        """As a resumed sweep tells it, however the rows came."""
        before, after = curves()[:20], curves()[20:]
        first, again = self.rule(), self.rule()
        told = list(decisions(first, before))
        for (trial, epoch, value), _ in sorted(told, key=lambda found: found[0][:2]):
            again.goes_on(trial, epoch, value)
        assert list(decisions(first, after)) == list(decisions(again, after))

    def test_the_same_row_twice_changes_nothing(self) -> None:
        once, twice = self.rule(), self.rule()
        for rows in curves()[:20]:
            for row in rows:
                once.goes_on(*row)
                twice.goes_on(*row)
                twice.goes_on(*row)
        assert list(decisions(once, curves()[20:])) == list(decisions(twice, curves()[20:]))

    def test_a_sweep_that_was_killed_goes_on_as_one_that_ran_through(self) -> None:
        whole = self.sweep().run()
        for epochs in (7, 90):
            resumed = self.sweep(self.sweep().run(epochs).lines).run()
            assert outcome(resumed.state) == outcome(whole.state)

    def test_its_rungs_are_epochs_and_objectives(self) -> None:
        rule = self.rule()
        list(decisions(rule, curves()))
        rungs = rule.rungs()
        assert all(isinstance(epoch, int) and 1 <= epoch <= EPOCHS for epoch in rungs)
        json.dumps({epoch: dict(values) for epoch, values in rungs.items()})


def curves() -> list[list[Row]]:
    """Rows of 30 trials, whose losses fall to levels of their own; of the trial `best` to less at every epoch."""
    random = np.random.default_rng(0)
    found = []
    for number in range(30):
        level, name = (0.0, "best") if number == 25 else (0.2 + random.random(), f"{number:05d}")
        found.append([(name, epoch, float(level + 1 / epoch)) for epoch in range(1, EPOCHS + 1)])
    return found


def decisions(rule: StoppingRule, trials: Iterable[list[Row]]) -> Iterator[tuple[Row, bool]]:
    """Each row with what is decided on it, four trials side by side; one that is stopped has no more."""
    waiting = [iter(rows) for rows in trials]
    while waiting:
        for rows in waiting[:4]:
            row = next(rows, None)
            goes_on = row is not None and rule.goes_on(*row)
            if row is not None:
                yield row, goes_on
            if not goes_on:
                waiting.remove(rows)
