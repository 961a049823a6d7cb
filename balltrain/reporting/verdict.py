"""What confirming the best configurations has shown, in one sentence."""

from __future__ import annotations

from balltrain.records import columns as c
from balltrain.records.confirmation import Confirmed
from balltrain.records.results import Results
from balltrain.reporting.intervals import ahead


def verdict(results: Results, winner: Confirmed) -> str:
    entries, _ = results.confirmed
    first = results.ranked.iloc[0][c.TRIAL_ID]
    if winner.trial_id == first:
        text = f"confirmed: trial {first}, the search's first place, has the best mean"
    else:
        text = f"the winner is trial {winner.trial_id}: the search's first place, {first}, did not hold"
    if len(entries) > 1 and (by := ahead(winner, entries[1], results.mode)):
        text += f"; {by}"
    near = [other.trial_id for other in entries[1:] if _overlap(winner, other)]
    return text + (f"; the intervals of {', '.join(near)} overlap its own" if near else "")


def _overlap(one: Confirmed, other: Confirmed) -> bool:
    if one.mean is None or other.mean is None or one.interval is None or other.interval is None:
        return False
    return abs(one.mean - other.mean) <= one.interval + other.interval
