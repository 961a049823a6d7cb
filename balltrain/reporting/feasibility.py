"""Which constraints of a sweep were broken, how often, and what that cost."""

from __future__ import annotations

from typing import NamedTuple

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results
from balltrain.reporting.page import note, section, table


class Broken(NamedTuple):
    """Trials that broke one constraint; `untrained` of them did before their first epoch."""

    constraint: str
    trial_ids: list[str]
    untrained: int
    epochs: int  # that these trials trained


def broken(results: Results) -> list[Broken]:
    """The constraints of the sweep that trials broke, in its order."""
    trials = results.trials[(results.trials[c.STATUS] == Status.INFEASIBLE) & results.same_as.isna()]
    found = []
    for constraint in results.sweep.get("constraints") or ():
        own = trials[trials[c.ERROR].fillna("").str.endswith(f"breaks {constraint}")]
        if len(own):
            untrained = int((own[c.EPOCHS] == 0).sum())
            found.append(Broken(constraint, own[c.TRIAL_ID].tolist(), untrained, int(own[c.EPOCHS].sum())))
    return found


def in_words(entry: Broken) -> str:
    """One constraint in a sentence."""
    number = len(entry.trial_ids)
    text = f"{number} trial{'s' * (number != 1)} broke {entry.constraint}"
    if entry.untrained == number:
        return f"{text}, before the first epoch"
    before = f", {entry.untrained} of them before the first epoch" if entry.untrained else ""
    return f"{text}{before}, after {entry.epochs} epoch{'s' * (entry.epochs != 1)} in all"


def infeasible(results: Results) -> str:
    """The report's section."""
    constraints = results.sweep.get("constraints") or ()
    if not constraints:
        return ""
    entries = {entry.constraint: entry for entry in broken(results)}
    rows = []
    for constraint in constraints:
        entry = entries.get(constraint, Broken(constraint, [], 0, 0))
        rows.append([constraint, len(entry.trial_ids), entry.untrained, entry.epochs, _some(entry.trial_ids)])
    heads = ["constraint", "trials that broke it", "before the first epoch", "epochs that they trained", "which"]
    said = "A trial that breaks a constraint is infeasible: no failure, and never the best."
    return section("Constraints", table(heads, rows), note(said))


def _some(trial_ids: list[str]) -> str:
    return " ".join(trial_ids[:5]) + " …" * (len(trial_ids) > 5)
