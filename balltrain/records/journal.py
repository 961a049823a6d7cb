"""The journal of a sweep: one fsynced JSON line for each report and each change of a trial's state.

It is the truth: everything else about a sweep is a function of it (`state.py`). A last line without its end
is what a kill leaves, and is dropped; any other damage is an error that names the line.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic_core import from_json

from balltrain.errors import BalltrainError

# 2: trials may repeat others to confirm them, which a reader of 1 would take for searched ones
# 3: trials that have ended may go on, which a reader of 2 does not know
# 4: trials may pause and be thawed, which a reader of 3 does not know
VERSION = 4
FILE = "journal.jsonl"

Line = dict[str, Any]  # "type": a Kind


class Kind(StrEnum):
    """What a line tells: its "type". All but `sweep`, `resume` and `limit` have the trial's "number"."""

    SWEEP = "sweep"  # the first line: what is written to sweep.json
    RESUME = "resume"  # the same, when the sweep goes on
    LIMIT = "limit"  # the search ends before its trials are used up: the reason
    TRIAL = "trial"  # proposed: its configuration, its point in the space, its seed
    START = "start"  # an attempt at it begins
    REPORT = "report"  # the row of an epoch, and the decision on it
    END = "end"  # of an attempt, other than by a row's decision: its status, and what went wrong
    THAW = "thaw"  # a trial that had paused goes on
    CONTINUE = "continue"  # a trial that had ended goes on after the search, to so many epochs


class Journal:
    """Appends lines, under a lock that ends with the process. Raises BalltrainError where another holds it."""

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self._lock = FileLock(folder / ".lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BalltrainError(f"the sweep in {folder} is running in another process") from None
        except OSError as error:
            raise BalltrainError(f"cannot write to {folder}: {error.strerror or error}") from error
        try:
            _drop_torn_line(self.path)
            self._file = open(self.path, "ab")  # noqa: SIM115 - closed by close()
        except BaseException:
            self._lock.release()
            raise

    def append(self, line: Line) -> None:
        """On return the line is on disk."""
        self._file.write(json.dumps(line, separators=(",", ":"), default=_plain).encode() + b"\n")
        self._file.flush()
        os.fdatasync(self._file.fileno()) if hasattr(os, "fdatasync") else os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        self._lock.release()


def read_journal(folder: Path) -> Iterator[Line]:
    """The lines of a journal, also while another process appends. Raises BalltrainError where it is damaged."""
    path = folder / FILE
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                if not raw.endswith(b"\n"):  # torn, or being written
                    return
                yield _parse(path, number, raw)
    except FileNotFoundError:
        raise BalltrainError(f"{folder} has no {FILE}: there is no sweep of that name") from None
    except OSError as error:
        raise BalltrainError(f"cannot read {path}: {error.strerror or error}") from error


def tail_journal(folder: Path) -> Iterator[list[Line]]:
    """Without an end: at each step the whole lines added since the one before. The journal must be there."""
    path, number = folder / FILE, 0
    with open(path, "rb") as file:
        while True:
            found = []
            while (raw := file.readline()).endswith(b"\n"):
                number += 1
                found.append(_parse(path, number, raw))
            file.seek(-len(raw), os.SEEK_CUR)  # being written
            yield found


def _parse(path: Path, number: int, raw: bytes) -> Line:
    try:
        # equal keys are one string: a third of json's time and half of its memory (benchmarks/journal.py)
        line: Line = from_json(raw, cache_strings="keys")
        kind = line["type"]
    except (ValueError, KeyError, TypeError):
        raise BalltrainError(f"{path}, line {number} is damaged: {raw[:60]!r}") from None
    if number == 1 and kind != Kind.SWEEP:
        raise BalltrainError(f"{path}, line 1 is damaged: a journal begins with the sweep, not {kind!r}")
    if kind in (Kind.SWEEP, Kind.RESUME) and line["version"] > VERSION:
        raise BalltrainError(f"{path} is of version {line['version']}: this balltrain reads up to {VERSION}")
    return line


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with open(path, "rb+") as file:
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)


def _plain(value: Any) -> Any:
    """What JSON does not know: hyperparameters that are models, numpy numbers, paths."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "item"):
        return value.item()
    return str(value)


def finite_or_none(value: float | None) -> float | None:
    """JSON has no NaN; a reader of the tables sees an empty cell, and the row's decision says why."""
    return value if value is not None and math.isfinite(value) else None
