"""Search spaces, in Ray Tune's search space API, as a list of labelled dimensions.

A point holds one number a dimension: `{label: number}`, for a choice the option's index. Every searcher
proposes points, the journal keeps them, and `Space.decode` makes hyperparameters of them. A domain inside a
choice is a dimension of its own that counts only where the choice fell on it; a dict that is an option of a choice
adds its keys to the configuration. Any other dict, and any list, is a hyperparameter's value: domains inside are
dimensions of their own, and what they become is put in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from balltrain.errors import UsageError
from balltrain.records.state import Point
from balltrain.tasks.plain import plain


@dataclass(frozen=True)
class Dimension:
    """One number to choose. `high` is a choice's number of options, and excluded for integers without a step.

    `falling` is a range that was written from its upper bound to its lower, which searchers that go through it in
    order begin with.
    """

    label: str
    kind: str  # "float", "int" or "choice"
    low: float
    high: float
    log: bool = False
    step: float | None = None  # values are multiples of it
    condition: tuple[tuple[str, int], ...] = ()  # choices, with the option each must have, for this to count
    falling: bool = False

    def active(self, point: Mapping[str, float | int]) -> bool:
        return all(point.get(label) == option for label, option in self.condition)

    def from_unit(self, u: float) -> float | int:
        """The value at `u` of [0, 1): uniform in the dimension's own scale."""
        if self.kind == "choice":
            return min(int(u * self.high), int(self.high) - 1)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + u * (high - low)
        return self.clean(math.exp(value) if self.log else value)

    def to_unit(self, value: float) -> float:
        """A coordinate of [0, 1) that `from_unit` gives the value at."""
        if self.kind == "choice":
            return (value + 0.5) / self.high
        value = value + 0.5 if self.kind == "int" and not self.step else value
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        unit = ((math.log(value) if self.log else value) - low) / (high - low) if high > low else 0.5
        return min(max(unit, 0.0), 1 - 1e-9)

    def clean(self, value: float) -> float | int:
        """Rounded to the dimension's step and type, and inside its bounds in spite of rounding."""
        if self.kind == "choice":
            return int(value)
        if self.step:
            value = round(value / self.step) * self.step
        if self.kind == "int":
            return int(min(max(math.floor(value), self.low), self.high - (0 if self.step else 1)))
        return float(min(max(value, self.low), self.high))


class Space:
    """The dimensions of a search space. Raises UsageError where it holds what no searcher can propose."""

    def __init__(self, space: Mapping[str, Any]):
        self.space = {key: _plain(value, str(key)) for key, value in space.items()}
        self.grids: list[str] = []  # labels of what tune.grid_search lists, which the searcher grid goes through
        self.dimensions: list[Dimension] = []
        for key, value in self.space.items():
            if not isinstance(key, str) or "/" in key:
                raise UsageError(f"the space has the key {key!r}: keys are names of hyperparameters, flat")
            self.dimensions += _dimensions(key, value, (), self.grids)

    def decode(self, point: Mapping[str, float | int]) -> dict[str, Any]:
        """The hyperparameters at a point; constants of the space are among them."""
        config: dict[str, Any] = {}
        for key, value in self.space.items():
            _decode(key, key, value, point, config)
        return config

    def from_unit_cube(self, values: Sequence[float]) -> Point:
        """The point at coordinates in [0, 1), one a dimension; those of inactive dimensions go unused."""
        point: Point = {}
        for dimension, value in zip(self.dimensions, values, strict=True):
            if dimension.active(point):
                point[dimension.label] = dimension.from_unit(float(value))
        return point

    def encode(self, config: Mapping[str, Any]) -> Point | None:
        """The point that decodes to these hyperparameters; None where the space does not hold them."""
        point: Point = {}
        for key, value in self.space.items():
            if not _encode(key, key, value, config, self, point):
                return None
        return point

    def nearest(self, config: Mapping[str, Any]) -> Point:
        """The point for these hyperparameters; where the space does not hold one's value, its middle."""
        point: Point = {}
        for key, value in self.space.items():
            found: Point = {}
            if _encode(key, key, value, config, self, found):
                point |= found
                continue
            for dimension in self.dimensions:
                if dimension.label.split("/")[0] == key and dimension.active(point):
                    point[dimension.label] = dimension.from_unit(0.5)
        return point

    def names(self) -> set[str]:
        """Hyperparameters that it sets, those inside of choices too."""
        return {name for key, value in self.space.items() for name in (key, *_names_inside(value))}

    def corners(self) -> Iterator[Point]:
        """Points that together hold every bound of every dimension and every option, to be validated."""
        for dimension in self.dimensions:
            values = (
                range(int(dimension.high))
                if dimension.kind == "choice"
                else (dimension.clean(dimension.low), dimension.clean(dimension.high))
            )
            for value in values:
                fixed = dict(dimension.condition) | {dimension.label: value}
                point: Point = {}
                for other in self.dimensions:
                    if other.active(point | fixed):
                        point[other.label] = fixed.get(other.label, other.from_unit(0.5))
                yield point
        if not self.dimensions:
            yield {}

    def to_json(self) -> dict[str, Any]:
        """A description that is equal for equal spaces: kept in `sweep.json`, compared on resume."""
        return {key: _describe(value) for key, value in self.space.items()}


def _options(value: Any) -> Sequence[Any] | None:
    """Of a choice, or of a grid: what it chooses from."""
    from ray.tune.search import sample

    if isinstance(value, sample.Categorical):
        return value.categories
    if isinstance(value, Mapping) and set(value) == {"grid_search"}:
        options = value["grid_search"]
        return list(options) if isinstance(options, list | tuple | range) else [options]
    return None


def _names_inside(value: Any) -> Iterator[str]:
    """Of the options of a choice that set several hyperparameters."""
    for option in _options(value) or ():
        if isinstance(option, Mapping) and _options(option) is None:
            for name, inner in option.items():
                yield name
                yield from _names_inside(inner)
        else:
            yield from _names_inside(option)


def _dimensions(
    label: str, value: Any, condition: tuple[tuple[str, int], ...], grids: list[str] | None = None
) -> list[Dimension]:
    """Those of a value, in order; labels of grids are added to `grids`."""
    from ray.tune.search import sample

    options = _options(value)
    if options is not None:
        if not options:
            raise UsageError(f"{label}: there is nothing to choose from")
        if isinstance(value, Mapping) and grids is not None:
            grids.append(label)
        found = [Dimension(label, "choice", 0, len(options), condition=condition)]
        for number, option in enumerate(options):
            found += _dimensions(f"{label}/{number}", option, (*condition, (label, number)), grids)
        return found
    if isinstance(value, Mapping):
        return [d for key, inner in value.items() for d in _dimensions(f"{label}/{key}", inner, condition, grids)]
    if isinstance(value, list | tuple):
        inside = enumerate(value)
        return [d for number, inner in inside for d in _dimensions(f"{label}/{number}", inner, condition, grids)]
    if not isinstance(value, sample.Domain):
        return []
    if not isinstance(value, sample.Float | sample.Integer):
        raise UsageError(f"{label}: {type(value).__name__} is not supported, use tune.uniform, loguniform, choice …")
    sampler: Any = value.get_sampler()  # type: ignore[no-untyped-call]  # Ray has no types here
    step = None
    if isinstance(sampler, sample.Quantized):
        sampler, step = sampler.sampler, sampler.q
    if isinstance(sampler, sample.Normal) or not math.isfinite(value.lower) or not math.isfinite(value.upper):
        raise UsageError(f"{label}: a domain needs bounds, use tune.uniform or tune.loguniform")
    kind = "float" if isinstance(value, sample.Float) else "int"
    log = isinstance(sampler, sample.LogUniform)
    lower, upper, step = plain(value.lower), plain(value.upper), plain(step)
    low, high = sorted((lower, upper))
    return [Dimension(label, kind, low, high, log, step, condition, falling=lower > upper)]


def _decode(
    key: str,
    label: str,
    value: Any,
    point: Mapping[str, float | int],
    config: dict[str, Any],
    *,
    is_option: bool = False,
) -> None:
    if (options := _options(value)) is not None:
        option = int(point[label])
        _decode(key, f"{label}/{option}", options[option], point, config, is_option=True)
    elif isinstance(value, Mapping) and is_option:  # it sets several hyperparameters
        for inner_key, inner in value.items():
            _decode(inner_key, f"{label}/{inner_key}", inner, point, config)
    else:
        config[key] = _filled_in(label, value, point)


def _filled_in(label: str, value: Any, point: Mapping[str, float | int]) -> Any:
    """A value with each domain inside replaced by what it became."""
    from ray.tune.search import sample

    if (options := _options(value)) is not None:
        option = int(point[label])
        return _filled_in(f"{label}/{option}", options[option], point)
    if isinstance(value, sample.Domain):
        return point[label]
    if isinstance(value, Mapping):
        return {key: _filled_in(f"{label}/{key}", inner, point) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_filled_in(f"{label}/{number}", inner, point) for number, inner in enumerate(value))
    return value


def _plain(value: Any, label: str) -> Any:
    """A space with numbers of numpy as Python's. Raises UsageError where a domain is in what is not looked into."""
    from ray.tune.search import sample

    if isinstance(value, sample.Categorical):
        # a domain of its own: the user's may serve another space
        options: Any = sample.Categorical([_plain(option, label) for option in value.categories])
        return options
    if isinstance(value, Mapping):
        return {key: _plain(inner, f"{label}/{key}") for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(inner, f"{label}/{number}") for number, inner in enumerate(value))
    if isinstance(value, set | frozenset) and any(isinstance(inner, sample.Domain) for inner in value):
        raise UsageError(f"{label}: a set of domains has no order, use a list")
    return plain(value)


def _encode(
    key: str,
    label: str,
    value: Any,
    config: Mapping[str, Any],
    space: Space,
    point: Point,
    *,
    is_option: bool = False,
) -> bool:
    """Whether a key's value holds what the configuration has; its numbers are added to the point."""
    if (options := _options(value)) is not None:
        return _chosen(
            label,
            options,
            point,
            lambda at, option, inner: _encode(key, at, option, config, space, inner, is_option=True),
        )
    if isinstance(value, Mapping) and is_option:
        return all(_encode(name, f"{label}/{name}", inner, config, space, point) for name, inner in value.items())
    return key in config and _fits(label, value, config[key], space, point)


def _fits(label: str, value: Any, found: Any, space: Space, point: Point) -> bool:
    """Whether a value, with domains inside, can become what was found; their numbers are added to the point."""
    from ray.tune.search import sample

    if (options := _options(value)) is not None:
        return _chosen(label, options, point, lambda at, option, inner: _fits(at, option, found, space, inner))
    if isinstance(value, sample.Domain):
        dimension = next(d for d in space.dimensions if d.label == label)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return False
        if not dimension.low <= found <= dimension.high or dimension.clean(found) != found:
            return False
        point[label] = dimension.clean(found)
        return True
    if isinstance(value, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(value):
            return False
        return all(_fits(f"{label}/{name}", inner, found[name], space, point) for name, inner in value.items())
    if isinstance(value, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(value):
            return False
        pairs = enumerate(zip(value, found, strict=True))
        return all(_fits(f"{label}/{number}", inner, other, space, point) for number, (inner, other) in pairs)
    return bool(_describe(found) == _describe(value))


def _chosen(label: str, options: Sequence[Any], point: Point, fits: Callable[[str, Any, Point], bool]) -> bool:
    """Whether one of the options of a choice fits; the first that does, and its numbers, are added to the point."""
    for number, option in enumerate(options):
        inner: Point = {label: number}
        if fits(f"{label}/{number}", option, inner):
            point.update(inner)
            return True
    return False


def _describe(value: Any) -> Any:
    from ray.tune.search import sample

    if (options := _options(value)) is not None:
        return {"choice": [_describe(option) for option in options]}
    if isinstance(value, sample.Domain):
        (dimension,) = _dimensions("", value, ())
        return {
            "log" * dimension.log + dimension.kind: [dimension.low, dimension.high],
            **({"step": dimension.step} if dimension.step else {}),
            **({"falling": True} if dimension.falling else {}),
        }
    if isinstance(value, Mapping):
        return {key: _describe(inner) for key, inner in value.items()}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_describe(inner) for inner in value]
    return to_jsonable_python(value, fallback=repr)
