"""The report of a sweep: one HTML file that needs no network, drawn from the Parquet tables alone.

A section is a function from `Results` to HTML, empty where the sweep has nothing to show in it; `SECTIONS` is
their order. Figures are plotly.js's JSON; a colour such as `@accent` is the page's, light or dark.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError
from balltrain.reporting.results import Results, duration, plain, quoted, short
from balltrain.tuning import columns as c

if TYPE_CHECKING:
    import pandas as pd

NUM_HIGHLIGHTED = 5  # trials whose curves have a colour
MAX_CURVES = 200  # more than that no eye tells apart, and no phone draws
MAX_CURVE_POINTS = 100
MAX_POINTS = 2000
MAX_TABLE_ROWS = 100
LOG_FROM_RATIO = 100  # largest to smallest value, from which a hyperparameter's axis is logarithmic


def write_report(results: Results, out: Path) -> Path:
    """Write the report to the file `out`, replaced whole. Raises BalltrainError where it cannot be written."""
    page = _page(results, "\n".join(section(results) for section in SECTIONS))
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
            curve = _thinned(curves[trial_id])
            x += [*curve[c.EPOCH].tolist(), None]
            y += [*curve[column].tolist(), None]
            text += [trial_id] * (len(curve) + 1)
        data.append(_line(x, y, "others", "@muted", width=1, opacity=0.45, text=text))
    for rank, trial_id in reversed(list(enumerate(best_ids))):
        curve = _thinned(curves[trial_id])
        name = f"{trial_id} (best)" if rank == 0 else trial_id
        data.append(
            _line(
                curve[c.EPOCH],
                curve[column],
                name,
                f"@{rank}",
                width=3 if rank == 0 else 1.6,
                text=[trial_id] * len(curve),
            )
        )
    note = f"{len(drawn)} of the {len(others)} other trials are drawn." if len(drawn) < len(others) else ""
    axes = {"xaxis": _axis("epoch"), "yaxis": _objective_axis(results, rows[column])}
    return _section("Learning curves", _figure(data, axes, height=420), _note(note))


def best_trial(results: Results) -> str:
    """Train and validation loss of the best trial: do they part?"""
    if results.best is None:
        return ""
    rows = results.epochs[results.epochs[c.TRIAL_ID] == results.best[c.TRIAL_ID]]
    losses = [(c.TRAIN_LOSS, "@1"), (c.VAL_LOSS, "@0")]
    data = [_line(rows[c.EPOCH], rows[name], name, color, marks=True) for name, color in losses]
    axes = {"xaxis": _axis("epoch"), "yaxis": _axis("loss", rows[[c.TRAIN_LOSS, c.VAL_LOSS]].stack())}
    figures = [_figure(data, axes, height=320)]
    metrics = [column for column in results.epochs.columns if column.startswith(c.METRIC_PREFIX)]
    shown = [column for column in metrics if rows[column].notna().any()][:NUM_HIGHLIGHTED]
    if shown:
        data = [
            _line(rows[c.EPOCH], rows[column], column.removeprefix(c.METRIC_PREFIX), f"@{number}", marks=True)
            for number, column in enumerate(shown)
        ]
        figures.append(_figure(data, {"xaxis": _axis("epoch"), "yaxis": _axis("metric")}, height=320))
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
        line = _line(x, values, "best so far", "@0", text=[*steps[c.TRIAL_ID], steps[c.TRIAL_ID].iloc[-1]])
        line["line"]["shape"] = "hv"
        axes = {"xaxis": _axis(title), "yaxis": _objective_axis(results, steps[column])}
        figures.append(_figure([line], {**axes, "showlegend": False}, height=300))
    return _section("Best so far", _grid(figures))


def parallel_coordinates(results: Results) -> str:
    """A line a trial through its hyperparameters, the better the more colour."""
    if len(results.ranked) < 2 or not results.varied:
        return ""
    rows = _at_most(results.ranked, MAX_CURVES)
    dimensions = [_dimension(results, rows, column) for column in results.varied]
    dimensions = [dimension for dimension in dimensions if dimension]
    objective = _scale(rows[c.OBJECTIVE], results.mode == "min" and _is_log(rows[c.OBJECTIVE]))
    dimensions.append({"label": escape(results.objective_name), **objective})
    ranks = [1 - rank / (len(rows) - 1) for rank in range(len(rows))]  # 1 is the best, and drawn on top
    line = {
        "color": ranks,
        "colorscale": [[0, "@faint"], [0.75, "@faint"], [0.75, "@0"], [1, "@0"]],
        "cmin": 0,
        "cmax": 1,
    }
    data = [{"type": "parcoords", "dimensions": dimensions, "line": line, "labelangle": -20}]
    figure = _figure(data, {"margin": {"l": 60, "r": 60, "t": 80, "b": 20}}, height=420)
    note = f"The best quarter of {len(rows)} trials is coloured. Drag along an axis to keep those in that range."
    return _section("Hyperparameters together", f"<div class=wide>{figure}</div>", _note(note))


def slices(results: Results) -> str:
    """The objective over each hyperparameter that varies."""
    if len(results.ranked) < 2 or not results.varied:
        return ""
    rows = _at_most(results.ranked, MAX_POINTS).iloc[::-1]  # the best on top
    figures = []
    for column in results.varied:
        name = column.removeprefix(c.CONFIG_PREFIX)
        there = rows[rows[column].notna()] if not _is_choice(results, column) else rows
        if there.empty:
            continue
        x, axis = _slice_axis(results, there, column)
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
            "xaxis": {**_axis(name), **axis},
            "yaxis": _objective_axis(results, rows[c.OBJECTIVE], title=""),
            "showlegend": False,
        }
        figures.append(_figure([points], axes, height=240))
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


def _dimension(results: Results, rows: pd.DataFrame, column: str) -> dict[str, Any] | None:
    """An axis of the parallel coordinates; a hyperparameter that a trial does not have is its own tick, below."""
    label, values = escape(column.removeprefix(c.CONFIG_PREFIX)), rows[column]
    if values.notna().sum() == 0:
        return None
    if _is_choice(results, column):
        places, ticks = _spread(rows, column)
        return {"label": label, "values": places, **ticks}
    numbers = values.astype(float)
    scale = _scale(numbers.dropna(), _is_log(numbers, LOG_FROM_RATIO, _declared_log(results, column)))
    if numbers.isna().any():
        low, high = min(scale["range"]), max(scale["range"])
        below = low - 0.15 * ((high - low) or 1.0)
        filled = iter(scale["values"])
        scale["values"] = [below if missing else next(filled) for missing in numbers.isna()]
        scale["tickvals"], scale["ticktext"] = [below, *scale["tickvals"]], ["none", *scale["ticktext"]]
        scale["range"] = [below, high]
    return {"label": label, **scale}


def _scale(values: pd.Series, log: bool) -> dict[str, Any]:
    """Numbers on an axis of their own, with ticks: `parcoords` knows no logarithmic one."""
    import numpy as np

    numbers = np.log10(values.astype(float)) if log else values.astype(float)
    low, high = float(numbers.min()), float(numbers.max())
    places = np.linspace(low, high, 5) if high > low else np.array([low])
    texts = [short(float(10**place if log else place), 2 if log else 3) for place in places]
    return {"values": numbers.tolist(), "tickvals": places.tolist(), "ticktext": texts, "range": [low, high]}


def _slice_axis(results: Results, rows: pd.DataFrame, column: str) -> tuple[list[float], dict[str, Any]]:
    values = rows[column]
    if not _is_choice(results, column):
        log = _is_log(values, LOG_FROM_RATIO, _declared_log(results, column))
        return values.astype(float).tolist(), {"type": "log", **_log_ticks(values)} if log else {}
    places, ticks = _spread(rows, column)
    return places, {**ticks, "ticktext": [escape(text) for text in ticks["ticktext"]]}


def _spread(rows: pd.DataFrame, column: str) -> tuple[list[float], dict[str, Any]]:
    """The options of a choice at 0, 1, …: equal ones beside each other, else one would hide the others."""
    options = _options(rows[column])
    places = [
        options.index(plain(value)) + (int(number) * 0.618 % 1 - 0.5) * 0.4
        for value, number in zip(rows[column], rows[c.NUMBER], strict=True)
    ]
    ticks = {"tickvals": list(range(len(options))), "ticktext": [_short_text(o) for o in options]}
    return places, {**ticks, "range": [-0.5, len(options) - 0.5]}


def _is_choice(results: Results, column: str) -> bool:
    """Text, truth values, or a choice of numbers."""
    import pandas as pd

    values = results.trials[column].dropna()
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    space = (results.sweep.get("space") or {}).get(column.removeprefix(c.CONFIG_PREFIX))
    options = space.get("choice") if isinstance(space, dict) else None
    return options is not None and not any(isinstance(option, dict) for option in options)


def _options(values: pd.Series) -> list[Any]:
    found = {plain(value) for value in values}
    return sorted(found, key=lambda option: (option is not None, isinstance(option, str), option))


def _short_text(option: Any) -> str:
    text = "none" if option is None else short(option)
    return text if len(text) <= 16 else text[:15] + "…"


def _declared_log(results: Results, column: str) -> bool:
    space = (results.sweep.get("space") or {}).get(column.removeprefix(c.CONFIG_PREFIX))
    return '"logfloat"' in json.dumps(space) or '"logint"' in json.dumps(space)


def _is_log(values: pd.Series, ratio: float = 5, declared: bool = False) -> bool:
    """Whether all are positive, and `ratio` or more lies between the smallest and the largest."""
    finite = values.dropna()
    if finite.empty or finite.min() <= 0:
        return False
    return declared or float(finite.max()) / float(finite.min()) >= ratio


def _at_most(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """The first half of `number`, and the rest evenly."""
    if len(rows) <= number:
        return rows
    import numpy as np

    places = np.r_[: number // 2, np.linspace(number // 2, len(rows) - 1, number // 2).astype(int)]
    return rows.iloc[np.unique(places)]


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    return curve.iloc[:: -(-len(curve) // MAX_CURVE_POINTS)]


def _line(
    x: Iterable[Any],
    y: Iterable[Any],
    name: str,
    color: str,
    *,
    width: float = 2,
    opacity: float = 1.0,
    text: list[str] | None = None,
    marks: bool = False,
) -> dict[str, Any]:
    label = "%{text}" if text else escape(name)
    return {
        "type": "scatter",
        "mode": "lines+markers" if marks else "lines",
        "x": list(x),
        "y": list(y),
        "name": escape(name),
        "text": text,
        "opacity": opacity,
        "line": {"color": color, "width": width},
        "hovertemplate": f"{label}, %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def _axis(title: str, log_of: pd.Series | None = None) -> dict[str, Any]:
    """An axis, logarithmic where `log_of` has the values on it and they ask for one."""
    log = log_of is not None and _is_log(log_of)
    return {"title": {"text": escape(title)}, **({"type": "log", **_log_ticks(log_of)} if log else {})}


def _objective_axis(results: Results, values: pd.Series, title: str | None = None) -> dict[str, Any]:
    """A loss falls by factors; an accuracy does not."""
    return _axis(results.objective_name if title is None else title, values if results.mode == "min" else None)


def _log_ticks(values: pd.Series) -> dict[str, Any]:
    decades = float(values.max()) / float(values.min()) >= 1000
    return {"dtick": 1 if decades else "D2", "exponentformat": "power"}


def _figure(data: list[dict[str, Any]], layout: dict[str, Any], height: int) -> str:
    text = json.dumps({"data": data, "layout": {"height": height, **layout}}, default=plain, separators=(",", ":"))
    text = text.replace("NaN", "null").replace("<", "\\u003c")
    return f'<div class=figure style="height:{height}px"><script type="application/json">{text}</script></div>'


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


def _page(results: Results, body: str) -> str:
    from plotly.offline import get_plotlyjs

    return f"""<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta name=color-scheme content="light dark">
<title>{escape(results.name)} · balltrain</title>
<style>{STYLE}</style>
</head>
<body><main>
{body}
</main>
<script>{get_plotlyjs()}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


STYLE = """
:root { --back: #fff; --front: #1c1f24; --soft: #626a75; --line: #e1e4e8; --panel: #f6f7f9; --accent: #0b62c4;
  --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171b; --front: #e4e7eb; --soft: #9aa3ae; --line: #2b3038; --panel: #1c2026; --accent: #6cb0ff;
    --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--front);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 64px }
h1 { margin: 0; font-size: 28px; overflow-wrap: anywhere } h2 { font-size: 19px; margin: 40px 0 12px }
.kicker { margin: 0; color: var(--soft) } .lead { font-size: 19px; margin: 12px 0 4px }
.note { color: var(--soft); font-size: 14px; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 4px 20px; margin: 0 }
dt { color: var(--soft); overflow-wrap: anywhere } dd { margin: 0; overflow-wrap: anywhere }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 14px }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)) }
.grid.small { grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)) }
.figure { min-width: 0 } .wide, .scroll { overflow-x: auto } .wide .figure { min-width: 640px }
table { border-collapse: collapse; font-size: 14px; white-space: nowrap }
th, td { padding: 4px 12px 4px 0; text-align: left; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 500 } td.n { font-variant-numeric: tabular-nums }
tr.failed td { color: var(--bad) } td code { white-space: pre-wrap }
"""

SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const palettes = {
  light: { muted: "#a3abb5", faint: "#dfe3e8",
    0: "#0b62c4", 1: "#d9480f", 2: "#2b8a3e", 3: "#862e9c", 4: "#b08800" },
  dark: { muted: "#6b7480", faint: "#343b44",
    0: "#6cb0ff", 1: "#ff9f5a", 2: "#69db7c", 3: "#da9ff9", 4: "#ffd43b" } };
function draw() {
  const css = getComputedStyle(document.documentElement), palette = palettes[dark.matches ? "dark" : "light"];
  const ink = css.getPropertyValue("--soft").trim(), line = css.getPropertyValue("--line").trim();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  for (const box of document.querySelectorAll(".figure")) {
    const figure = JSON.parse(box.querySelector("script").textContent,
      (key, value) => typeof value == "string" && value[0] == "@" && value.slice(1) in palette && key != "text"
        ? palette[value.slice(1)] : value);
    const layout = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 12 },
      margin: { l: 56, r: 12, t: 12, b: 44 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      ...figure.layout, xaxis: { ...axis, ...figure.layout.xaxis }, yaxis: { ...axis, ...figure.layout.yaxis } };
    let target = box.querySelector(".plot");
    if (!target) { target = document.createElement("div"); target.className = "plot"; box.append(target) }
    Plotly.react(target, figure.data, layout, { responsive: true, displayModeBar: false });
  }
}
draw();
dark.addEventListener("change", draw);
"""
