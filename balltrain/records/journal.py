"""The journal of a sweep: one fsynced JSON line for each report and each change of a trial's state.

It is the truth: everything else about a sweep is a function of it (`state.py`). Each line ends with a checksum of
itself. A last line that is not whole, or not what was written, is what a kill or a power loss leaves, and is dropped:
nobody was told that it is there. Any other damage is an error that names the line.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from pydantic_core import from_json

from balltrain import durable
from balltrain.errors import BalltrainError, StorageError

# 2: trials may repeat others to confirm them, which a reader of 1 would take for searched ones
# 3: trials that have ended may go on, which a reader of 2 does not know
# 4: trials may pause and be thawed, which a reader of 3 does not know
# 5: each line ends with its checksum, `"crc":"0a1b2c3d"`, the CRC-32 of the bytes before it
# 6: users may stop a trial, and trials may be infeasible, which a reader of 5 does not know
VERSION = 6
FILE = "journal.jsonl"

Line = dict[str, Any]  # "type": a Kind


class Kind(StrEnum):
    """What a line tells: its "type". All but `sweep`, `resume` and `limit` have the trial's "number"."""

    SWEEP = "sweep"  # the first line: what is written to sweep.json
    RESUME = "resume"  # the same, when the sweep goes on
    LIMIT = "limit"  # the search ends before its trials are used up: the reason
    TRIAL = "trial"  # proposed: its configuration, its point in the space, its seed
    START = "start"  # an attempt at it begins
    STOP = "stop"  # a user wants it to end, for the reason: it does at its next row, or at an `end`
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
            durable.make_folder(folder)
            durable.sync_names(folder, 1)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BalltrainError(f"the sweep in {folder} is running in another process") from None
        except OSError as error:
            raise BalltrainError(f"cannot write to {folder}: {error.strerror or error}") from error
        try:
            self._file = durable.AppendedFile(self.path, *_sound_part(self.path))
        except OSError as error:
            self._lock.release()
            raise StorageError(f"cannot write {self.path}: {error.strerror or error}") from error
        except BaseException:
            self._lock.release()
            raise

    def append(self, line: Line) -> None:
        """On return the line is on disk. Raises StorageError where it is not, and for each line after that."""
        try:
            self._file.append(encoded(line))
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(
                f"cannot write to {self.path.parent}: {reason}; what is there is kept, and --resume goes on with it"
            ) from error

    def close(self) -> None:
        self._file.close()
        self._lock.release()


def read_journal(folder: Path) -> Iterator[Line]:
    """The lines of a journal, also while another process appends. Raises BalltrainError where it is damaged."""
    path = folder / FILE
    try:
        with open(path, "rb") as file:
            yield from _Lines(path, file)
    except FileNotFoundError:
        raise BalltrainError(f"{folder} has no {FILE}: there is no sweep of that name") from None
    except OSError as error:
        raise BalltrainError(f"cannot read {path}: {error.strerror or error}") from error


def first_line(folder: Path) -> Line:
    """What a sweep began with. Raises BalltrainError where that is not there, or all that is there was cut off."""
    for line in read_journal(folder):
        return line
    raise BalltrainError(f"{folder / FILE} is empty, as no trial had begun: start the sweep without --resume")


def tail_journal(folder: Path) -> Iterator[list[Line]]:
    """Without an end: at each step the whole lines added since the one before. The journal must be there."""
    with Tail(folder / FILE) as tail:
        while True:
            yield list(tail)


class Tail:
    """A journal as it grows: each iteration gives its whole lines since the one before, one by one."""

    def __init__(self, path: Path):
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._lines = _Lines(path, self._file)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    @property
    def position(self) -> int:
        """Bytes that were read."""
        return self._file.tell()

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()


def encoded(line: Line) -> bytes:
    """A line as the journal has it, with its checksum."""
    body = json.dumps(line, separators=(",", ":"), default=_plain).encode()[:-1]
    return b'%s%s%08x"}\n' % (body, _SUM, zlib.crc32(body))


_SUM = b',"crc":"'
_SUM_BYTES = len(_SUM) + 8 + len(b'"}\n')


class _Lines:
    """The lines of a file from where it stands, as often as they are asked for: until the last one that is sound."""

    def __init__(self, path: Path, file: BinaryIO):
        self.path, self.file = path, file
        self._number = 0
        self._has_sums = False  # from the line on by which a sweep began, or went on, with version 5

    def __iter__(self) -> Iterator[Line]:
        while raw := self.file.readline():
            line = _parsed(raw, self._has_sums)
            if line is None:
                rest = self.file.read() if raw.endswith(b"\n") else b""
                if rest.strip(b"\0"):
                    raise _damage(self.path, self._number + 1, raw)
                self.file.seek(-len(raw) - len(rest), os.SEEK_CUR)  # torn, or being written
                return
            self._number += 1
            self._look_at(line)
            yield line

    def _look_at(self, line: Line) -> None:
        kind = line["type"]
        if self._number == 1 and kind != Kind.SWEEP:
            raise BalltrainError(f"{self.path}, line 1 is damaged: a journal begins with the sweep, not {kind!r}")
        if kind not in (Kind.SWEEP, Kind.RESUME):
            return
        if line["version"] > VERSION:
            raise BalltrainError(f"{self.path} is of version {line['version']}: this balltrain reads up to {VERSION}")
        self._has_sums = line["version"] >= 5


def _parsed(raw: bytes, needs_sum: bool) -> Line | None:
    """A line without its checksum; None where it is not what was written."""
    body, end = raw[:-_SUM_BYTES], raw[-_SUM_BYTES:]
    has_sum = end.startswith(_SUM)
    if not raw.endswith(b"\n") or (needs_sum and not has_sum):
        return None
    if has_sum and end != b'%s%08x"}\n' % (_SUM, zlib.crc32(body)):
        return None
    try:
        # equal keys and words are one string: a third of json's time and half of its memory (benchmarks/journal.py)
        line: Line = from_json(raw, cache_strings="all")
        if has_sum:
            del line["crc"]
        return line if isinstance(line["type"], str) else None
    except (ValueError, KeyError, TypeError):
        return None


def _sound_part(path: Path) -> tuple[int, bytes]:
    """How many bytes of a journal are to be kept, and the last line of them.

    Raises BalltrainError where the line before a torn one is damaged; others are not looked at.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return 0, b""
    end = content.rfind(b"\n") + 1
    start = content.rfind(b"\n", 0, max(0, end - 1)) + 1
    last, before = content[start:end], content[content.rfind(b"\n", 0, max(0, start - 1)) + 1 : start]
    is_sound = _parsed(last, needs_sum=before[-_SUM_BYTES:].startswith(_SUM)) is not None
    if is_sound or not end:
        return end, last
    # what comes after a line had been written when that one was on disk
    if content[end:].strip(b"\0"):
        raise _damage(path, content[:end].count(b"\n"), last)
    if start and _parsed(before, needs_sum=False) is None:
        raise _damage(path, content[:start].count(b"\n"), before)
    return start, before


def _damage(path: Path, number: int, raw: bytes) -> BalltrainError:
    return BalltrainError(f"{path}, line {number} is damaged: {raw[:60]!r}")


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
