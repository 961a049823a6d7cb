"""A search space in a TOML file: `lr = {log = [1e-4, 1e-1]}`. Its words are those of `ray.tune`, and shorter ones."""

from __future__ import annotations

import datetime
import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balltrain.errors import UsageError
from balltrain.tasks.decoding import read_source

STEP = "step"
_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\]]+?)\s*\]{1,2}")
_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class _Range:
    """A kind of range: what `ray.tune` makes of its bounds, with a step and without."""

    function: str
    stepped: str | None = None  # with `step`, whose bounds are both included
    log: bool = False
    whole: bool = False  # integers
    has_last: bool = False  # of integers the upper bound is one; `ray.tune` leaves it out
    with_step: bool = False  # the step is the third number


RANGES = {
    "uniform": _Range("uniform", "quniform"),
    "log": _Range("loguniform", "qloguniform", log=True),
    "int": _Range("randint", "qrandint", whole=True, has_last=True),
    "log_int": _Range("lograndint", "qlograndint", log=True, whole=True, has_last=True),
    # as ray.tune has them
    "loguniform": _Range("loguniform", "qloguniform", log=True),
    "quniform": _Range("quniform", with_step=True),
    "qloguniform": _Range("qloguniform", log=True, with_step=True),
    "randint": _Range("randint", whole=True),
    "lograndint": _Range("lograndint", log=True, whole=True),
    "qrandint": _Range("qrandint", whole=True, with_step=True),
    "qlograndint": _Range("qlograndint", log=True, whole=True, with_step=True),
}
CHOICE, GRIDS = "choice", ("grid", "grid_search")
WORDS = (*RANGES, CHOICE, *GRIDS)


def read_space(path: Path, known: Iterable[str] | None = None) -> dict[str, Any]:
    """The space that a TOML file describes, in Ray Tune's search space API.

    `known` are the names that it may have, where they are known. Raises UsageError that names file and line.
    """
    if path.suffix.lower() != ".toml":
        raise UsageError(f"the space {path} is no TOML file: give one, such as space.toml")
    return _SpaceFile(path, read_source(path)).space(known)


class _SpaceFile:
    def __init__(self, path: Path, text: str):
        self.path = path
        try:
            self.tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.search(str(error))
            line = found[1] if found and found[1] else len(text.splitlines())
            raise UsageError(f"{path}, line {line}: {_AT_LINE.sub('', str(error))}") from None
        self.lines = dict(_lines_of(text))

    def space(self, known: Iterable[str] | None) -> dict[str, Any]:
        if not self.tables:
            raise UsageError(
                f"{self.path} is empty: write a hyperparameter a line, such as lr = {{log = [1e-4, 1e-1]}}"
            )
        names = None if known is None else list(known)
        for key in self.tables:
            if names is not None and key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"
                raise self._wrong((key,), f"there is no hyperparameter {key!r}: {hint}")
        return {key: self._value((key,), value) for key, value in self.tables.items()}

    def _value(self, at: Place, value: Any) -> Any:
        """A constant, or the domain that a table with one of the words is."""
        if isinstance(value, list):
            return [self._value((*at, number), inner) for number, inner in enumerate(value)]
        if isinstance(value, datetime.date | datetime.time):
            raise self._wrong(at, f"{value} is a date: put it in quotes")
        if not isinstance(value, Mapping):
            return value
        words = [word for word in value if word in WORDS]
        if not words:
            self._refuse_misspelt(at, value)
            return {key: self._value((*at, key), inner) for key, inner in value.items()}
        if more := sorted(set(value) - {words[0], STEP}):
            raise self._wrong(at, f"{words[0]} goes with no {more[0]!r}: leave it out, or give it a line of its own")
        word = words[0]
        if word in RANGES:
            return self._range(at, word, RANGES[word], value[word], value.get(STEP))
        if STEP in value:
            raise self._wrong(at, f"{word} has no step: leave it out")
        return self._options(at, word, value[word])

    def _range(self, at: Place, word: str, kind: _Range, bounds: Any, step: Any) -> Any:
        count = 3 if kind.with_step else 2
        example = "[1, 8, 1]" if kind.with_step else "[1, 8]" if kind.whole else "[0.001, 0.1]"
        if not isinstance(bounds, list) or len(bounds) != count or not all(map(_is_number, bounds)):
            raise self._wrong(at, f"{word} = {bounds!r}, but must be {count} numbers, such as {example}")
        if kind.with_step:
            if step is not None:
                raise self._wrong(at, f"the step of {word} is its third number: leave out {STEP}")
            *bounds, step = bounds
        low, high = bounds
        if step is not None and (not _is_number(step) or step <= 0):
            raise self._wrong(at, f"{STEP} = {step!r}, but must be a number above 0")
        if kind.whole and not all(isinstance(number, int) for number in (low, high, step or 1)):
            raise self._wrong(at, f"{word} is of integers, but has {bounds}: write {example}, or uniform")
        if kind.log and min(low, high) <= 0:
            raise self._wrong(at, f"{word} = [{low}, {high}], but bounds of a logarithm must be above 0")
        if low == high and not kind.has_last:
            raise self._wrong(at, f"{word} = [{low}, {high}] holds one value: write {at[-1]} = {low}")
        from ray.tune.search import sample

        if step is not None:
            return getattr(sample, kind.stepped or kind.function)(low, high, step)
        if kind.has_last:
            low, high = (low, high + 1) if low <= high else (low + 1, high)
        return getattr(sample, kind.function)(low, high)

    def _options(self, at: Place, word: str, options: Any) -> Any:
        if not isinstance(options, list) or not options:
            raise self._wrong(at, f"{word} = {options!r}, but must be a list of values, such as [16, 64]")
        from ray.tune.search import sample

        inside = [self._value((*at, word, number), option) for number, option in enumerate(options)]
        return {"grid_search": inside} if word in GRIDS else sample.Categorical(inside)

    def _refuse_misspelt(self, at: Place, value: Mapping[str, Any]) -> None:
        """A table of one entry is a domain more often than a value: `{lgo = [1e-4, 1e-1]}`."""
        (word, *more) = [key for key in value if key != STEP] or [STEP]
        if more:
            return
        near = difflib.get_close_matches(word, WORDS, n=1, cutoff=0.6)
        if near and isinstance(value[word], list):
            raise self._wrong(at, f"{word!r} is no kind of range: did you mean {near[0]}?")

    def _wrong(self, at: Place, what: str) -> UsageError:
        while at and at not in self.lines:
            at = at[:-1]
        line = f", line {self.lines[at]}" if at else ""
        name = ".".join(str(part) for part in at if isinstance(part, str) and part not in WORDS)
        return UsageError(f"{self.path}{line}: {name}{': ' * bool(name)}{what}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _lines_of(text: str) -> Iterator[tuple[Place, int]]:
    """The line, from 1, on which each key and each table begins."""
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *_parts(key[1])), number


def _parts(dotted: str) -> Place:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
