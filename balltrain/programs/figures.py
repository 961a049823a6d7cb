"""Figures in what a program prints: JSON lines, names with numbers, or a pattern of the user's own."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from balltrain.errors import BalltrainError, UsageError

Figures = dict[str, float]
EPOCH = "epoch"

_NUMBER = r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|(?:nan|NaN|NAN|inf|Inf|INF|[Ii]nfinity)(?![A-Za-z]))"
# `val_loss: 0.12`, `val/loss=0.12`, `"Val acc" 0.9` is none: a name without blanks, a colon or an equals sign.
# `best val_loss: 0.1` is of another epoch.
_BEST = "".join(f"(?<![{word[0].upper()}{word[0]}]{word[1:]} )" for word in ("best", "min", "max", "final"))
_NAMED = re.compile(rf"(?<![\w./@-]){_BEST}([A-Za-z_][\w./@()-]*)\s*[:=]\s*({_NUMBER})(?![\w])(?!\.\d)")
# `Epoch 3`, `epoch: 3`, `Epoch [3/20]`, `epoch=3`
_EPOCH = re.compile(r"(?<![A-Za-z_])epoch\b\s*[:=#\[(]*\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
# `epoch 3 train_loss 0.2 val_loss 0.1`: blanks are enough where a line has an epoch and nothing but pairs after it
_PAIR = rf"([A-Za-z_][\w./@-]*)[ \t]+({_NUMBER})(?=$|[\s,;|])"
_PAIRS = re.compile(
    rf"(?<![A-Za-z_])epoch\b\s*[:=#\[(]*\s*\d+(?:\s*/\s*\d+)?[\])]?[\s,;:|-]+((?:{_PAIR}[\s,;|]*)+)$", re.IGNORECASE
)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # of terminals


def last_written(line: str) -> str:
    """A line as a terminal would show it: a progress bar's earlier states are overwritten, colours left out."""
    return _COLOUR.sub("", line.rstrip("\r\n").rpartition("\r")[2])


def json_figures(line: str) -> Figures | None:
    """Those of a JSON object, or of Python's own text of a dict, at the end of a line; None where there is none.

    Raises BalltrainError where its epoch is no number.
    """
    start = line.find("{")
    text = line[start:].strip()
    if start < 0 or not text.endswith("}"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        try:  # as Hugging Face's Trainer prints it
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return numbers_of(found) or None if isinstance(found, dict) else None


def named_figures(line: str) -> Figures | None:
    """Numbers with a name before them, `val_loss: 0.12`, several a line; the epoch of `Epoch 3/20` among them."""
    found = {name: float(number) for name, number in _NAMED.findall(line) if name.lower() != EPOCH}
    if not found and (pairs := _PAIRS.search(line)):
        found = {name: float(number) for name, number in re.findall(_PAIR, pairs[1])}
    if epoch := _EPOCH.search(line):
        found[EPOCH] = float(epoch[1])
    return found or None


class Pattern:
    """A regular expression of the user's own, with a named group a figure: `acc (?P<val_acc>[0-9.]+)`.

    Raises UsageError where it is none.
    """

    def __init__(self, text: str):
        try:
            self._compiled = re.compile(text)
        except re.error as error:
            raise UsageError(f"figures = {text!r} is no regular expression: {error}") from None
        if not self._compiled.groupindex:
            raise UsageError(f"figures = {text!r} names no figure: write a group (?P<val_acc>[0-9.]+) for each")

    def __call__(self, line: str) -> Figures | None:
        found: dict[str, Any] = {}
        for match in self._compiled.finditer(line):  # several in a line
            found |= {name: text for name, text in match.groupdict().items() if text is not None}
        return numbers_of(found) or None


def numbers_of(values: Mapping[Any, Any], before: str = "") -> Figures:
    """The numbers among values: of dicts inside by `outer/inner`; texts that are numbers too, others are left out."""
    found: Figures = {}
    for key, value in values.items():
        name = f"{before}{key}".strip()
        if isinstance(value, Mapping):
            found |= numbers_of(value, f"{name}/")
        elif (number := as_number(value)) is not None:
            found[EPOCH if name.lower() == EPOCH else name] = number
    return found


def as_number(value: Any) -> float | None:
    """A number, or a text that is one, as float; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def epoch_key(value: float) -> int:
    """The epoch that a figure is of: 1.5 is within the second, which ends at 2. Raises BalltrainError for NaN."""
    if not math.isfinite(value):
        raise BalltrainError(f"the epoch is {value:g}, but must be a number that counts up")
    return math.ceil(value)
