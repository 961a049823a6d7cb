"""Values of COCO's annotation files as other tools write them: numbers as text or floats, nulls, NaN.

JSON that went through a table has them. What is not clear is refused, naming file and entry.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError

MAX_ID = 2**63 - 1
MAX_EXACT_FLOAT = 2**53
_WHOLE = re.compile(r"[+-]?\d{1,30}(\.0*)?")
_CROWDS = {"0": False, "1": True, "false": False, "true": True}


def whole_number(path: Path, entry: Mapping[str, Any], key: str, of: str = "an annotation") -> int:
    """The value of `key` as an id or a size. Raises BalltrainError where it is none."""
    value = entry.get(key)
    number = as_whole(value)
    if number is None:
        raise BalltrainError(f"{path}: {of} has the {key} {value!r}, but it must be a whole number")
    if abs(number) > MAX_ID:
        raise BalltrainError(f"{path}: {of} has the {key} {value}, which has more than 64 bits")
    return number


def as_whole(value: Any) -> int | None:
    """7 of 7, 7.0, "7" and "7.0"; None of what is no whole number, or a float too large to tell."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < MAX_EXACT_FLOAT else None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value.strip().partition(".")[0])
    return None


def as_number(value: Any) -> float | None:
    """A finite number, of a number or its text; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # an integer of more than 308 digits, or other text
        return None
    return number if math.isfinite(number) else None


def is_missing(value: Any) -> bool:
    """None, and what tables make of it."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def box_of(where: str, value: Any) -> tuple[float, float, float, float]:
    """x, y, width, height, of a list or its text. Raises BalltrainError that begins with `where`."""
    found = _as_list(value) if isinstance(value, str) else value
    numbers = [as_number(number) for number in found] if isinstance(found, list | tuple) else []
    if len(numbers) != 4 or None in numbers:
        raise BalltrainError(f"{where} has the bbox {value!r}, but it must be four numbers: x, y, width, height")
    x, y, width, height = (number for number in numbers if number is not None)
    return x, y, width, height


def area_of(where: str, value: Any, box: tuple[float, float, float, float]) -> float:
    """That of the box where it is missing."""
    if is_missing(value):
        return box[2] * box[3]
    area = as_number(value)
    if area is None:
        raise BalltrainError(f"{where} has the area {value!r}, but it must be a number")
    return area


def crowd_of(where: str, value: Any) -> bool:
    """False where it is missing."""
    if is_missing(value):
        return False
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip().lower()
    if text not in _CROWDS:
        raise BalltrainError(f"{where} has iscrowd {value!r}, but it must be 0 or 1")
    return _CROWDS[text]


def _as_list(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("[]() ").replace(",", " ").split()
