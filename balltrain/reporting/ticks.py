"""Where an axis has its ticks, and what they say: round numbers, few enough to be read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

MOST = 6  # ticks that a small figure has room for
MARGIN = 0.04  # of the axis, on either side, that plotly shows beyond the data
# first digits of a logarithmic axis's ticks in each decade, the finest first
DIGITS = (tuple(range(1, 10)), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))


def log_axis(values: Iterable[float]) -> dict[str, Any]:
    """A logarithmic axis of plotly for positive values; the page's script looks for new ticks where one zooms in."""
    numbers = [float(value) for value in values if value is not None and 0 < value < math.inf]
    ticks = log_ticks(min(numbers), max(numbers)) if numbers else []
    return {"type": "log", **labelled(ticks)}


def labelled(ticks: Sequence[float], places: Sequence[float] | None = None) -> dict[str, Any]:
    """Ticks as plotly takes them; `places` are theirs on an axis that has other numbers than they say."""
    return {"tickvals": list(ticks if places is None else places), "ticktext": [tick_text(tick) for tick in ticks]}


def log_ticks(low: float, high: float, most: int = MOST) -> list[float]:
    """Round numbers for a logarithmic axis from `low` to `high`: 0.01 0.1 1, or 0.1 0.2 0.5 1, or 0.8 0.9 1."""
    beyond = (high / low) ** MARGIN
    low, high = low / beyond, high * beyond
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in DIGITS:
        found = [_round(digit, power) for power in range(first, last + 1) for digit in digits]
        found = [tick for tick in found if low <= tick <= high]
        if 3 <= len(found) <= most or (digits == (1,) and 2 <= len(found) <= most):
            return found
    decades = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    if len(decades) > most:
        stride = -(-len(decades) // most)
        return [_round(1, power) for power in decades if power % stride == 0]
    return linear_ticks(low, high, most)


def linear_ticks(low: float, high: float, most: int = MOST) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from `low` to `high`."""
    if not high > low:
        return [low]
    power = math.floor(math.log10((high - low) / most))
    for digit in (1, 2, 5, 10, 20):
        step = _round(digit, power)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            break
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)] or [low]


def tick_text(value: float) -> str:
    """0.001 and 20000 in full, 2e-4 and 1e6 by their exponent."""
    text = f"{value:.6g}"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        text = re.sub(r"\.?0*e", "e", f"{value:.3e}")
    return re.sub(r"e([+-])0*", lambda e: "e" + e[1].strip("+"), text)


def _round(digit: int, power: int) -> float:
    """The float that is written so: 0.3, and not 3 times 0.1."""
    return float(f"{digit}e{power}")
