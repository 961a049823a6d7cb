"""Which trial ran when and where, and when nobody did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balltrain.records import columns as c
from balltrain.records.columns import Decision
from balltrain.records.results import Results

if TYPE_CHECKING:
    import pandas as pd

LANE_OVERLAP_S = 0.5  # that a trial's start may seem to lie before the end of the one before it


def has_pauses(results: Results) -> bool:
    """Whether any trial paused, and when is known."""
    return bool(results.sweep.get("search_epochs")) and c.REPORTED_AT in results.epochs


def runs(results: Results) -> pd.DataFrame:
    """Between a trial's start and its pauses, of a sweep whose trials pause.

    Columns are `trial_id`, its `run` from 0, the epochs `first` and `last`, and the times `since` and `until`.
    """
    import pandas as pd

    rows = results.searched_epochs.sort_values([c.TRIAL_ID, c.EPOCH], kind="stable")
    paused = (rows[c.DECISION] == Decision.PAUSE).astype(int)
    number = paused.groupby(rows[c.TRIAL_ID]).cumsum() - paused
    began = rows[c.REPORTED_AT] - pd.to_timedelta(rows[c.SECONDS].fillna(0.0), unit="s")
    by_run = rows.assign(run=number, began=began).groupby([c.TRIAL_ID, "run"], sort=True)
    columns = {"first": (c.EPOCH, "min"), "last": (c.EPOCH, "max"), "since": ("began", "min")}
    return by_run.agg(**columns, until=(c.REPORTED_AT, "max")).reset_index()


def spans(results: Results) -> pd.DataFrame:
    """Trials that have begun, in the order they did, with `end` wherever they have no `ended_at`.

    Where trials pause, a row for each time that one ran.
    """
    import pandas as pd

    if has_pauses(results) and len(results.searched_epochs):
        parts = runs(results)
        others = results.trials[~results.trials[c.TRIAL_ID].isin(parts[c.TRIAL_ID])]
        times = parts[[c.TRIAL_ID, "since", "until"]].rename(columns={"since": c.STARTED_AT, "until": "end"})
        own = results.trials.drop(columns=[c.STARTED_AT]).merge(times, on=c.TRIAL_ID)
        others = others[others[c.STARTED_AT].notna()]
        ended = others.assign(end=others[c.ENDED_AT].fillna(others[c.STARTED_AT]))
        return (pd.concat([own, ended]) if len(ended) else own).sort_values(c.STARTED_AT)
    begun = results.trials[results.trials[c.STARTED_AT].notna()]
    # a trial that runs, or was killed, has no end: it has run at least as long as its epochs took
    ran = pd.to_timedelta(begun[c.SECONDS].fillna(0.0), unit="s")
    return begun.assign(end=begun[c.ENDED_AT].fillna(begun[c.STARTED_AT] + ran)).sort_values(c.STARTED_AT)


def running_seconds(results: Results) -> float:
    """Time during which a trial ran: the pause before a resumed sweep went on does not count."""
    ran = spans(results)
    total, until = 0.0, None
    for first, last in zip(ran[c.STARTED_AT], ran["end"], strict=True):
        if until is None or last > until:
            total += (last - (first if until is None else max(first, until))).total_seconds()
            until = last
    return total


def lanes(results: Results) -> pd.DataFrame:
    """`spans` with `since` and `until` in seconds after the first start, and the `lane` of each trial: one of as
    many on a node as trials ran there at a time.
    """
    ran = spans(results).dropna(subset=[c.NODE])
    origin = ran[c.STARTED_AT].min()
    since = (ran[c.STARTED_AT] - origin).dt.total_seconds()
    until = (ran["end"] - origin).dt.total_seconds()
    free: dict[str, list[float]] = {}  # when each lane of a node's became free
    places = []
    for node, start, end in zip(ran[c.NODE], since, until, strict=True):
        ends = free.setdefault(node, [])
        number = next((i for i, busy_until in enumerate(ends) if busy_until <= start + LANE_OVERLAP_S), len(ends))
        ends[number : number + 1] = [end]
        places.append(number + 1)
    found = ran.assign(since=since, until=until, place=places)
    found = found.assign(lane=found[c.NODE].str.cat(found["place"].astype(str), sep=" · "))
    return found.sort_values([c.NODE, "place", "since"])


def idle_times(lanes: pd.DataFrame) -> pd.DataFrame:
    """`lane`, `since` and `until` of what lies between and around the trials of each lane."""
    import pandas as pd

    end, found = float(lanes["until"].max()) if len(lanes) else 0.0, []
    for lane, trials in lanes.groupby("lane", sort=False):
        edges = [0.0, *trials["until"]]
        for since, until in zip(edges, [*trials["since"], end], strict=True):
            if until - since > LANE_OVERLAP_S:
                found.append((lane, since, until))
    return pd.DataFrame(found, columns=["lane", "since", "until"])


def idle_share(lanes: pd.DataFrame) -> float:
    """Of the time of all lanes together; 0 where they took none."""
    whole = float(lanes["until"].max()) * lanes["lane"].nunique()
    idle = idle_times(lanes)
    return float((idle["until"] - idle["since"]).sum()) / whole if whole > 0 else 0.0
