"""Values in few characters, as terminal, page and W&B show them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balltrain.records.results import plain


def short(value: Any, digits: int = 4) -> str:
    """A cell's value in few characters; nothing for a missing one."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return re.sub(r"e([+-])0*", lambda e: "e" + e[1].strip("+"), f"{value:.{digits}g}")  # 3.2e-05 → 3.2e-5
    return str(value)


def duration(seconds: float) -> str:
    """Two units at most: `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for size, unit, part, part_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"


def method_of(sweep: Mapping[str, Any]) -> str:
    """Searcher and scheduler by what sweep.json says; one where the searcher decides on what goes on too."""
    parts = [sweep.get("searcher")]
    if not sweep.get("search_epochs"):
        parts.append((sweep.get("scheduler") or {}).get("name"))
    return " + ".join(str(part) for part in parts if part)


def stopped_by(sweep: Mapping[str, Any]) -> str | None:
    """What stops trials early, by what sweep.json says; None where nothing does."""
    name = sweep.get("searcher") if sweep.get("search_epochs") else (sweep.get("scheduler") or {}).get("name")
    return None if name == "none" else name


def time_unit(seconds: float) -> tuple[int, str]:
    """Seconds of the unit, and its name, in which an axis of that length has readable numbers."""
    return next((s, u) for s, u in ((3600, "h"), (60, "min"), (1, "s")) if seconds >= 2 * s or s == 1)


def quoted(path: Path | str) -> str:
    """As it is typed into a shell."""
    return shlex.quote(str(path))
