"""What the browser is told of a sweep, as JSON: made of its journal's state alone, so that it is as new as that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from balltrain.records import columns as c
from balltrain.records.state import Trial
from balltrain.reporting.pace import Pacer
from balltrain.reporting.snapshot import LiveSnapshot, snapshot_of
from balltrain.reporting.text import method_of
from balltrain.serving.following import Attempt, Followed

FACTS = ("name", "task", "objective", "mode", "epochs", "trials", "searcher", "budget", "created_at", "limit")


def sweep_json(followed: Followed) -> dict[str, Any]:
    """All of a sweep: what it is, its trials, and the epochs of those that train."""
    state, names = followed.state, config_names(followed)
    running = [state.trials[number].trial_id for number in sorted(followed.live)]
    return {
        "line": followed.num_lines,
        "facts": {name: state.sweep.get(name) for name in FACTS} | {"method": method_of(state.sweep)},
        "objective_column": followed.objective_column,
        "config": names,
        "metrics": _metric_names(followed),
        "trials": [trial_json(followed, trial, names) for trial in state.trials.values()],
        "curves": curves_json(followed, running),
    }


def trial_json(followed: Followed, trial: Trial, names: Sequence[str]) -> dict[str, Any]:
    """A row of the table; `names` are the hyperparameters in it."""
    first: Any = trial.rows[0] if trial.rows else {}
    curves = followed.curves.get(trial.number)
    seconds = curves.columns[c.SECONDS] if curves is not None else ()
    best = trial.best["metrics"] if trial.best else {}
    return {
        c.TRIAL_ID: trial.trial_id,
        c.STATUS: trial.status,
        c.OBJECTIVE: finite(trial.objective),
        c.BEST_EPOCH: trial.best["epoch"] if trial.best else None,
        c.EPOCHS: trial.epochs,
        c.SECONDS: round(sum(value for value in seconds if value == value), 3),
        c.STARTED_AT: trial.started_at,
        c.ENDED_AT: trial.ended_at,
        c.ERROR: trial.error,
        c.NODE: trial.node,
        c.SEED: trial.seed,
        c.NUM_PARAMS: first.get("num_params"),
        c.SAME_AS: None if trial.same_as is None else f"{trial.same_as:05d}",
        c.CONFIRMS: None if trial.confirms is None else f"{trial.confirms:05d}",
        "config": {name: trial.config.get(name) for name in names},
        "metrics": {name: finite(value) for name, value in best.items()},
    }


def curves_json(followed: Followed, trial_ids: Iterable[str]) -> dict[str, dict[str, list[float | None]]]:
    return {
        trial_id: {name: [finite(value) for value in values] for name, values in columns.items()}
        for trial_id, columns in followed.rows_of(trial_ids).items()
    }


def attempts_json(attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    return [vars(attempt) for attempt in attempts]


def config_names(followed: Followed) -> list[str]:
    """The hyperparameters that are searched, those inside of choices too."""
    searched = _keys(followed.state.sweep.get("space"))
    first = next(iter(followed.state.trials.values()), None)
    return [name for name in (first.config if first else ()) if name in searched and name != c.EPOCHS]


def plan_json(followed: Followed, pacer: Pacer, now: float | None) -> dict[str, Any]:
    """Plan against reality. `now` is None of a sweep that does not run: then its last line is the moment."""
    snapshot: LiveSnapshot = snapshot_of(followed)
    pace = pacer.look(snapshot)
    used = followed.state.usage.at(followed.last_time if now is None else now)
    return {
        "counts": {status.value: snapshot.counts.get(status, 0) for status in c.Status},
        "ended": snapshot.num_ended,
        "planned": snapshot.num_trials,
        "num_epochs": snapshot.num_epochs,
        "search_epochs": snapshot.search_epochs,
        "concurrency": snapshot.concurrency,
        "best": None if snapshot.best is None else vars(snapshot.best),
        "front": snapshot.front,
        "epochs_per_second": None if now is None else pace.epochs_per_second,
        "left_s": None if now is None else pace.left_s,
        "used": used._asdict(),
        "limit": followed.state.limit,
        "time": now or followed.last_time,
    }


def pacer_of(followed: Followed) -> Pacer:
    """By the times of the journal: rates are the sweep's, however long ago the page was opened."""
    return Pacer(followed.before, clock=lambda: max(followed.last_time, followed.began), started=followed.began)


def finite(value: float | None) -> float | None:
    """Strict JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def _metric_names(followed: Followed) -> list[str]:
    names: dict[str, None] = {}
    for trial in followed.state.trials.values():
        names |= dict.fromkeys(trial.best["metrics"] if trial.best else ())
    return list(names)


def _keys(space: Any) -> set[str]:
    if isinstance(space, dict):
        return {key for name, inner in space.items() for key in ({name} | _keys(inner))}
    return {key for inner in space for key in _keys(inner)} if isinstance(space, list) else set()
