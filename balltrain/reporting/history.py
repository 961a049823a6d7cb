"""How a sweep came to its best: every epoch of all trials, in the order they were trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.occupancy import has_pauses

if TYPE_CHECKING:
    import pandas as pd


def history(results: Results) -> pd.DataFrame:
    """The search's rows of `epochs` in the order they were trained, with `seconds_since_start`, `trained` (epochs
    by all trials until then) and `best` (objective so far, of trials that did not fail).
    """
    import pandas as pd

    rows = results.epochs.merge(results.searched[[c.TRIAL_ID, c.STARTED_AT, c.STATUS]], on=c.TRIAL_ID)
    rows = rows[rows[c.STARTED_AT].notna()]
    ran = pd.to_timedelta(rows.groupby(c.TRIAL_ID)[c.SECONDS].cumsum(), unit="s")
    ended = rows[c.STARTED_AT] + ran
    if has_pauses(results):  # then a trial's epochs do not follow each other
        ended = rows[c.REPORTED_AT].fillna(ended)
    since = (ended - rows[c.STARTED_AT].min()).dt.total_seconds()
    rows = rows.assign(seconds_since_start=since).sort_values("seconds_since_start", kind="stable")
    rows = rows.assign(trained=range(1, len(rows) + 1))
    values = rows[results.objective_column].where(rows[c.TRIAL_ID].isin(results.ranked[c.TRIAL_ID]))
    best = values.cummin() if results.mode == "min" else values.cummax()
    return rows.assign(best=best.ffill())
