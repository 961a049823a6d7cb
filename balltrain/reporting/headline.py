"""The head of a report: what won, by how much, and how much was trained for it."""

from __future__ import annotations

from html import escape

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results
from balltrain.reporting.cross_validation import cross_validation
from balltrain.reporting.intervals import of_best
from balltrain.reporting.occupancy import running_seconds
from balltrain.reporting.progress import saving
from balltrain.reporting.text import duration, short, stopped_by

MOST_TIMES = 10_000  # that a figure is as much as another: more says no more


def headline(results: Results) -> str:
    """What won, by how much, and what early stopping saved; in words."""
    total = len(results.trials)
    statuses = [f"{results.counts[status]} {status}" for status in Status if results.counts[status]]
    ran = f"{total} trial{'s' * (total != 1)}" + (f": {', '.join(statuses)}." if statuses else ".")
    again = int(results.confirms.notna().sum())
    ran += f" {again} of them trained the best configurations again, with new seeds." if again else ""
    ran += f" {results.num_epochs} epochs in {duration(running_seconds(results))}." if results.num_epochs else ""
    return (
        f"<header><p class=kicker>{escape(_kicker(results))}</p>"
        f"<h1>{escape(results.name)}</h1><p class=lead>{escape(won(results))}</p>"
        f"<p>{escape(ran)} {escape(saving(results))}</p></header>"
    )


def won(results: Results) -> str:
    """The best trial, by how much, and how sure that is."""
    best, name = results.best, results.objective_name
    if best is None:
        return f"No trial has a {name} yet." if len(results.trials) else "No trial has begun yet."
    trial = (
        f"Trial {best[c.TRIAL_ID]} has the best {name}: {short(best[c.OBJECTIVE])}, "
        f"at epoch {best[c.BEST_EPOCH]} of {best[c.EPOCHS]}"
    )
    _, winner = results.confirmed
    if winner is not None and winner.trial_id != best[c.TRIAL_ID]:  # which is one of its trainings with a new seed
        trial += f", which trains the configuration of trial {winner.trial_id} again"
    elif cross_validation(results):
        trial += ", on one fold"
    else:
        trial += _margin(results)
    return f"{trial}. {of_best(results)}"


def _kicker(results: Results) -> str:
    sweep = results.sweep
    what = " ".join(str(part) for part in (sweep.get("program"), sweep.get("task")) if part)
    stopping = stopped_by(sweep) or "no early stopping"
    parts = [what, str(sweep["searcher"])] if sweep.get("searcher") else [what]
    return " · ".join(parts if sweep.get("search_epochs") else [*parts, stopping])


def _margin(results: Results) -> str:
    """How far the median trial is from the best, both by the search's epochs."""
    if len(results.compared) < 3:
        return ""
    best, median = float(results.compared[c.OBJECTIVE].iloc[0]), float(results.compared[c.OBJECTIVE].median())
    text = f"; the median trial has {short(median)}"
    if results.mode == "min" and 0 < best < median and not results.went_on.any():
        ratio = median / best
        return text + (f", {_times(ratio)} times as much" if ratio >= 2 else f", {ratio - 1:.0%} more")
    return text


def _times(ratio: float) -> str:
    """Two digits, in full: 1.4, 62, 6 200."""
    if ratio > MOST_TIMES:
        return f"more than {MOST_TIMES:,}".replace(",", "\u202f")
    rounded = float(f"{ratio:.2g}")
    return f"{rounded:,.0f}".replace(",", "\u202f") if rounded >= 10 else f"{rounded:g}"
