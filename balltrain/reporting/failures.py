"""Why trials failed, the same errors together."""

from __future__ import annotations

import re

from balltrain.records import columns as c
from balltrain.records.results import Results


def failures(results: Results) -> list[tuple[str, list[str]]]:
    """(error, trial ids), the most frequent first. Errors that differ in numbers alone are one, with `…`."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for trial_id, error in zip(results.failed[c.TRIAL_ID], results.failed[c.ERROR], strict=True):
        error = error if isinstance(error, str) and error else "unknown error"
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "…", error), []).append((trial_id, error))
    found = []
    for pattern, members in groups.items():
        same = len({error for _, error in members}) == 1
        found.append((members[0][1] if same else pattern, [trial_id for trial_id, _ in members]))
    return sorted(found, key=lambda failure: -len(failure[1]))
