"""A sweep's results as strict JSON: what `sweep --json` and `results --json` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results, plain
from balltrain.reporting.cross_validation import cross_validation
from balltrain.reporting.failures import failures
from balltrain.reporting.feasibility import broken
from balltrain.reporting.front import front_json
from balltrain.reporting.occupancy import running_seconds
from balltrain.reporting.reference import described, published

if TYPE_CHECKING:
    import pandas as pd


def summary_json(results: Results) -> dict[str, Any]:
    """What `sweep --json` prints: strict JSON, `best` is null where no trial has an objective."""
    best = results.best
    return {
        "name": results.name,
        "storage": str(results.folder.parent),
        "task": results.sweep.get("task"),
        "objective": results.objective_name,
        "mode": results.mode,
        "trials": len(results.trials),
        "planned": results.sweep.get("trials"),
        **results.counts,
        "epochs": results.num_epochs,
        **({"limit": results.sweep["limit"]} if results.sweep.get("limit") else {}),
        **({"cross_validation": cross_validation(results)} if results.sweep.get("folds") else {}),
        **({"continued": list(results.trials[c.TRIAL_ID][results.went_on])} if results.went_on.any() else {}),
        **({"confirmation": confirmation_json(results)} if results.sweep.get("confirm") else {}),
        **({"constraints": constraints_json(results)} if results.sweep.get("constraints") else {}),
        **({} if results.goals is None else {"front": front_json(results)}),
        "best": None
        if best is None
        else {
            "trial_id": best[c.TRIAL_ID],
            "objective": plain(best[c.OBJECTIVE]),
            "epoch": plain(best[c.BEST_EPOCH]),
            "config": results.config(best),
            "checkpoint": str(results.checkpoint),
        },
        "seconds": round(running_seconds(results), 3),
    }


def results_json(results: Results, top: int) -> dict[str, Any]:
    """What `results --json` prints: the summary, the `top` trials, the failures, figures of the objectives."""
    return {
        **summary_json(results),
        "top": [_trial_json(results, trial) for _, trial in results.listed.head(top).iterrows()],
        "failures": [{"error": error, "trial_ids": trial_ids} for error, trial_ids in failures(results)],
        "objectives": described(results),
        "marks": {trial_id: {"star": mark.star, "note": mark.note} for trial_id, mark in results.marks.items()},
        **({} if (reference := published(results)) is None else {"reference": dict(reference)}),
    }


def constraints_json(results: Results) -> list[dict[str, Any]]:
    """By constraint the trials that broke it, how many of them before their first epoch, and what they trained."""
    found = {entry.constraint: entry for entry in broken(results)}
    return [
        found[text]._asdict() if text in found else {"constraint": text, "trial_ids": [], "untrained": 0, "epochs": 0}
        for text in results.sweep["constraints"]
    ]


def confirmation_json(results: Results) -> dict[str, Any]:
    """The winner by the mean of new seeds, whether it is the search's first place, and each configuration's figures.

    `winner` and `first_place_held` are null until all repeats have ended.
    """
    entries, winner = results.confirmed
    first = results.ranked.iloc[0][c.TRIAL_ID] if len(results.ranked) else None
    searched = results.trials.set_index(c.TRIAL_ID)[c.OBJECTIVE]
    return {
        "winner": winner and winner.trial_id,
        "first_place": first,
        "first_place_held": winner and winner.trial_id == first,
        "configurations": [
            {
                "trial_id": entry.trial_id,
                "searched": plain(searched[entry.trial_id]),
                "mean": entry.mean,
                "interval": entry.interval,
                "objectives": entry.objectives,
                "failed": entry.failed,
            }
            for entry in entries
        ],
    }


def _trial_json(results: Results, trial: pd.Series) -> dict[str, Any]:
    own = [c.TRIAL_ID, c.STATUS, c.OBJECTIVE, c.BEST_EPOCH, c.EPOCHS, c.SECONDS, c.STARTED_AT, c.ENDED_AT]
    own += [c.CHECKPOINT, c.NODE, c.SEED, c.NUM_PARAMS]
    metrics = [name for name in trial.index if name.startswith(c.METRIC_PREFIX)]
    return {
        **{name: plain(trial[name]) for name in own},
        "metrics": {name.removeprefix(c.METRIC_PREFIX): plain(trial[name]) for name in metrics},
        "config": results.config(trial),
    }
