"""Where a command's figures come from: found by itself, or told."""

from __future__ import annotations

import dataclasses
import difflib
import fcntl
import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from balltrain.errors import BalltrainError, UsageError
from balltrain.programs.epochs import Numbering, Rows
from balltrain.programs.figure_files import FigureFile, check_kind
from balltrain.programs.figures import EPOCH, Figures, Pattern, json_figures, named_figures
from balltrain.programs.processes import TRIAL_DIR

SETTLE_S = 0.25  # that a figure in the output waits for a file or a report with it
LOOK_EVERY_S = 0.5  # for files that were not there
# that are looked for in the trial's folder, and below
FOUND_FILES = ("*.csv", "*.tsv", "*.jsonl", "*.ndjson", "trainer_state.json")
NAMED_SOURCES = ("report", "json", "lines")
NumberedRow = tuple[int, Figures]


def check_source(figures: str | None) -> None:
    """Raises UsageError for what is neither a source's name, a pattern nor a file's name."""
    if figures is None or figures in NAMED_SOURCES:
        return
    if is_pattern(figures):
        Pattern(figures)
    elif "." not in figures and (near := difflib.get_close_matches(figures, NAMED_SOURCES, n=1)):
        raise UsageError(f"figures = {figures!r}: did you mean {near[0]}?")
    else:
        check_kind(figures)


def is_pattern(figures: str) -> bool:
    return "(?P<" in figures


@dataclass
class _Source:
    """One place, what reads it, and what it has given."""

    name: str
    rows: Rows
    parse: Callable[[str], Figures | None] | None = None  # of a line of output
    file: FigureFile | None = None


class Sources:
    """All places where figures may be, until one has the objective: from then on that one.

    In this order: reports of `balltrain.report`, lines of JSON, files in the trial's folder, names with numbers in
    the output. `told` names the only one: `report`, `json`, `lines`, a pattern, or a file. `before` is the numbering
    of the attempts before, which says where they found their figures.
    """

    def __init__(
        self, objective: str, before: Numbering, *, told: str | None, report_file: Path, trial_dir: Path, folder: Path
    ):
        self.objective, self._before = objective, before
        self._trial_dir, self._folder, self._report_file = trial_dir, folder, report_file
        self._claims: dict[Path, int] = {}
        self._looked = -math.inf
        self._found: float | None = None  # when the objective was seen first
        self._sources: list[_Source] = []
        self._chosen: _Source | None = None
        only = told or before.source
        self._searches = only is None
        for name, kind in (("report", None), ("json", json_figures), ("lines", named_figures)):
            if only in (None, name):
                self._add(name, kind)
        if only in (None, "report"):
            self._sources[0].file = FigureFile(lambda: _existing(report_file))
        if not self._sources and only is not None:
            self._add(only, Pattern(only) if is_pattern(only) else None)
            if not is_pattern(only):
                there = (folder / only).exists() and _newest_below(trial_dir, only) is None  # another run's
                self._sources[0].file = FigureFile(partial(self._told_file, only), skip_present=there)

    def close(self) -> None:
        """Let other trials have the files."""
        while self._claims:
            os.close(self._claims.popitem()[1])

    @property
    def numbering(self) -> Numbering:
        """To be kept for the attempts that follow."""
        if self._chosen is None:
            return self._before
        return dataclasses.replace(self._chosen.rows.numbering, source=self._chosen.name)

    def hear(self, line: str, now: float) -> None:
        """A line of the command's output, whole, as a terminal would show it."""
        for source in self._those_that_count():
            if source.parse is not None and (figures := source.parse(line)):
                source.rows.add(figures, now)

    def due(self, now: float, *, ended: bool = False) -> list[NumberedRow]:
        """Rows that are complete: number and figures. None before one source has had the objective."""
        if self._searches and self._chosen is None and (ended or now - self._looked >= LOOK_EVERY_S):
            self._looked = now
            self._find_files()
        for source in self._those_that_count():
            for figures in source.file.read(ended=ended) if source.file is not None else ():
                if figures:
                    source.rows.add(figures, now)
        if self._chosen is None:
            self._chosen = self._choose(now, ended)
        return self._chosen.rows.due(now, ended=ended) if self._chosen is not None else []

    def _choose(self, now: float, ended: bool) -> _Source | None:
        """The first in order that has the objective; what is printed has to wait whether a better one comes."""
        found = [source for source in self._sources if self.objective in source.rows.seen]
        if not found:
            return None
        if self._found is None:
            self._found = now
        printed_alone = all(source.parse is not None for source in found)
        if self._searches and printed_alone and not ended and now - self._found < SETTLE_S:
            return None
        return min(found, key=lambda source: source.name == "lines")

    def missing(self) -> str:
        """In words, why there was no row: what was looked for, and what was there."""
        seen = sorted({name for source in self._sources for name in source.rows.seen} - {EPOCH})
        if seen:
            near = difflib.get_close_matches(self.objective, seen, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            return f"it never reported the objective {self.objective}: {hint}it reported {', '.join(seen[:12])}"
        return f"it reported no figures; looked for {self._looked_for()}"

    def _looked_for(self) -> str:
        said = {
            "report": "balltrain.report(…)",
            "json": "lines of JSON",
            "lines": f"lines such as «{self.objective}: 0.5»",
        }
        if not self._searches:
            return said.get(self._sources[0].name, self._sources[0].name)
        files = f"files *.csv, *.jsonl or trainer_state.json in {TRIAL_DIR}"
        return f"{said['report']}, {said['json']}, {files} and {said['lines']}; name another file by --figures FILE"

    def _those_that_count(self) -> list[_Source]:
        return self._sources if self._chosen is None else [self._chosen]

    def _add(self, name: str, parse: Callable[[str], Figures | None] | None = None) -> _Source:
        numbering = dataclasses.replace(self._before, keys=list(self._before.keys))
        self._sources.append(_Source(name, Rows(self.objective, numbering), parse))
        return self._sources[-1]

    def _find_files(self) -> None:
        known = {source.name for source in self._sources}
        for path in _below(self._trial_dir, FOUND_FILES):
            if path.name not in known and path != self._report_file:
                known.add(path.name)
                find = partial(_newest_below, self._trial_dir, path.name)
                self._add(path.name).file = FigureFile(find)

    def _told_file(self, name: str) -> Path | None:
        """The file of that name or pattern in the trial's folder, or in the command's own."""
        if (found := _newest_below(self._trial_dir, name)) is not None:
            return found
        path = self._folder / name
        return self._claimed(path) if path.exists() else None

    def _claimed(self, path: Path) -> Path:
        """Raises BalltrainError where another trial, which runs at the same time, writes the same file."""
        path = path.resolve()
        if path not in self._claims and not path.is_relative_to(self._trial_dir):
            self._claims[path] = _claim(path)
        return path


def _claim(path: Path) -> int:
    claim = Path(tempfile.gettempdir()) / f"balltrain-figures-{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    descriptor = os.open(claim, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise BalltrainError(
            f"trials that run at the same time write the same {path}: have the command write to {{trial_dir}}, "
            f"figures='{path.name}', or run one trial at a time"
        ) from None
    return descriptor


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _newest_below(folder: Path, pattern: str) -> Path | None:
    if Path(pattern).is_absolute():
        return _existing(Path(pattern))
    return max(_below(folder, (pattern,)), key=lambda path: (_modified(path), str(path)), default=None)


def _below(folder: Path, patterns: Sequence[str]) -> list[Path]:
    with suppress(OSError):  # folders that a program deletes meanwhile
        return sorted({path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()})
    return []


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
