"""The report of a sweep: one HTML file that needs no network, drawn from the Parquet tables alone.

A section is a function from `Results` to HTML, empty where the sweep has nothing to show in it; `SECTIONS` is
their order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.reporting.figures import (
    at_most,
    figure_html,
    is_choice,
    is_log,
    line_trace,
    numeric_scale,
    objective_axis,
    page_html,
    parallel_axis,
    slice_axis,
    thinned,
    titled_axis,
)
from balltrain.reporting.results import Results, duration, quoted, short
from balltrain.tuning import columns as c

NUM_HIGHLIGHTED = 5  # trials whose curves have a colour
MAX_CURVES = 200  # more than that no eye tells apart, and no phone draws
MAX_POINTS = 2000
MAX_TABLE_ROWS = 100


def write_report(results: Results, out: Path) -> Path:
    """Write the report to the file `out`, replaced whole. Raises BalltrainError where it cannot be written."""
    page = page_html(results.name, "\n".join(section(results) for section in SECTIONS))
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, out)
    except OSError as error:
        reason = error.strerror or error
        raise BalltrainError(f"cannot write the report to {out}: {reason}; choose another file by --out") from error
    return out


def headline(results: Results) -> str:
    """What won, by how much, and what early stopping saved; in words."""
    counts, best, total = results.counts, results.best, len(results.trials)
    if best is None:
        won = f"No trial has a {results.objective_name} yet." if total else "No trial has begun yet."
    else:
        won = (
            f"Trial {best[c.TRIAL_ID]} has the best {results.objective_name}: {short(best[c.OBJECTIVE])}, "
            f"at epoch {best[c.BEST_EPOCH]} of {best[c.EPOCHS]}{_margin(results)}."
        )
    statuses = [f"{counts[status]} {status}" for status in c.STATUSES if counts[status]]
    ran = f"{total} trial{'s' * (total != 1)}" + (f": {', '.join(statuses)}." if statuses else ".")
    ran += f" {results.num_epochs} epochs in {duration(results.seconds)}." if results.num_epochs else ""
    method = f"{results.sweep.get('searcher')} + {(results.sweep.get('scheduler') or {}).get('name')}"
    return (
        f"<header><p class=kicker>{escape(str(results.sweep.get('task')))} · {escape(method)}</p>"
        f"<h1>{escape(results.name)}</h1><p class=lead>{escape(won)}</p>"
        f"<p>{escape(ran)} {escape(_saving(results))}</p></header>"
    )


def best_config(results: Results) -> str:
    if results.best is None:
        return ""
    config = results.config(results.best)
    names = [column.removeprefix(c.CONFIG_PREFIX) for column in results.varied]
    rows = [(name, _readable(config[name])) for name in names or config]
    rest = "" if not names else f"<p class=note>All others: {escape(_listed(config, leaving_out=names))}</p>"
    commands = f"{train_command(results)}\nballtrain evaluate {quoted(results.checkpoint)}"
    return _section(
        "Best configuration",
        _definitions(rows),
        rest,
        "<p>Train it again, or evaluate its checkpoint:</p>",
        f"<pre>{escape(commands)}</pre>",
    )


def learning_curves(results: Results) -> str:
    """All trials' objective by epoch, the best ones in colour."""
    column = results.objective_column
    rows = results.epochs[results.epochs[column].notna()] if column in results.epochs else results.epochs[:0]
    if rows.empty:
        return ""
    curves = dict(iter(rows.groupby(c.TRIAL_ID, sort=False)))
    best_ids = [trial_id for trial_id in results.ranked[c.TRIAL_ID].head(NUM_HIGHLIGHTED) if trial_id in curves]
    others = [trial_id for trial_id in curves if trial_id not in set(best_ids)]
    drawn = others[:: -(-len(others) // MAX_CURVES)] if others else []
    data = []
    if drawn:
        x: list[Any] = []
        y: list[Any] = []
        text: list[str] = []
        for trial_id in drawn:  # one trace with gaps: a trace each takes a browser seconds
            curve = thinned(curves[trial_id])
            x += [*curve[c.EPOCH].tolist(), None]
            y += [*curve[column].tolist(), None]
            text += [str(trial_id)] * (len(curve) + 1)
        data.append(line_trace(x, y, "others", "@muted", width=1, opacity=0.45, text=text))
    for rank, trial_id in reversed(list(enumerate(best_ids))):
        curve = thinned(curves[trial_id])
        name = f"{trial_id} (best)" if rank == 0 else trial_id
        data.append(
            line_trace(
                curve[c.EPOCH],
                curve[column],
                name,
                f"@{rank}",
                width=3 if rank == 0 else 1.6,
                text=[trial_id] * len(curve),
            )
        )
    note = f"{len(drawn)} of the {len(others)} other trials are drawn." if len(drawn) < len(others) else ""
    axes = {"xaxis": titled_axis("epoch"), "yaxis": objective_axis(results, rows[column])}
    return _section("Learning curves", figure_html(data, axes, height=420), _note(note))


def best_trial(results: Results) -> str:
    """Train and validation loss of the best trial: do they part?"""
    if results.best is None:
        return ""
    rows = results.epochs[results.epochs[c.TRIAL_ID] == results.best[c.TRIAL_ID]]
    losses = [(c.TRAIN_LOSS, "@1"), (c.VAL_LOSS, "@0")]
    data = [line_trace(rows[c.EPOCH], rows[name], name, color, marks=True) for name, color in losses]
    axes = {"xaxis": titled_axis("epoch"), "yaxis": titled_axis("loss", rows[[c.TRAIN_LOSS, c.VAL_LOSS]].stack())}
    figures = [figure_html(data, axes, height=320)]
    metrics = [column for column in results.epochs.columns if column.startswith(c.METRIC_PREFIX)]
    shown = [column for column in metrics if rows[column].notna().any()][:NUM_HIGHLIGHTED]
    if shown:
        data = [
            line_trace(rows[c.EPOCH], rows[column], column.removeprefix(c.METRIC_PREFIX), f"@{number}", marks=True)
            for number, column in enumerate(shown)
        ]
        figures.append(figure_html(data, {"xaxis": titled_axis("epoch"), "yaxis": titled_axis("metric")}, height=320))
    return _section(f"Best trial, {results.best[c.TRIAL_ID]}", _grid(figures))


def best_so_far(results: Results) -> str:
    """The sweep's progress, over time and over epochs trained by all trials."""
    import pandas as pd

    column = results.objective_column
    if results.best is None or column not in results.epochs:
        return ""
    rows = results.epochs.merge(results.trials[[c.TRIAL_ID, c.STARTED_AT, c.STATUS]], on=c.TRIAL_ID)
    ran = rows.groupby(c.TRIAL_ID)[c.SECONDS].cumsum()
    rows = rows.assign(time=rows[c.STARTED_AT] + pd.to_timedelta(ran, unit="s")).sort_values("time", kind="stable")
    rows = rows.assign(trained=range(1, len(rows) + 1))
    valid = rows[(rows[c.STATUS] != c.FAILED) & rows[column].notna() & rows["time"].notna()]
    if valid.empty:
        return ""
    reached = valid[column].cummin() if results.mode == "min" else valid[column].cummax()
    steps = valid[reached.diff().fillna(1.0) != 0]
    seconds = (rows["time"] - rows[c.STARTED_AT].min()).dt.total_seconds()
    size, unit = next((s, u) for s, u in ((3600, "h"), (60, "min"), (1, "s")) if seconds.max() >= 2 * s or s == 1)
    values = [*steps[column], reached.iloc[-1]]
    figures = []
    for title, x in (
        (f"time since the start ({unit})", [*(seconds[steps.index] / size), seconds.max() / size]),
        ("epochs trained by all trials", [*steps["trained"], len(rows)]),
    ):
        line = line_trace(x, values, "best so far", "@0", text=[*steps[c.TRIAL_ID], steps[c.TRIAL_ID].iloc[-1]])
        line["line"]["shape"] = "hv"
        axes = {"xaxis": titled_axis(title), "yaxis": objective_axis(results, steps[column])}
        figures.append(figure_html([line], {**axes, "showlegend": False}, height=300))
    return _section("Best so far", _grid(figures))


def parallel_coordinates(results: Results) -> str:
    """A line a trial through its hyperparameters, the better the more colour."""
    if len(results.ranked) < 2 or not results.varied:
        return ""
    rows = at_most(results.ranked, MAX_CURVES)
    dimensions = [parallel_axis(results, rows, column) for column in results.varied]
    dimensions = [dimension for dimension in dimensions if dimension]
    objective = numeric_scale(rows[c.OBJECTIVE], results.mode == "min" and is_log(rows[c.OBJECTIVE]))
    dimensions.append({"label": escape(results.objective_name), **objective})
    ranks = [1 - rank / (len(rows) - 1) for rank in range(len(rows))]  # 1 is the best, and drawn on top
    line = {
        "color": ranks,
        "colorscale": [[0, "@faint"], [0.75, "@faint"], [0.75, "@0"], [1, "@0"]],
        "cmin": 0,
        "cmax": 1,
    }
    data = [{"type": "parcoords", "dimensions": dimensions, "line": line, "labelangle": -20}]
    figure = figure_html(data, {"margin": {"l": 60, "r": 60, "t": 80, "b": 20}}, height=420)
    note = f"The best quarter of {len(rows)} trials is coloured. Drag along an axis to keep those in that range."
    return _section("Hyperparameters together", f"<div class=wide>{figure}</div>", _note(note))


def slices(results: Results) -> str:
    """The objective over each hyperparameter that varies."""
    if len(results.ranked) < 2 or not results.varied:
        return ""
    rows = at_most(results.ranked, MAX_POINTS).iloc[::-1]  # the best on top
    figures = []
    for column in results.varied:
        name = column.removeprefix(c.CONFIG_PREFIX)
        there = rows[rows[column].notna()] if not is_choice(results, column) else rows
        if there.empty:
            continue
        x, axis = slice_axis(results, there, column)
        is_best = [False] * (len(there) - 1) + [True]
        points = {
            "type": "scatter",
            "mode": "markers",
            "x": x,
            "y": there[c.OBJECTIVE].tolist(),
            "text": there[c.TRIAL_ID].tolist(),
            "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
            "marker": {
                "size": [10 if best else 6 for best in is_best],
                "opacity": 0.75,
                "line": {"width": 0},
                "color": ["@1" if best else "@0" for best in is_best],
            },
        }
        axes = {
            "xaxis": {**titled_axis(name), **axis},
            "yaxis": objective_axis(results, rows[c.OBJECTIVE], title=""),
            "showlegend": False,
        }
        figures.append(figure_html([points], axes, height=240))
    note = f"{results.objective_name} of each trial; the larger dot is the best of those shown."
    return _section("Hyperparameters one by one", _note(note), _grid(figures, "small"))


def trials_table(results: Results) -> str:
    import pandas as pd

    if results.trials.empty:
        return ""
    rest = results.trials[~results.trials[c.TRIAL_ID].isin(results.ranked[c.TRIAL_ID])]
    rows = pd.concat([results.ranked, rest]).head(MAX_TABLE_ROWS)
    shown = [c.TRIAL_ID, c.STATUS, c.OBJECTIVE, c.BEST_EPOCH, c.EPOCHS, c.SECONDS, *results.metrics, *results.varied]
    heads = [column.removeprefix(c.CONFIG_PREFIX).removeprefix(c.METRIC_PREFIX) for column in shown]
    heads[2] = results.objective_name
    lines = [
        "".join(f"<td{'' if isinstance(value, str) else ' class=n'}>{escape(short(value))}</td>" for value in row)
        for row in rows[shown].itertuples(index=False)
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr class={escape(status)}>{line}</tr>" for status, line in zip(rows[c.STATUS], lines, strict=True)
    )
    left_out = len(results.trials) - len(rows)
    note = f"{left_out} more are in trials.parquet." if left_out else ""
    return _section("Trials", f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>", _note(note))


def failures(results: Results) -> str:
    if not results.failures:
        return ""
    body = "".join(
        f"<tr><td class=n>{len(trial_ids)}</td><td><code>{escape(error)}</code></td>"
        f"<td>{escape(' '.join(trial_ids[:20]))}{' …' * (len(trial_ids) > 20)}</td></tr>"
        for error, trial_ids in results.failures
    )
    table = f"<table><tr><th>trials</th><th>error</th><th>which</th></tr>{body}</table>"
    return _section("Failures", f"<div class=scroll>{table}</div>")


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
    return _section("To run it again", _definitions([(name, _value(value)) for name, value in rows if value]))


SECTIONS: tuple[Callable[[Results], str], ...] = (
    headline,
    best_config,
    learning_curves,
    best_trial,
    best_so_far,
    parallel_coordinates,
    slices,
    trials_table,
    failures,
    provenance,
)


def train_command(results: Results) -> str:
    """`balltrain train …` for the best trial: what varies, and what the sweep fixed."""
    assert results.best is not None
    sweep, config = results.sweep, results.config(results.best)
    given = {**(sweep.get("hyperparameters") or {}), **(sweep.get("space") or {})}
    names = dict.fromkeys([*(column.removeprefix(c.CONFIG_PREFIX) for column in results.varied), *given])
    words = ["balltrain", "train", str(sweep.get("task_file") or sweep.get("task"))]
    if sweep.get("epochs"):
        words += ["--epochs", str(sweep["epochs"])]
    for name in names:
        if name in config and name != "epochs":
            words += ["--set", f"{name}={_value(config[name])}"]
    for option, value in (sweep.get("data") or {}).items():
        if option in ("source", "size") and value is not None:
            words += [f"--{option}", str(value)]
    return " ".join(quoted(word) for word in words)


def _margin(results: Results) -> str:
    if len(results.ranked) < 3 or results.best is None:
        return ""
    best, median = float(results.best[c.OBJECTIVE]), float(results.ranked[c.OBJECTIVE].median())
    text = f"; the median trial has {short(median)}"
    if results.mode == "min" and 0 < best < median:
        ratio = median / best
        return text + (f", {ratio:.3g} times as much" if ratio >= 2 else f", {ratio - 1:.0%} more")
    return text


def _saving(results: Results) -> str:
    full = results.sweep.get("epochs")
    ended = results.trials[results.trials[c.STATUS].isin([c.COMPLETED, c.STOPPED])]
    if not full or not results.counts[c.STOPPED]:
        return ""
    saved = 1 - int(ended[c.EPOCHS].sum()) / (full * len(ended))
    return (
        f"Stopping the worse ones early saved {saved:.0%} of the epochs that training all {len(ended)} in full takes."
    )


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _grid(figures: list[str], kind: str = "") -> str:
    return f'<div class="grid {kind}">{"".join(figures)}</div>'


def _note(text: str) -> str:
    return f"<p class=note>{escape(text)}</p>" if text else ""


def _definitions(rows: list[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows) + "</dl>"


def _value(value: Any) -> str:
    """As `--set` reads it."""
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def _readable(value: Any) -> str:
    if value is None:
        return "none"
    return short(value, 6) if isinstance(value, float) else _value(value)


def _listed(config: dict[str, Any], leaving_out: list[str]) -> str:
    return ", ".join(f"{name} {_readable(value)}" for name, value in config.items() if name not in leaving_out)
