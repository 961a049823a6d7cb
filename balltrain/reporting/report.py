"""The report of a sweep: one HTML file that needs no network, drawn from the tables, and the best checkpoint.

A section is a function from `Results` to HTML, empty where the sweep has nothing to show in it; `SECTIONS` is
their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results
from balltrain.reporting.failures import failures
from balltrain.reporting.feasibility import infeasible
from balltrain.reporting.figures import titled_axis
from balltrain.reporting.findings import findings
from balltrain.reporting.front import front
from balltrain.reporting.gallery import gallery
from balltrain.reporting.hyperparameters import contours, importance, parallel_coordinates, planes, slices
from balltrain.reporting.intervals import of_best
from balltrain.reporting.occupancy import running_seconds
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
    saving,
)
from balltrain.reporting.text import duration, method_of, quoted, short
from balltrain.reporting.timeline import timeline
from balltrain.reporting.verdict import verdict

if TYPE_CHECKING:
    import pandas as pd

MAX_TABLE_ROWS = 100


def write_report(results: Results, out: Path, data_dir: Path | None = None) -> Path:
    """Write the report to the file `out`, replaced whole. Raises BalltrainError where it cannot be written.

    `data_dir` is where the data of the predictions is looked for.
    """
    body = "\n".join(draw(results, data_dir) if draw is gallery else draw(results) for draw in SECTIONS)
    page = page_html(results.name, "\n".join([headline(results), contents(body), body]))
    return write_page(page, out)


def headline(results: Results) -> str:
    """What won, by how much, and what early stopping saved; in words."""
    counts, best, total = results.counts, results.best, len(results.trials)
    if best is None:
        won = f"No trial has a {results.objective_name} yet." if total else "No trial has begun yet."
    else:
        won = (
            f"Trial {best[c.TRIAL_ID]} has the best {results.objective_name}: {short(best[c.OBJECTIVE])}, "
            f"at epoch {best[c.BEST_EPOCH]} of {best[c.EPOCHS]}{_margin(results)}. {of_best(results)}"
        )
    statuses = [f"{counts[status]} {status}" for status in Status if counts[status]]
    ran = f"{total} trial{'s' * (total != 1)}" + (f": {', '.join(statuses)}." if statuses else ".")
    ran += f" {results.num_epochs} epochs in {duration(running_seconds(results))}." if results.num_epochs else ""
    method = method_of(results.sweep)
    return (
        f"<header><p class=kicker>{escape(str(results.sweep.get('task')))} · {escape(method)}</p>"
        f"<h1>{escape(results.name)}</h1><p class=lead>{escape(won)}</p>"
        f"<p>{escape(ran)} {escape(saving(results))}</p></header>"
    )


def best_config(results: Results) -> str:
    if results.best is None:
        return ""
    config = results.config(results.best)
    names = [column.removeprefix(c.CONFIG_PREFIX) for column in results.varied]
    rows = [(name, _readable(config[name])) for name in names or config]
    rest = "" if not names else f"<p class=note>All others: {escape(_listed(config, leaving_out=names))}</p>"
    if results.sweep.get("program"):
        kept = f"<p>What it has kept is in {escape(str(results.checkpoint))}.</p>"
        return section("Best configuration", definitions(rows), rest, kept)
    commands = f"{train_command(results)}\nballtrain evaluate {quoted(results.checkpoint)}"
    return section(
        "Best configuration",
        definitions(rows),
        rest,
        "<p>Train it again, or evaluate its checkpoint:</p>",
        f"<pre>{escape(commands)}</pre>",
    )


def findings_list(results: Results) -> str:
    lines = findings(results)
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
    findings_list,
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


def train_command(results: Results, trial: pd.Series | None = None) -> str:
    """`balltrain train …` for a trial, the best unless given: what varies, and what the sweep fixed.

    Of a notebook's task it is Python.
    """
    trial = results.best if trial is None else trial
    assert trial is not None
    sweep, config = results.sweep, results.config(trial)
    given = {**(sweep.get("hyperparameters") or {}), **(sweep.get("space") or {})}
    names = dict.fromkeys([*(column.removeprefix(c.CONFIG_PREFIX) for column in results.varied), *given])
    if sweep.get("task_code") and not sweep.get("task_file"):  # a class of a notebook's cell
        chosen = "".join(f", {name}={config[name]!r}" for name in {"epochs": None, **names} if name in config)
        return f"balltrain.train(TASK{chosen})  # the class of the task {sweep.get('task')}"
    words = ["balltrain", "train", str(sweep.get("task_file") or sweep.get("task"))]
    if epochs := config.get("epochs") or sweep.get("epochs"):
        words += ["--epochs", str(epochs)]
    for name in names:
        if name in config and name != "epochs":
            words += ["--set", f"{name}={set_text(config[name])}"]
    for option, value in (sweep.get("data") or {}).items():
        if option in ("source", "size", "seed") and value:
            words += [f"--{option}", str(value)]
    return " ".join(quoted(word) for word in words)


def _margin(results: Results) -> str:
    if len(results.ranked) < 3 or results.best is None:
        return ""
    best, median = float(results.best[c.OBJECTIVE]), float(results.ranked[c.OBJECTIVE].median())
    text = f"; the median trial has {short(median)}"
    if results.mode == "min" and 0 < best < median:
        ratio = median / best
        return text + (f", {_times(ratio)} times as much" if ratio >= 2 else f", {ratio - 1:.0%} more")
    return text


def _times(ratio: float) -> str:
    """Two digits, in full: 1.4, 62, 6 200."""
    rounded = float(f"{ratio:.2g}")
    return f"{rounded:,.0f}".replace(",", "\u202f") if rounded >= 10 else f"{rounded:g}"


def set_text(value: Any) -> str:
    """As `--set` reads it, which takes for JSON all that can be: the text 18 needs its quotes."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value) if value in ("None", "True", "False") else value
    return json.dumps(value)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _readable(value: Any) -> str:
    if value is None:
        return "none"
    return short(value, 6) if isinstance(value, float) else _value(value)


def _listed(config: dict[str, Any], leaving_out: list[str]) -> str:
    return ", ".join(f"{name} {_readable(value)}" for name, value in config.items() if name not in leaving_out)
