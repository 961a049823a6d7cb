"""The report of a sweep: one HTML file that needs no network, drawn from the tables, and the best checkpoint.

A section is a function from `Results` to HTML, empty where the sweep has nothing to show in it; `SECTIONS` is
their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.best_configuration import best_config
from balltrain.reporting.course import course
from balltrain.reporting.failures import failures
from balltrain.reporting.feasibility import infeasible
from balltrain.reporting.figures import titled_axis
from balltrain.reporting.findings import findings
from balltrain.reporting.front import front
from balltrain.reporting.gallery import gallery
from balltrain.reporting.headline import headline
from balltrain.reporting.hyperparameters import contours, importance, parallel_coordinates, planes, slices
from balltrain.reporting.page import (
    bullets,
    contents,
    definitions,
    figure_html,
    note,
    page_html,
    paragraph,
    section,
    table,
    write_page,
)
from balltrain.reporting.pauses import pauses
from balltrain.reporting.progress import (
    best_so_far,
    best_trial,
    distribution,
    learning_curves,
    rungs,
)
from balltrain.reporting.text import short
from balltrain.reporting.timeline import timeline
from balltrain.reporting.verdict import verdict

if TYPE_CHECKING:
    pass

MAX_TABLE_ROWS = 100


def write_report(results: Results, out: Path, data_dir: Path | None = None) -> Path:
    """Write the report to the file `out`, replaced whole. Raises BalltrainError where it cannot be written.

    `data_dir` is where the data of the predictions is looked for.
    """
    body = "\n".join(draw(results, data_dir) if draw is gallery else draw(results) for draw in SECTIONS)
    page = page_html(results.name, "\n".join([headline(results), said(results), contents(body), body]))
    return write_page(page, out)


def said(results: Results) -> str:
    """What the sweep says in words, below the headline."""
    lines = [*course(results), *findings(results)]
    return section("What it says", bullets(lines)) if lines else ""


def confirmation(results: Results) -> str:
    """The best configurations trained again with new seeds, and whether the first place was luck."""
    entries, winner = results.confirmed
    if not entries:
        return ""
    searched = results.trials.set_index(c.TRIAL_ID)[c.OBJECTIVE]
    shown = [entry for entry in entries if entry.mean is not None]
    names = [entry.trial_id for entry in shown]
    repeats = {
        "type": "scatter",
        "mode": "markers",
        "name": "each new seed",
        "x": [entry.trial_id for entry in shown for _ in entry.objectives],
        "y": [value for entry in shown for value in entry.objectives],
        "marker": {"color": "@muted", "size": 7},
    }
    means = {
        "type": "scatter",
        "mode": "markers",
        "name": "their mean, 95 %",
        "x": names,
        "y": [entry.mean for entry in shown],
        "error_y": {"type": "data", "array": [entry.interval or 0 for entry in shown], "color": "@0"},
        "marker": {"color": "@0", "size": 10},
    }
    before = {
        "type": "scatter",
        "mode": "markers",
        "name": "in the search",
        "x": names,
        "y": [float(searched[name]) for name in names],
        "marker": {"color": "@1", "size": 10, "symbol": "x-thin", "line": {"color": "@1", "width": 2}},
    }
    axes = {"xaxis": {**titled_axis("trial"), "type": "category"}, "yaxis": titled_axis(results.objective_name)}
    heads = ["trial", "new seeds", "mean", "95 %", "in the search", "place in the search", "failed"]
    places = {trial_id: place for place, trial_id in enumerate(results.ranked[c.TRIAL_ID], 1)}
    rows = [
        [
            entry.trial_id,
            len(entry.objectives),
            entry.mean,
            "" if entry.interval is None else f"± {short(entry.interval, 2)}",
            float(searched[entry.trial_id]),
            places.get(entry.trial_id),
            entry.failed,
        ]
        for entry in entries
    ]
    return section(
        "Was the first place luck?",
        paragraph(verdict(results, winner) if winner else "Not all of them have been trained again yet."),
        figure_html([repeats, means, before], axes, height=320),
        table(heads, rows),
        note("The mean is over new seeds alone: the value in the search was chosen for being good."),
    )


def trials_table(results: Results) -> str:
    import pandas as pd

    if results.trials.empty:
        return ""
    rest = results.trials[~results.trials[c.TRIAL_ID].isin(results.ranked[c.TRIAL_ID])]
    rows = pd.concat([results.ranked, rest]).head(MAX_TABLE_ROWS)
    shown = [c.TRIAL_ID, c.STATUS, c.OBJECTIVE, c.BEST_EPOCH, c.EPOCHS, c.SECONDS, *results.metrics, *results.varied]
    shown += [c.NUM_PARAMS, c.SEED, c.NODE]
    heads = [column.removeprefix(c.CONFIG_PREFIX).removeprefix(c.METRIC_PREFIX) for column in shown]
    heads[2] = results.objective_name
    left_out = len(results.trials) - len(rows)
    text = f"{left_out} more are in trials.parquet." if left_out else ""
    return section("Trials", table(heads, rows[shown].itertuples(index=False), rows[c.STATUS]), note(text))


def marked(results: Results) -> str:
    """Trials with a star or a note."""
    if not results.marks:
        return ""
    objectives = results.trials.set_index(c.TRIAL_ID)[c.OBJECTIVE]
    rows = [
        (trial_id, "★" if mark.star else "", objectives.get(trial_id), mark.note)
        for trial_id, mark in results.marks.items()
    ]
    return section("Starred and noted", table(["trial", "", results.objective_name, "note"], rows))


def failures_table(results: Results) -> str:
    found = failures(results)
    if not found:
        return ""
    rows = [
        (len(trial_ids), error, " ".join(trial_ids[:20]) + " …" * (len(trial_ids) > 20)) for error, trial_ids in found
    ]
    return section("Failures", table(["trials", "error", "which"], rows, ["failed"] * len(rows)))


def provenance(results: Results) -> str:
    """What is needed to run the sweep again."""
    sweep = results.sweep
    scheduler, data = sweep.get("scheduler") or {}, sweep.get("data") or {}
    versions = sweep.get("versions") or {}
    rows = [
        ("begun", sweep.get("created_at")),
        ("seed", sweep.get("seed")),
        ("search space", sweep.get("space")),
        ("fixed hyperparameters", sweep.get("hyperparameters")),
        ("scheduler", ", ".join(f"{key} {value}" for key, value in scheduler.items())),
        ("epochs of a trial", sweep.get("epochs")),
        ("data", ", ".join(f"{key} {value}" for key, value in data.items() if value is not None)),
        ("data fingerprint", sweep.get("data_fingerprint")),
        ("placement", ", ".join(f"{key} {value}" for key, value in (sweep.get("placement") or {}).items())),
        ("host", sweep.get("host")),
        ("git commit", sweep.get("git_commit")),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("folder", str(results.folder.absolute())),
    ]
    return section("To run it again", definitions([(name, _value(value)) for name, value in rows if value]))


SECTIONS: tuple[Callable[[Results], str], ...] = (
    best_config,
    marked,
    confirmation,
    front,
    learning_curves,
    best_trial,
    gallery,
    best_so_far,
    distribution,
    rungs,
    infeasible,
    pauses,
    importance,
    parallel_coordinates,
    slices,
    planes,
    contours,
    timeline,
    trials_table,
    failures_table,
    provenance,
)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
