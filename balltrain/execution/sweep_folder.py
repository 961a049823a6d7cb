"""The files of a sweep while it runs: journal, sweep.json, and the tables at its end."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from balltrain import durable
from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError
from balltrain.execution.keeping import BEST
from balltrain.execution.provenance import provenance, utc_now
from balltrain.execution.resuming import fingerprint_of
from balltrain.records.journal import VERSION, Journal, read_journal
from balltrain.records.state import SweepState
from balltrain.records.tables import write_tables
from balltrain.search.plan import Plan


@contextlib.contextmanager
def sweep_files(
    plan: Plan,
    folder: Path,
    dataset: Dataset | None,
    placement: dict[str, Any],
    resume: bool,
    began: float | None = None,
) -> Iterator[tuple[Journal, SweepState]]:
    """The journal, open, with its first line written or replayed; the tables are written at the end.

    `began`, in seconds since 1970, is when the sweep was asked for, from which its time budget counts.
    """
    journal = Journal(folder)
    try:
        durable.recover_folder(folder / BEST)
        sweep = {
            **plan.to_json(),
            "data_fingerprint": fingerprint_of(dataset),
            "placement": placement,
            **provenance(),
        }
        state = SweepState()
        if resume:
            state = SweepState.replay(read_journal(folder))
        if state.sweep:
            sweep["created_at"] = state.sweep["created_at"]
        line = {
            "type": "resume" if state.sweep else "sweep",
            "version": VERSION,
            "sweep": sweep,
            "time": time.time(),
            "began": began or time.time(),
        }
        journal.append(line)
        state.apply(line)
        _write_sweep(sweep, folder)
        try:
            yield journal, state
        except BaseException:
            with contextlib.suppress(OSError):  # a full disk: what ended the sweep is the better message
                _write_end(state, plan, folder)
            raise
        _write_end(state, plan, folder)
    except OSError as error:
        raise BalltrainError(f"cannot write to {folder}: {error.strerror or error}; what is there is kept") from error
    finally:
        journal.close()


def _write_end(state: SweepState, plan: Plan, folder: Path) -> None:
    """The last tables, and in sweep.json that no more come until it is resumed."""
    write_tables(state, plan.task, folder)
    limit = {} if state.limit is None else {"limit": state.limit}
    _write_sweep({**state.sweep, "ended_at": utc_now(), **limit}, folder)


def _write_sweep(sweep: dict[str, Any], folder: Path) -> None:
    durable.replace(folder / "sweep.json", json.dumps(sweep, indent=1).encode())
