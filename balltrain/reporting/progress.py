"""Sections of the report on how the sweep went: its curves, and what was stopped where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.columns import Decision, Status
from balltrain.records.results import Results
from balltrain.reporting.figures import STATUS_COLOR, line_trace, numeric_scale, objective_axis, thinned, titled_axis
from balltrain.reporting.history import history
from balltrain.reporting.intervals import against_published
from balltrain.reporting.occupancy import has_pauses
from balltrain.reporting.page import figure_html, grid, note, paragraph, section, table
from balltrain.reporting.reference import FIGURES, caution, described, published
from balltrain.reporting.scales import is_log
from balltrain.reporting.text import duration, short, stopped_by, time_unit

if TYPE_CHECKING:
    import pandas as pd

NUM_HIGHLIGHTED = 5  # trials whose curves have a colour
MAX_CURVES = 200  # more than that no eye tells apart, and no phone draws
MAX_BARS = 40  # of the distribution


def learning_curves(results: Results) -> str:
    """All trials' objective, losses and seconds by epoch, in training and validation, the best ones in colour."""
    rows = results.epochs[results.epochs[c.TRIAL_ID].isin(results.searched[c.TRIAL_ID])]
    beside = results.training_column(results.objective_column) or c.TRAIN_LOSS
    columns = dict.fromkeys([results.objective_column, beside, c.VAL_LOSS, c.TRAIN_LOSS, c.SECONDS])
    figures, notes = [], ""
    for column in columns:
        there = rows[rows[column].notna()] if column in rows else rows[:0]
        if there.empty or there[c.EPOCH].nunique() < 2:  # points above each other are no curves
            continue
        data, notes = _curves(results, there, column)
        if column == results.objective_column:
            y_axis = objective_axis(results, there[column])
        else:
            y_axis = titled_axis(_title(column), there[column] if column.endswith("loss") else None)
        layout = {"xaxis": titled_axis("epoch"), "yaxis": y_axis, "meta": {"column": column}}
        figures.append(figure_html(data, layout, height=400))
    if not figures:
        return ""
    return section("Learning curves", grid(figures), note(notes))


def best_trial(results: Results) -> str:
    """Training and validation of the best trial: do they part? And how long its epochs take."""
    if results.best is None:
        return ""
    if len(results.epochs[results.epochs[c.TRIAL_ID] == results.best[c.TRIAL_ID]]) < 2:  # points are no curves
        return ""
    return trial_curves(results, results.best, f"Best trial, {results.best[c.TRIAL_ID]}")


def trial_curves(results: Results, trial: pd.Series, title: str = "Curves") -> str:
    """Losses, metrics and seconds of a trial by epoch, in training and validation."""
    rows = results.epochs[results.epochs[c.TRIAL_ID] == trial[c.TRIAL_ID]]
    if rows.empty:
        return ""
    figures, losses = [], {c.TRAIN_LOSS: "@1", c.VAL_LOSS: "@0"}
    losses = {name: color for name, color in losses.items() if rows[name].notna().any()}  # a function may have none
    if losses:
        data = [
            line_trace(rows[c.EPOCH], rows[name], name, color, marks=True, meta=_meta(rows, name))
            for name, color in losses.items()
        ]
        axes = {"xaxis": titled_axis("epoch"), "yaxis": titled_axis("loss", rows[list(losses)].stack())}
        figures.append(figure_html(data, axes, height=320))
    metrics = _metric_curves(results, rows)
    if metrics:
        names = {trace["name"] for trace in metrics}
        axis = titled_axis(names.pop() if len(names) == 1 else "metric")
        figures.append(figure_html(metrics, {"xaxis": titled_axis("epoch"), "yaxis": axis}, height=320))
    seconds = line_trace(
        rows[c.EPOCH], rows[c.SECONDS], "seconds an epoch", "@0", marks=True, meta=_meta(rows, c.SECONDS)
    )
    axes = {"xaxis": titled_axis("epoch"), "yaxis": {**titled_axis("seconds an epoch"), "rangemode": "tozero"}}
    figures.append(figure_html([seconds], {**axes, "showlegend": False}, height=320))
    dashed = any(trace["line"]["dash"] == "dash" for trace in metrics)
    remark = "Metrics of the training batches are dashed: running over the epoch, of augmented items."
    return section(title, grid(figures), note(remark if dashed else ""))


def distribution(results: Results) -> str:
    """How many trials reached what; and what the reference reached."""
    import numpy as np

    values = results.ranked[c.OBJECTIVE]
    if len(values) < 3 or values.nunique() < 2:
        return ""
    scale = numeric_scale(values, results.mode == "min" and is_log(values))
    low, high = scale["range"]
    edges = np.linspace(low, high, min(MAX_BARS, 5 + len(values) // 4) + 1)
    numbers = np.array(scale["values"])
    data = []
    for status, color in STATUS_COLOR.items():
        counts, _ = np.histogram(numbers[(results.ranked[c.STATUS] == status).to_numpy(bool)], edges)
        if counts.any():
            bars = {"x": ((edges[1:] + edges[:-1]) / 2).tolist(), "y": counts.tolist(), "width": edges[1] - edges[0]}
            hover = {"hovertemplate": f"%{{y}} {status}<extra></extra>"}
            data.append({"type": "bar", "name": status, "marker": {"color": color}, **bars, **hover})
    ticks = {"tickvals": scale["tickvals"], "ticktext": scale["ticktext"]}
    highest = np.histogram(numbers, edges)[0].max()
    whole = {"dtick": 1} if highest < 5 else {}  # there is no half a trial
    axes = {"xaxis": {**titled_axis(results.objective_name), **ticks}, "yaxis": {**titled_axis("trials"), **whole}}
    heads, rows = [*FIGURES], [[short(value) for value in (described(results)[name] for name in FIGURES)]]
    if (theirs := published(results)) is not None:
        heads = ["", *FIGURES]
        rows = [
            ["this sweep", *rows[0]],
            [f"published, {theirs['name']}", *(short(theirs[name]) for name in FIGURES)],
        ]
    return section(
        f"Distribution of the best {results.objective_name}",
        figure_html(data, {**axes, "barmode": "stack", "bargap": 0.03}, height=280),
        table(heads, rows),
        note(" ".join(filter(None, [caution(results), against_published(results)]))),
    )


def best_so_far(results: Results) -> str:
    """The sweep's progress, over time and over epochs trained by all trials."""
    trained = history(results)
    rows = trained[trained["best"].notna()]
    if results.best is None or rows.empty:
        return ""
    steps = rows[rows["best"].diff().fillna(1.0) != 0]
    last = trained.iloc[-1]
    size, unit = time_unit(last["seconds_since_start"])
    values = [*steps["best"], rows["best"].iloc[-1]]
    figures = []
    for title, x in (
        (
            f"time since the start ({unit})",
            [*steps["seconds_since_start"] / size, last["seconds_since_start"] / size],
        ),
        ("epochs trained by all trials", [*steps["trained"], int(last["trained"])]),
    ):
        line = line_trace(x, values, "best so far", "@0", text=[*steps[c.TRIAL_ID], steps[c.TRIAL_ID].iloc[-1]])
        line["line"]["shape"] = "hv"
        axes = {"xaxis": titled_axis(title), "yaxis": objective_axis(results, steps["best"])}
        figures.append(figure_html([line], {**axes, "showlegend": False}, height=300))
    return section("Best so far", grid(figures))


def rungs(results: Results) -> str:
    """ASHA: who was stopped where, and what it saved."""
    full = results.sweep.get("epochs")
    rows = results.searched_epochs
    epochs = [epoch for epoch in _rung_epochs(results.sweep) if (rows[c.EPOCH] == epoch).any()]
    if not epochs or not results.counts[Status.STOPPED]:
        return ""
    lines, data = [], []
    values = rows[rows[c.EPOCH].isin(epochs) & rows[results.objective_column].notna()]
    for name, color, chosen in (
        ("went on", "@0", values[values[c.DECISION] != Decision.STOP]),
        ("stopped", "@4", values[values[c.DECISION] == Decision.STOP]),
    ):
        at = [
            epochs.index(epoch) + (i * 0.618 % 1 - 0.5) * 0.4
            for i, epoch in zip(chosen.index.tolist(), chosen[c.EPOCH], strict=True)
        ]
        hover = {"text": chosen[c.TRIAL_ID].tolist(), "hovertemplate": "%{text}: %{y:.4g}<extra></extra>"}
        marker = {"color": color, "size": 6, "opacity": 0.75, "line": {"width": 0}}
        y = chosen[results.objective_column].tolist()
        data.append({"type": "scatter", "mode": "markers", "name": name, "x": at, "y": y, "marker": marker, **hover})
    for epoch in epochs:
        there = values[values[c.EPOCH] == epoch]
        stopped = there[there[c.DECISION] == Decision.STOP][results.objective_column]
        best = (stopped.min() if results.mode == "min" else stopped.max()) if len(stopped) else None
        lines.append([f"epoch {epoch}", len(there), len(stopped), len(there) - len(stopped), short(best)])
    ticks = {"tickvals": list(range(len(epochs))), "ticktext": [f"epoch {epoch}" for epoch in epochs]}
    axes = {
        "xaxis": {**titled_axis("rung"), **ticks, "range": [-0.5, len(epochs) - 0.5]},
        "yaxis": objective_axis(results, values[results.objective_column]),
    }
    heads = ["rung", "reached", "stopped", "went on", f"best {results.objective_name} that was stopped"]
    return section(
        "Early stopping",
        paragraph(saving(results, with_time=True)) if full else "",
        figure_html(data, axes, height=320),
        table(heads, lines),
    )


def saving(results: Results, with_time: bool = False) -> str:
    """What early stopping saved, in words; empty where nothing was stopped."""
    full = results.sweep.get("epochs")
    if not full or stopped_by(results.sweep) is None:
        return ""
    ended = results.searched[results.searched[c.STATUS].isin([Status.COMPLETED, Status.STOPPED])]
    stopped = ended[ended[c.STATUS] == Status.STOPPED]
    if rungs := _rung_epochs(results.sweep):
        stopped = stopped[stopped[c.EPOCHS].isin(rungs)]  # the others were stopped by a budget
    if stopped.empty:
        return ""
    saved = int((full - stopped[c.EPOCHS]).sum())
    part = saved / (saved + int(ended[c.EPOCHS].clip(upper=full).sum()))  # without what went on after the search
    what = "Going on with the promising ones alone" if has_pauses(results) else "Stopping the worse ones early"
    text = f"{what} saved {part:.0%} of the epochs that training all {len(ended)} in full takes."
    if with_time:
        seconds = ((full - stopped[c.EPOCHS]) * stopped[c.SECONDS] / stopped[c.EPOCHS]).sum()
        text += f" That is {saved} epochs, or {duration(float(seconds))} of trials' time at each one's own pace."
    return text


def _metric_curves(results: Results, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The metrics of a trial's epochs, with those of its training batches dashed in the same colour."""
    there = [name for name in rows.columns if name.startswith(c.METRIC_PREFIX) and rows[name].notna().any()]
    beside = {c.training_column(name): name for name in there}
    data = []
    for number, column in enumerate([name for name in there if name not in beside][:NUM_HIGHLIGHTED]):
        meta = _meta(rows, column)
        data.append(line_trace(rows[c.EPOCH], rows[column], _title(column), f"@{number}", marks=True, meta=meta))
        of_training = c.training_column(column)
        if of_training in there:
            trace = line_trace(rows[c.EPOCH], rows[of_training], _title(of_training), f"@{number}", marks=True)
            data.append(trace | {"line": {**trace["line"], "dash": "dash"}, "meta": _meta(rows, of_training)})
    return data


def _meta(rows: pd.DataFrame, column: str) -> dict[str, str]:
    return {"trial": str(rows[c.TRIAL_ID].iloc[0]), "column": column}


def _title(column: str) -> str:
    return "seconds an epoch" if column == c.SECONDS else column.removeprefix(c.METRIC_PREFIX)


def _curves(results: Results, rows: pd.DataFrame, column: str) -> tuple[list[dict[str, Any]], str]:
    """The traces, and a remark on what is left out."""
    curves = dict(iter(rows.groupby(c.TRIAL_ID, sort=False)))
    best_ids = [trial_id for trial_id in results.ranked[c.TRIAL_ID].head(NUM_HIGHLIGHTED) if trial_id in curves]
    others = [trial_id for trial_id in curves if trial_id not in set(best_ids)]
    drawn = others[:: -(-len(others) // MAX_CURVES)] if others else []
    data = _others({trial_id: thinned(curves[trial_id]) for trial_id in drawn}, column)
    for rank, trial_id in reversed(list(enumerate(best_ids))):
        curve = thinned(curves[trial_id])
        name = f"{trial_id} (best)" if rank == 0 else trial_id
        width = 3 if rank == 0 else 1.6
        labels = [trial_id] * len(curve)
        meta = {"trial": trial_id, "column": column}
        y = _rounded(curve[column])
        line = line_trace(curve[c.EPOCH], y, name, f"@{rank}", width=width, text=labels, meta=meta)
        data.append(line if len(curve) > 1 else _as_dots(line))
    remarks = []
    if len(drawn) < len(others):
        remarks.append(f"{len(drawn)} of the {len(others)} other trials are drawn.")
    if any(len(thinned(curve)) < len(curve) for curve in curves.values()):
        remarks.append("Of long curves not every epoch is drawn.")
    return data, " ".join(remarks)


def _others(curves: dict[Any, pd.DataFrame], column: str) -> list[dict[str, Any]]:
    """The curves without a colour: one trace with gaps, for a trace each takes a browser seconds, and one of dots for
    trials with one point.
    """
    traces = []
    for chosen in (
        {trial_id: curve for trial_id, curve in curves.items() if len(curve) > 1},
        {trial_id: curve for trial_id, curve in curves.items() if len(curve) == 1},
    ):
        x: list[Any] = []
        y: list[Any] = []
        text: list[str] = []
        for trial_id, curve in chosen.items():
            x += [*curve[c.EPOCH].tolist(), None]
            y += [*_rounded(curve[column]), None]
            text += [str(trial_id)] * (len(curve) + 1)
        traces.append(line_trace(x, y, "others", "@muted", width=1, opacity=0.45, text=text))
    lines, dots = traces
    return [trace for trace in (lines, _as_dots(dots)) if trace["x"]]


def _as_dots(line: dict[str, Any]) -> dict[str, Any]:
    """A trace of trials with one point: dots, which no legend names."""
    marker = {"color": line["line"]["color"], "size": 5}
    return {**line, "mode": "markers", "marker": marker, "showlegend": False}


def _rounded(values: pd.Series) -> list[float]:
    """To five digits, which no screen exceeds, and which are a third of the file."""
    return [float(f"{value:.5g}") for value in values]


def _rung_epochs(sweep: dict[str, Any]) -> list[int]:
    """The epochs at which ASHA decides, as Ray places them: `grace`, times the reduction factor, and so on."""
    scheduler, full = sweep.get("scheduler") or {}, sweep.get("epochs") or 0
    grace, factor = scheduler.get("grace") or 0, scheduler.get("reduction_factor") or 0
    if scheduler.get("name") != "asha" or grace < 1 or factor < 2:
        return []
    epochs = []
    at = float(grace)
    while at < full:
        epochs.append(math.ceil(at))
        at *= factor
    return epochs
