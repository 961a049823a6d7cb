"""What a controller hands out to be run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Attempt:
    """One run of a trial, to be started. `reported_epochs` are in the journal already."""

    number: int
    trial_id: str
    attempt: int
    config: dict[str, Any]
    seed: int
    reported_epochs: int
    fold: tuple[int, int] | None = None
