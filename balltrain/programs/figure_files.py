"""Figures in a file that grows while a program writes it: CSV, JSON lines, or one JSON document written anew."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from balltrain.errors import UsageError
from balltrain.programs.figures import Figures, numbers_of

TABLES = {".csv": ",", ".tsv": "\t"}  # a header, then rows
LINES = (".jsonl", ".ndjson")  # an object a line
DOCUMENT = ".json"  # a list of objects, or Hugging Face's trainer_state.json
KINDS = (*TABLES, *LINES, DOCUMENT)
HEAD_BYTES = 4096  # by which a file that was only appended to is known


def check_kind(name: str) -> None:
    """Raises UsageError for a file's name whose form is not known."""
    if Path(name).suffix.lower() not in KINDS:
        raise UsageError(
            f"figures = {name!r} is no file that figures are read from: it must end in {', '.join(KINDS)}"
        )


class FigureFile:
    """Rows of a file, each once. A line whose end is not written yet is waited for.

    `find` names the file, once it is there. It may become another, as each of Hugging Face's checkpoints has a
    trainer_state.json, or be written anew with more columns, as Lightning does: rows that were read are counted, and
    those after them are new. Where the first row is another, the file was begun anew. Rows that are `present` when
    the reading begins are skipped where told so: they are another run's.
    """

    def __init__(self, find: Callable[[], Path | None], *, skip_present: bool = False):
        self._find = find
        self._path: Path | None = None
        self._version: tuple[int, int, int] | None = None
        self._head, self._offset = b"", 0  # of what was read
        self._columns: list[str] = []
        self._first: Figures | None = None  # of the rows
        self._taken = 0  # rows
        self._stale_bytes = 0
        if skip_present:
            self.read()
            self._stale_bytes = self._offset

    @property
    def path(self) -> Path | None:
        """The file that was read last; None where there was none."""
        return self._path

    def read(self, *, ended: bool = False) -> list[Figures]:
        """Rows that have come since the call before; with `ended` also a last line whose end is missing."""
        path = self._find()
        if path is None:
            return []
        try:
            stat = path.stat()
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if path == self._path and version == self._version and not ended:
                return []
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                grown = path == self._path and self._head and head.startswith(self._head)
                if not grown or stat.st_size < self._offset or path.suffix.lower() == DOCUMENT:
                    self._head, self._offset = b"", 0
                file.seek(self._offset)
                content = file.read()
        except OSError:  # it is being replaced
            return []
        self._path, self._version = path, version
        if stat.st_size < self._stale_bytes:  # what was there before is gone
            self._taken = self._stale_bytes = 0
        return self._new(head, content, ended)

    def _new(self, head: bytes, content: bytes, ended: bool) -> list[Figures]:
        whole = content if ended or self._is_document else content[: content.rfind(b"\n") + 1]
        anew = self._offset == 0
        rows = self._parsed(whole.decode("utf-8-sig" if anew else "utf-8", errors="replace"), anew)
        if not anew:
            self._offset += len(whole)
            self._taken += len(rows)
            return rows
        if rows and self._first is not None and not _extends(rows[0], self._first):
            self._taken = 0
        if rows:
            self._first = rows[0]
        if len(rows) < self._taken:  # it is being written anew, and not all is there again
            return []
        new, self._taken = rows[self._taken :], len(rows)
        self._head, self._offset = head[: len(whole)], len(whole)
        return new

    @property
    def _is_document(self) -> bool:
        return self._path is not None and self._path.suffix.lower() == DOCUMENT

    def _parsed(self, text: str, anew: bool) -> list[Figures]:
        assert self._path is not None
        suffix = self._path.suffix.lower()
        if suffix == DOCUMENT:
            return _of_document(text)
        if suffix in LINES:
            return [numbers_of(found) for found in map(_json, text.splitlines()) if isinstance(found, dict)]
        cells = [row for row in csv.reader(text.splitlines(), delimiter=TABLES[suffix]) if row]
        if anew:
            self._columns = [name.strip() for name in cells[0]] if cells else []
            cells = cells[1:]
        return [_of_row(self._columns, row) for row in cells]


def _of_row(columns: Sequence[str], cells: Sequence[str]) -> Figures:
    """Those of a row whose cells may be empty or padded."""
    return numbers_of({name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()})


def _of_document(text: str) -> list[Figures]:
    found = _json(text)
    if isinstance(found, dict):
        found = found.get("log_history", [found])
    return [numbers_of(entry) for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # half written, or another kind of line
        return None


def _extends(row: Figures, before: Figures) -> bool:
    """Whether a row has all that another had, and perhaps more."""
    return all(name in row and (row[name] == value or value != value) for name, value in before.items())
