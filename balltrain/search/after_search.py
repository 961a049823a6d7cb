"""What follows the search: which of its best trials go on, and which are repeated with new seeds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from balltrain.records.state import SweepState, Trial

if TYPE_CHECKING:
    from balltrain.search.plan import Plan


class AfterSearch:
    """The second stage and the confirmation of a plan, by the state of its sweep alone."""

    def __init__(self, plan: Plan, state: SweepState) -> None:
        self.plan, self.state = plan, state
        self._to_repeat: list[Trial] | None = None

    def to_continue(self) -> Trial | None:
        """The searched trial that is to go on next; None while the search goes on, and once all do that should."""
        if not self.plan.sweep.continue_best or not all(trial.is_searched for trial in self.state.searched):
            return None
        return next(iter(self.state.to_continue(self.plan.sweep.continue_best)), None)

    def to_confirm(self) -> Trial | None:
        """The searched trial to repeat next; None while another trains, and once all have their repeats.

        Those repeated least come first, so that an interrupted sweep knows as much of each.
        """
        if not self.plan.sweep.confirm or not all(t.has_ended for t in self.state.searched):
            return None
        if self.to_continue() is not None:
            return None
        if self._to_repeat is None:  # once: a search that has ended changes no more
            self._to_repeat = self.state.ranked()[: self.plan.sweep.confirm]
        counts = Counter(trial.confirms for trial in self.state.trials.values())
        least = min(self._to_repeat, key=lambda trial: counts[trial.number], default=None)
        return least if least is not None and counts[least.number] < self.plan.sweep.repeats else None

    def repeat_of(self, repeated: Trial) -> tuple[dict[str, Any], int]:
        """The same configuration, and a new seed: the n-th repeats of all have the same one, and compare better."""
        times = sum(trial.confirms == repeated.number for trial in self.state.trials.values())
        seed = seed_of(self.plan.sweep.seed, times, 1)  # the 1 keeps it apart from the search's
        return {**repeated.config, **self.plan.after_search}, seed


def seed_of(*entropy: int) -> int:
    """A seed that follows from the sweep's and from which trial it is for."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0]) >> 1
