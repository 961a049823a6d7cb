"""`balltrain stop`: of a sweep that runs elsewhere, through its storage."""

from __future__ import annotations

import json

from balltrain.api.wording import in_python
from balltrain.errors import BalltrainError, UsageError
from balltrain.lease import CLAIMS
from balltrain.records.requests import Requests, StopRequest
from balltrain.records.results import load_results
from balltrain.storage import SWEEP_FILE, Storage


@in_python
def stop(place: Storage, name: str, trial: int | None, *, now: bool) -> str:
    """Ask who runs the sweep to stop it, or one trial of it; what they answer.

    Raises UsageError for a trial that cannot be stopped, BalltrainError where nobody runs the sweep, or answers.
    """
    _check_runs(place, name)
    answer = Requests(place, name).ask(StopRequest(trial, now))
    if answer is None:
        _check_runs(place, name)
        raise BalltrainError(
            f"nobody who runs {name} has answered, and the request is withdrawn: its process was killed, prepares "
            "its data, or is of an earlier version"
        )
    if not answer.taken:
        raise UsageError(f"{name}: {answer.says}")
    return f"{name}: {answer.says}"


def _check_runs(place: Storage, name: str) -> None:
    """Raises BalltrainError for a sweep that is not there, has ended, or is driven by nobody."""
    content = place.read_file(name, SWEEP_FILE)
    if content is None:
        if place.remote is None:
            load_results(place.root, name)  # raises, with the names that there are
        raise BalltrainError(f"no sweep {name!r} in {place.uri}: balltrain results lists those that there are")
    ended_at = json.loads(content).get("ended_at")
    if ended_at is not None:
        raise BalltrainError(f"nobody runs {name}: it has ended, or was interrupted, at {ended_at}")
    if place.remote is not None and not place.remote.times(f"{name}/{CLAIMS}"):
        raise BalltrainError(f"nobody runs {name}: its last driver has left it")
