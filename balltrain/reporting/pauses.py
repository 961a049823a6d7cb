"""The report's section on a freeze-thaw search: who paused where, and who was thawed when."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.columns import Decision, Status
from balltrain.records.results import Results
from balltrain.reporting.figures import line_trace, titled_axis
from balltrain.reporting.occupancy import has_pauses, runs
from balltrain.reporting.page import figure_html, note, paragraph, section, table
from balltrain.reporting.progress import saving
from balltrain.reporting.text import duration, short, time_unit

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 30  # of the thawed trials that are listed, the best first


def pauses(results: Results) -> str:
    """Empty for a sweep whose trials do not pause."""
    if not has_pauses(results) or not (results.searched_epochs[c.DECISION] == Decision.PAUSE).any():
        return ""
    ran = runs(results)
    begin = ran["since"].min()
    ran = ran.assign(
        since=(ran["since"] - begin).dt.total_seconds(),
        until=(ran["until"] - begin).dt.total_seconds(),
    )
    thawed = ran[ran["run"] > 0][c.TRIAL_ID].nunique()
    ended = sum(count for status, count in results.counts.items() if Status(status).has_ended)
    text = f"{thawed} of {ran[c.TRIAL_ID].nunique()} trials were thawed; {ended} have ended. {saving(results)}"
    listed, rest = _thawed(results, ran)
    return section(
        "Paused and thawed",
        paragraph(text.strip()),
        _figure(results, ran),
        table(["milestone", "reached", "paused", "went on at once", "thawed later", "were left there"], _at(results)),
        table(["trial", "status", f"best {results.objective_name}", "paused, and thawed"], listed),
        note(rest),
    )


def _at(results: Results) -> list[list[Any]]:
    """A row for each epoch at which trials paused."""
    rows = results.searched_epochs
    last = rows.groupby(c.TRIAL_ID)[c.EPOCH].max()
    found = []
    for epoch in sorted(rows[rows[c.DECISION] == Decision.PAUSE][c.EPOCH].unique()):
        there = rows[rows[c.EPOCH] == epoch]
        paused = there[there[c.DECISION] == Decision.PAUSE]
        later = int((last[paused[c.TRIAL_ID]] > epoch).sum())
        went_on = int((there[c.DECISION] == Decision.CONTINUE).sum())
        found.append([f"epoch {epoch}", len(there), len(paused), went_on, later, len(paused) - later])
    return found


def _figure(results: Results, ran: pd.DataFrame) -> str:
    """Epochs over time: a line for each run of a trial, those of the best one in colour."""
    size, unit = time_unit(float(ran["until"].max()))
    best = None if results.best is None else results.best[c.TRIAL_ID]
    data = []
    for name, color, width, chosen in (
        ("others", "@muted", 1.0, ran[ran[c.TRIAL_ID] != best]),
        (f"{best} (best)", "@0", 3.0, ran[ran[c.TRIAL_ID] == best]),
    ):
        x: list[Any] = []
        y: list[Any] = []
        text: list[str] = []
        for row in chosen.to_dict("records"):  # one trace with gaps
            x += [round(row["since"] / size, 4), round(row["until"] / size, 4), None]
            y += [int(row["first"]) - 1, int(row["last"]), None]
            text += [str(row[c.TRIAL_ID])] * 3
        if x:
            data.append(line_trace(x, y, name, color, width=width, text=text))
    axes = {"xaxis": titled_axis(f"time since the start ({unit})"), "yaxis": titled_axis("epoch")}
    return figure_html(data, axes, height=320)


def _thawed(results: Results, ran: pd.DataFrame) -> tuple[list[list[Any]], str]:
    """The rows of the trials that were thawed, and a remark on those left out."""
    by_id = results.trials.set_index(c.TRIAL_ID)
    ids = set(ran[ran["run"] > 0][c.TRIAL_ID])
    order = [*results.ranked[c.TRIAL_ID], *sorted(ids - set(results.ranked[c.TRIAL_ID]))]
    chosen = [trial_id for trial_id in order if trial_id in ids]
    rows = []
    for trial_id in chosen[:MAX_ROWS]:
        own = ran[ran[c.TRIAL_ID] == trial_id].sort_values("run").to_dict("records")
        words = [
            f"epoch {before['last']} after {duration(before['until'])}, thawed after {duration(after['since'])}"
            for before, after in pairwise(own)
        ]
        trial = by_id.loc[trial_id]
        rows.append([trial_id, trial[c.STATUS], short(trial[c.OBJECTIVE]), "; ".join(words)])
    return rows, f"The best {MAX_ROWS} of {len(chosen)} are listed." if len(chosen) > MAX_ROWS else ""
