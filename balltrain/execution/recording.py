"""What a trial's process prints while it runs an attempt: kept in the sweep's folder, and in object storage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.records.output import FOLDER, Output, captured, output_file
from balltrain.storage import MIRROR_EVERY_S, Remote


@contextlib.contextmanager
def recorded(folder: Path, remote_uri: str | None, trial_id: str, attempt: int, rank: int = 0) -> Iterator[Output]:
    """In the block, all that this process prints is a trial's output. `folder` is the sweep's, on this machine."""
    path = output_file(folder, trial_id, rank)
    if remote_uri is None:
        with captured(path, attempt) as output:
            yield output
        return
    remote, relative = Remote(remote_uri), f"{FOLDER}/{path.name}"
    sent: list[int] = []

    def push() -> None:
        size = path.stat().st_size
        if sent != [size]:
            remote.push_file(path, relative)
            sent[:] = [size]

    with contextlib.suppress(BalltrainError):
        if attempt > 1 and not path.exists():  # the attempt before ran on another node
            remote.pull_file(path, relative)
    try:
        with captured(path, attempt) as output, every(MIRROR_EVERY_S, push, ignoring=(BalltrainError, OSError)):
            yield output
    finally:
        with contextlib.suppress(BalltrainError, OSError):  # it is not worth an attempt
            push()
