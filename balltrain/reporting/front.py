"""The front of a sweep with several objectives: what is on it, how it grew, and what a trade costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from balltrain.records import columns as c
from balltrain.records.figures import COSTS, EPOCH_SECONDS
from balltrain.records.front import hypervolume
from balltrain.records.goals import Goals, Objective
from balltrain.records.results import Results, plain
from balltrain.reporting.figures import line_trace, titled_axis
from balltrain.reporting.history import history
from balltrain.reporting.page import bullets, figure_html, grid, note, paragraph, section, table
from balltrain.reporting.text import short, time_unit

if TYPE_CHECKING:
    import pandas as pd

MAX_TRADES = 4  # between neighbours on the front, which is thinned to be told
MAX_ROWS = 50
MAX_STEPS = 400  # of the volume's curve: one is computed from scratch
ONE_SEED = (
    "Each value is that of one training: how much of a difference is luck of the seed is not known, and no interval "
    "can be given. Trainings with other seeds, by a sweep of seeds alone, would say it."
)


def front_json(results: Results) -> dict[str, Any]:
    """The objectives and the trials of the front, the best first; `volume` is the share of the box that it covers."""
    goals = _goals(results)
    figures: list[Any] = results.figures.loc[results.front.index].to_dict("records")
    best = None if results.best is None else results.best[c.TRIAL_ID]
    trials = [
        {
            "trial_id": row[c.TRIAL_ID],
            "figures": {name: plain(value) for name, value in own.items()},
            "epoch": plain(row[c.BEST_EPOCH]),
            "config": results.config(row),
            "checkpoint": _checkpoint(results, str(row[c.TRIAL_ID]), is_best=row[c.TRIAL_ID] == best),
        }
        for own, (_, row) in zip(figures, results.front.iterrows(), strict=True)
    ]
    return {
        "objectives": [str(objective) for objective in goals.objectives],
        "prefer": results.sweep.get("prefer"),
        "trials": trials,
    }


def volumes(sweeps: Sequence[Results]) -> list[float]:
    """The hypervolume of each front, as a part of the box from the best to the worst values of all the sweeps."""
    signed = [_signed(sweep) for sweep in sweeps]
    low, high = _box(np.concatenate(signed))
    return [hypervolume((values - low) / (high - low), [1.0] * values.shape[1]) for values in signed]


def dominated_by(one: Results, other: Results) -> tuple[int, int]:
    """How many trials of the front of `other` some trial of `one` beats, of how many."""
    ours, theirs = _signed(one), _signed(other)[other.ranked.index.isin(other.front.index)]
    beaten = [bool(((ours <= value).all(1) & (ours < value).any(1)).any()) for value in theirs]
    return sum(beaten), len(beaten)


def growth(results: Results) -> pd.DataFrame:
    """`history` with `volume`: that of all values until then, as a part of the last one."""
    goals = _goals(results)
    rows = history(results)
    rows = rows[rows[c.TRIAL_ID].isin(results.ranked[c.TRIAL_ID])]
    if rows.empty:
        return rows.assign(volume=[])
    values = np.column_stack([o.sign * _at_epochs(results, rows, o.figure) for o in goals.objectives])
    low, high = _box(_signed(results))
    units = np.where(np.isnan(values), 2.0, (values - low) / (high - low))
    front, found, volume = np.empty((0, values.shape[1])), [], 0.0
    for unit in units:
        if not (front <= unit).all(1).any() and (unit < 1).all():
            front = np.concatenate([front[~(unit <= front).all(1)], unit[None]])
            volume = hypervolume(front, [1.0] * len(unit))
        found.append(volume)
    return rows.assign(volume=np.array(found) / (found[-1] or 1.0))


def trades(results: Results) -> list[str]:
    """What one neighbour on the front has more, and less, than the other: along the first objective, thinned."""
    goals = _goals(results)
    chosen = results.front.head(MAX_TRADES + 1)
    figures = results.figures.loc[chosen.index]
    first = goals.objectives[0]
    order = (first.sign * figures[first.figure]).sort_values(kind="stable").index
    return [
        _trade(goals, str(chosen.loc[a, c.TRIAL_ID]), str(chosen.loc[b, c.TRIAL_ID]), figures.loc[a], figures.loc[b])
        for a, b in pairwise(order)
    ]


def front_in_words(results: Results) -> str:
    """How many trials it has, and from where to where they reach."""
    goals, number = _goals(results), len(results.front)
    figures = results.figures.loc[results.front.index]
    reach = [f"{name} {_range(figures[name])}" for name in goals.names]
    return (
        f"{number} of {len(results.ranked)} trials {'is' if number == 1 else 'are'} on the front: {', '.join(reach)}"
    )


def front(results: Results) -> str:
    """The report's section."""
    if results.goals is None or results.ranked.empty:
        return ""
    goals, rows = results.goals, results.front.head(MAX_ROWS)
    figures: list[Any] = results.figures.loc[rows.index].to_dict("records")
    heads = ["trial", *goals.names, "epoch", *(name.removeprefix(c.CONFIG_PREFIX) for name in results.varied)]
    lines = [
        [row[c.TRIAL_ID], *own.values(), row[c.BEST_EPOCH], *(row[name] for name in results.varied)]
        for own, (_, row) in zip(figures, rows.iterrows(), strict=True)
    ]
    left_out = len(results.front) - len(rows)
    pairs = [_scatter(results, goals.objectives[0], other) for other in goals.objectives[1:]]
    return section(
        "The front",
        paragraph(f"{front_in_words(results)}. {_chosen(results)}"),
        grid([*pairs, *_growth(results)]),
        bullets(trades(results)),
        table(heads, lines),
        note((f"{left_out} more are on it. " if left_out else "") + ONE_SEED),
    )


def _chosen(results: Results) -> str:
    assert results.best is not None
    prefer = results.sweep.get("prefer")
    by = f"the preference «{prefer}»" if prefer else f"the first objective, {_goals(results).names[0]}"
    return f"No other trial is better in all of them. Trial {results.best[c.TRIAL_ID]} is the best by {by}."


def _scatter(results: Results, first: Objective, second: Objective) -> str:
    """All trials by two objectives; those that others dominate by the epochs that they trained."""
    figures, on = (
        results.figures.loc[results.ranked.index],
        results.ranked[c.TRIAL_ID].isin(results.front[c.TRIAL_ID]),
    )
    others, own = figures[~on], figures[on].sort_values(second.figure)
    epochs = results.ranked[c.EPOCHS]
    names = results.ranked[c.TRIAL_ID]
    trace = {"type": "scatter", "hovertemplate": "%{text}: %{x:.4g}, %{y:.4g}<extra></extra>"}
    scale = {"colorscale": [[0, "@faint"], [1, "@1"]], "colorbar": {"title": {"text": "epochs"}, "thickness": 10}}
    dominated = {
        "mode": "markers",
        "name": "dominated",
        "x": others[second.figure].tolist(),
        "y": others[first.figure].tolist(),
        "text": names[~on].tolist(),
        "marker": {"size": 7, "color": epochs[~on].tolist(), **scale},
    }
    best = {
        "mode": "lines+markers",
        "name": "the front",
        "x": own[second.figure].tolist(),
        "y": own[first.figure].tolist(),
        "text": names[own.index].tolist(),
        "line": {"color": "@0", "width": 1, "dash": "dot"},
        "marker": {"size": 9, "color": "@0"},
    }
    is_cost = second.figure in COSTS and (figures[second.figure] > 0).all()
    axes = {
        "xaxis": titled_axis(second.figure, figures[second.figure] if is_cost else None),
        "yaxis": titled_axis(first.figure, figures[first.figure] if _is_loss(first, figures) else None),
    }
    drawn = [dominated, best] if len(others) else [best]
    return figure_html([{**trace, **each} for each in drawn], axes, height=360)


def _is_loss(objective: Objective, figures: pd.DataFrame) -> bool:
    return objective.mode == "min" and bool((figures[objective.figure] > 0).all())


def _growth(results: Results) -> list[str]:
    """The hypervolume over time, and over the epochs that all trials trained."""
    rows = growth(results)
    steps = rows[rows["volume"].diff().fillna(1.0) != 0]
    steps = steps.iloc[:: max(1, -(-len(steps) // MAX_STEPS))]
    last = rows.iloc[-1]
    size, unit = time_unit(float(last["seconds_since_start"]))
    found = []
    for title, column, scale in (
        (f"time since the start ({unit})", "seconds_since_start", size),
        ("epochs trained by all trials", "trained", 1),
    ):
        x, y = [*(steps[column] / scale), float(last[column]) / scale], [*steps["volume"], float(last["volume"])]
        line = line_trace(x, y, "hypervolume", "@0", text=[*steps[c.TRIAL_ID], ""])
        line["line"]["shape"] = "hv"
        axes = {
            "xaxis": titled_axis(title),
            "yaxis": {**titled_axis("hypervolume, of that at the end"), "range": [0, 1.05]},
        }
        found.append(figure_html([line], {**axes, "showlegend": False}, height=360))
    return found


def _trade(goals: Goals, one: str, other: str, a: pd.Series, b: pd.Series) -> str:
    gained: list[str] = []
    lost: list[str] = []
    for objective in goals.objectives:
        before, after = float(a[objective.figure]), float(b[objective.figure])
        if before == after:
            continue
        better = objective.sign * after < objective.sign * before
        (gained if better else lost).append(_change(objective.figure, before, after))
    return f"From trial {one} to {other}: {_and(gained)} for {_and(lost)}."


def _change(name: str, before: float, after: float) -> str:
    text = f"{name} {short(after, 3)} instead of {short(before, 3)}"
    if name not in COSTS or before <= 0 or after <= 0:
        return text
    return f"{text} ({short(after / before, 2)} times)"


def _and(parts: list[str]) -> str:
    return " and ".join(parts) if parts else "nothing"


def _range(values: pd.Series) -> str:
    low, high = float(values.min()), float(values.max())
    return short(low, 3) if low == high else f"{short(low, 3)} to {short(high, 3)}"


def _signed(results: Results) -> np.ndarray:
    """(trials, objectives) of all that are ranked, the less the better."""
    goals = _goals(results)
    signs = np.array([objective.sign for objective in goals.objectives])
    return np.asarray(results.figures.loc[results.ranked.index].to_numpy(float) * signs).reshape(-1, len(signs))


def _box(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best and, a tenth of the way beyond, the worst values: those at the edge of a front count too."""
    low, high = values.min(0), values.max(0)
    width = np.where(high > low, high - low, 1.0)
    return low, high + 0.1 * width


def _at_epochs(results: Results, rows: pd.DataFrame, name: str) -> np.ndarray:
    """A figure at each of the rows; what a trial costs is the same at all of them."""
    if name == results.objective_name:
        return rows[results.objective_column].to_numpy(float)
    column = name if name in rows.columns and name not in COSTS else c.METRIC_PREFIX + name
    if name in COSTS or name == EPOCH_SECONDS or column not in rows.columns:
        by_trial = results.figures[name].set_axis(results.trials[c.TRIAL_ID])
        return rows[c.TRIAL_ID].map(by_trial).to_numpy(float)
    return rows[column].to_numpy(float)


def _checkpoint(results: Results, trial_id: str, *, is_best: bool) -> str | None:
    """Where the weights of a trial of the front are: in `best/`, or its own while the sweep runs."""
    own = results.folder / "checkpoints" / trial_id
    kept = results.checkpoint if is_best else results.folder / "best" / "front" / trial_id
    found = [path for path in (kept, own) if path.exists()]
    return str(found[0]) if found else None


def _goals(results: Results) -> Goals:
    assert results.goals is not None  # asked for sweeps with several objectives alone
    return results.goals
