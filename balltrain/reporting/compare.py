"""Several sweeps beside each other."""

from __future__ import annotations

from typing import Any

from balltrain.errors import UsageError
from balltrain.records import columns as c
from balltrain.records.results import Results, plain
from balltrain.reporting.front import ONE_SEED, dominated_by, volumes
from balltrain.reporting.history import history
from balltrain.reporting.significance import difference, significance
from balltrain.reporting.summary import summary_json
from balltrain.reporting.text import short, stopped_by

EQUAL_EPOCHS = "What each had after so many epochs is of one search: an interval needs searches with other seeds."


def compare(sweeps: list[Results]) -> dict[str, Any]:
    """What `results A B --json` prints. Raises UsageError for sweeps whose objectives are not the same figure."""
    first = sweeps[0]
    for other in sweeps[1:]:
        if (other.objective_name, other.mode) != (first.objective_name, first.mode):
            raise UsageError(
                f"{first.name} has the objective {first.objective_name} ({first.mode}) and {other.name} has "
                f"{other.objective_name} ({other.mode}): they do not compare"
            )
    several = _same_objectives(sweeps)
    covered = volumes(sweeps) if several else [None] * len(sweeps)
    equal = min(sweep.num_epochs for sweep in sweeps)
    entries = [
        {
            **summary_json(sweep),
            "searcher": sweep.sweep.get("searcher"),
            "scheduler": (sweep.sweep.get("scheduler") or {}).get("name"),
            "objectives": {key: plain(value) for key, value in sweep.ranked[c.OBJECTIVE].describe().items()},
            "best_at_equal_epochs": _best_after(sweep, equal),
            **({} if volume is None else {"hypervolume": volume}),
        }
        for sweep, volume in zip(sweeps, covered, strict=True)
    ]
    first_two = (sweeps[0], sweeps[1]) if len(sweeps) == 2 else None
    return {
        "sweeps": entries,
        "equal_epochs": equal,
        "winners": difference(*first_two) if first_two else None,
        "remarks": [*_remarks(sweeps, entries, equal), *_told_apart(sweeps, several)],
    }


def differing(sweeps: list[Results]) -> list[str]:
    """Hyperparameters that vary in any of the sweeps, or whose best values differ."""
    configs = [sweep.config(sweep.best) if sweep.best is not None else {} for sweep in sweeps]
    varied = {column.removeprefix(c.CONFIG_PREFIX) for sweep in sweeps for column in sweep.varied}
    names = dict.fromkeys(name for config in configs for name in config)
    absent = object()
    return [name for name in names if name in varied or len({str(x.get(name, absent)) for x in configs}) > 1]


def _same_objectives(sweeps: list[Results]) -> bool:
    """Whether they have several objectives. Raises UsageError where these are not the same."""
    names = [tuple(sweep.sweep.get("objectives") or ()) for sweep in sweeps]
    for sweep, other in zip(sweeps, names, strict=True):
        if other != names[0]:
            first, second = (", ".join(objectives) or "one objective" for objectives in (names[0], other))
            raise UsageError(
                f"{sweeps[0].name} has the objectives {first} and {sweep.name} has {second}: they do not compare"
            )
    return len(names[0]) > 1 and all(len(sweep.ranked) for sweep in sweeps)


def _told_apart(sweeps: list[Results], several: bool) -> list[str]:
    """Whether two sweeps differ beyond noise; of fronts, that it cannot be said."""
    if several:
        return [*_covered(sweeps), ONE_SEED]
    sign = 1 if sweeps[0].mode == "min" else -1
    order = sorted(
        (s for s in sweeps if s.best is not None), key=lambda s: sign * float(s.ranked.iloc[0][c.OBJECTIVE])
    )
    pair = sweeps if len(sweeps) == 2 else order[:2]
    return [EQUAL_EPOCHS, significance(pair[0], pair[1])] if len(pair) == 2 else []


def _covered(sweeps: list[Results]) -> list[str]:
    """Which front has the largest hypervolume, and what of the second one's it leaves behind."""
    order = sorted(zip(volumes(sweeps), range(len(sweeps)), strict=True), reverse=True)
    if len(order) < 2:
        return []
    (largest, a), (second, b) = order[:2]
    one, other = sweeps[a], sweeps[b]
    beaten, total = dominated_by(one, other)
    return [
        f"{one.name} has the largest hypervolume, {short(largest)}, {other.name} has {short(second)}: of the "
        f"{total} trials on the front of {other.name} it beats {beaten} in all objectives."
    ]


def _best_after(sweep: Results, epochs: int) -> float | None:
    """The best objective when all trials together had trained so many epochs."""
    reached = history(sweep)["best"].head(epochs).dropna()
    return float(reached.iloc[-1]) if len(reached) else None


def _remarks(sweeps: list[Results], entries: list[dict[str, Any]], equal: int) -> list[str]:
    remarks = []
    fingerprints = {sweep.sweep.get("data_fingerprint") for sweep in sweeps}
    if len(fingerprints) > 1:
        remarks.append("They were trained and validated on different data: their objectives do not compare strictly.")
    for key, label in (("best", "best"), ("best_at_equal_epochs", f"best after {equal} epochs")):
        values = {
            entry["name"]: entry["best"]["objective"] if key == "best" and entry["best"] else entry[key]
            for entry in entries
            if entry[key] is not None
        }
        if len(values) < 2:
            continue
        order = sorted(values, key=lambda name: values[name], reverse=sweeps[0].mode == "max")
        winner, second = order[0], order[1]
        name = sweeps[0].objective_name
        if values[winner] == values[second]:
            remarks.append(f"{winner} and {second} have the same {label} {name}: {short(values[winner])}.")
        else:
            remarks.append(
                f"{winner} has the {label} {name}: {short(values[winner])}, {second} has {short(values[second])}."
            )
    if len({stopped_by(sweep.sweep) for sweep in sweeps}) > 1:
        remarks.append(
            "Mean and quartiles depend on the scheduler: trials that were stopped count by what they reached."
        )
    return remarks
