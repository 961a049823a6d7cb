"""The scale that a hyperparameter is to be seen on: a choice or a number, logarithmic or not, from where to where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results, plain
from balltrain.reporting.text import short

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LOG_FROM_RATIO = 100  # largest to smallest value, from which a hyperparameter's axis is logarithmic
DOMAINS = ("float", "logfloat", "int", "logint")  # in the space of sweep.json


def is_choice(results: Results, column: str) -> bool:
    """Text, truth values, or a choice of numbers."""
    import pandas as pd

    values = results.trials[column].dropna()
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    space = (results.sweep.get("space") or {}).get(column.removeprefix(c.CONFIG_PREFIX))
    options = space.get("choice") if isinstance(space, dict) else None
    return options is not None and not any(isinstance(option, dict) for option in options)


def is_log(values: pd.Series, ratio: float = 5, declared: bool = False) -> bool:
    """Whether all are positive, and `ratio` or more lies between the smallest and the largest."""
    finite = values.dropna()
    if finite.empty or finite.min() <= 0:
        return False
    return declared or float(finite.max()) / float(finite.min()) >= ratio


def is_log_scale(results: Results, column: str) -> bool:
    """Whether a number among the hyperparameters is best seen by its logarithm."""
    declared = any(kind.startswith("log") for kind, _, _ in _domains_of(results, column))
    return is_log(results.trials[column].astype(float), LOG_FROM_RATIO, declared)


def bounds(results: Results, column: str) -> tuple[float, float] | None:
    """The smallest and the largest value that the space allows; None where it was not searched as a number."""
    domains = _domains_of(results, column)
    if not domains:
        return None
    high = max(high - 1 if "int" in kind else high for kind, _, high in domains)  # an integer's end is excluded
    return min(low for _, low, _ in domains), high


def unit_values(results: Results, values: pd.Series) -> pd.Series:
    """A number among the hyperparameters on its own scale: 0 at its lower bound, 1 at the upper."""
    column = str(values.name)
    numbers = values.astype(float)
    low, high = bounds(results, column) or (float(numbers.min()), float(numbers.max()))
    if is_log_scale(results, column) and low > 0:
        numbers, low, high = numbers.map(math.log), math.log(low), math.log(high)
    return ((numbers - low) / ((high - low) or 1.0)).clip(0.0, 1.0)


def categories(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """The number of each value's option, and the options as text."""
    import numpy as np

    found = {plain(value) for value in values}
    options = sorted(found, key=lambda option: (option is not None, isinstance(option, str), option))
    return np.array([options.index(plain(value)) for value in values]), [option_text(option) for option in options]


def option_text(option: Any) -> str:
    return "none" if option is None else short(option)


def _domains_of(results: Results, column: str) -> list[tuple[str, float, float]]:
    """Kind, low and high of each domain that the space has for a hyperparameter, conditional ones too."""
    name = column.removeprefix(c.CONFIG_PREFIX)
    return _walk(results.sweep.get("space"), "", name)


def _walk(description: Any, key: str, name: str) -> list[tuple[str, float, float]]:
    if not isinstance(description, dict):
        return []
    if isinstance(description.get("choice"), list):
        return [domain for option in description["choice"] for domain in _walk(option, key, name)]
    kind = next((kind for kind in DOMAINS if isinstance(description.get(kind), list)), None)
    if kind is not None:
        low, high = description[kind]
        return [(kind, float(low), float(high))] if key == name else []
    return [domain for inner, value in description.items() for domain in _walk(value, inner, name)]
