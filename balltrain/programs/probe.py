"""What a trial of a program will cost, from an epoch of it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.programs.program import Program, ProgramAttempt
from balltrain.tasks.user_code import told_as_users
from balltrain.training.probe import Probe
from balltrain.training.rows import EpochRow

NUM_EPOCHS = 2  # the second is timed: the first warms up


class _Enough(BalltrainError):  # which passes through a user's code as it is
    """Ends the program after the epochs that are timed."""


def probe_program(program: Program, config: Mapping[str, Any], cpus: float, gpus: float) -> Probe:
    """Run a user's code for an epoch or two, in this process or in one of its own, and forget it.

    Raises BalltrainError where it fails.
    """
    rows: list[EpochRow] = []

    def report(row: EpochRow) -> None:
        rows.append(row)
        if len(rows) == NUM_EPOCHS:
            raise _Enough

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "trial"
        folder.mkdir()
        attempt = ProgramAttempt(0, "00000", 1, config, 0, 0, folder, cpus=cpus, gpus=gpus)
        with contextlib.suppress(_Enough), told_as_users():
            program.run(attempt, report)
        num_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    last = rows[-1]
    return Probe(last["seconds"], num_bytes, last["num_params"] or 0)
