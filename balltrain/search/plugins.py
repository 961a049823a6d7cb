"""Searchers and stopping rules by name: balltrain's own, and those of installed packages, which entry points name."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

import numpy as np

from balltrain.errors import BalltrainError, UsageError
from balltrain.records.state import Point
from balltrain.search.space import Space
from balltrain.tasks.plain import plain
from balltrain.tasks.user_code import described, is_users_code, told_as_users

Made = TypeVar("Made")


@dataclass(frozen=True)
class Registry(Generic[Made]):
    """What there is of one kind, by name. An entry point is `module:attribute`, a class or a function that makes one.

    `arguments` are what it is called with, in words; `methods` what each object has. `apart` are names of what is
    made elsewhere.
    """

    kind: str  # in words
    group: str  # of the entry points
    built_in: Mapping[str, Callable[..., Made]]
    arguments: tuple[str, ...]
    methods: tuple[str, ...]
    apart: tuple[str, ...] = ()

    def own_names(self) -> list[str]:
        """Of those that come with balltrain."""
        return [*self.built_in, *self.apart]

    def names(self) -> list[str]:
        """Of all, those of plug-ins last."""
        own = self.own_names()
        return [*own, *sorted({point.name for point in self._points()} - set(own))]

    def is_plugin(self, name: str) -> bool:
        return name not in self.own_names()

    def check(self, name: str) -> None:
        """Raises UsageError for a name that nothing has, or that two have; imports nothing."""
        points = [point for point in self._points() if point.name == name]
        if not points and self.is_plugin(name):
            known = self.names()
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"unknown {self.kind} {name!r}: {hint}choose one of {', '.join(known)}, or install the package that "
                "has it"
            )
        if points and not self.is_plugin(name):
            raise UsageError(
                f"{_described(points[0])} has the name of a {self.kind} that comes with balltrain, {name}: rename it "
                "there, or uninstall it"
            )
        if len(points) > 1:
            both = " and ".join(_described(point) for point in points)
            raise UsageError(f"two {self.kind}s are called {name}: {both}; uninstall one of them")

    def load(self, name: str) -> Callable[..., Made]:
        """What makes one. Raises UsageError as `check` does, BalltrainError where a plug-in breaks."""
        self.check(name)
        if not self.is_plugin(name):
            return self.built_in[name]
        (point,) = (point for point in self._points() if point.name == name)
        return self._imported(point)

    def make(self, name: str, *arguments: Any) -> Made:
        """One of that name. Raises as `load` does, and UsageError for a plug-in that lacks a method."""
        maker = self.load(name)
        if not self.is_plugin(name):
            return maker(*arguments)
        what = f"the {self.kind} {name}"
        try:
            inspect.signature(maker).bind(*arguments)
        except TypeError:
            called = f"{getattr(maker, '__name__', name)}({', '.join(self.arguments)})"
            raise UsageError(f"{what} cannot be made by {called}: take these arguments") from None
        with told_as_users():
            made = maker(*arguments)
        for method in self.methods:
            if not callable(getattr(made, method, None)):
                *others, last = self.methods
                raise UsageError(f"{what} has no method {method}: a {self.kind} has {', '.join(others)} and {last}")
        return made

    def _points(self) -> tuple[EntryPoint, ...]:
        return _installed(self.group, tuple(sys.path))

    def _imported(self, point: EntryPoint) -> Callable[..., Made]:
        module, _, attribute = point.value.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in filter(None, attribute.split(".")):
                found = getattr(found, part)
        except Exception as error:
            raise BalltrainError(f"{_described(point)} cannot be imported: {described(error)}") from error
        if not callable(found):
            raise UsageError(f"{_described(point)} is {found!r}: name a class, by module:Class")
        is_users_code(str(getattr(sys.modules[getattr(found, "__module__", module)], "__file__", "")))
        return found  # type: ignore[no-any-return]  # checked above as far as it can be


class CheckedSearcher:
    """A plug-in's searcher, whose points are looked at before they are tried."""

    def __init__(self, name: str, searcher: Any, space: Space) -> None:
        self._what, self._searcher, self._space = f"the searcher {name}", searcher, space

    def suggest(self, number: int) -> Point:
        with told_as_users():
            return checked_point(self._searcher.suggest(number), self._space, self._what)

    def add(self, number: int, point: Point) -> None:
        with told_as_users():
            self._searcher.add(number, point)

    def tell(self, number: int, objective: float | None) -> None:
        with told_as_users():
            self._searcher.tell(number, objective)


class CheckedRule:
    """A plug-in's stopping rule, which has to say what it decides."""

    def __init__(self, name: str, rule: Any) -> None:
        self._what, self._rule = f"the scheduler {name}", rule

    def goes_on(self, trial_id: str, epoch: int, objective: float) -> bool:
        with told_as_users():
            found = self._rule.goes_on(trial_id, epoch, objective)
        if not isinstance(found, bool | np.bool_):
            raise BalltrainError(f"{self._what} decides {found!r} by goes_on: return True or False")
        return bool(found)

    def rungs(self) -> dict[int, dict[str, float]]:
        with told_as_users():
            return dict(self._rule.rungs())


def checked_point(point: Any, space: Space, what: str) -> Point:
    """A point as journals have it. Raises BalltrainError for one that the space does not hold."""
    if not isinstance(point, Mapping):
        raise BalltrainError(f"{what} proposes {point!r}: return a dict of a number for each active dimension")
    found = {str(label): plain(value) for label, value in point.items()}
    active = {dimension.label: dimension for dimension in space.dimensions if dimension.active(found)}
    for label in [*active, *found]:
        if label not in found:
            raise BalltrainError(f"{what} proposes nothing for {label}: the space has {', '.join(active)} there")
        if label not in active:
            raise BalltrainError(f"{what} proposes {label}, which does not count there: leave it out")
        dimension, value = active[label], found[label]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        highest = dimension.high - (dimension.kind != "float" and not dimension.step)
        if not is_number or not dimension.low <= value <= highest or dimension.clean(value) != value:
            raise BalltrainError(
                f"{what} proposes {value!r} for {label}, which is outside of the space: make points by "
                "space.from_unit_cube, or values by dimension.clean"
            )
    return found


@functools.lru_cache(maxsize=8)
def _installed(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Looked up once for each `sys.path`: all installed packages are read for it, which takes 10 ms."""
    return tuple(entry_points(group=group))


def _described(point: EntryPoint) -> str:
    package = f" of {point.dist.name} {point.dist.version}" if point.dist is not None else ""
    return f"the plug-in {point.name} ({point.value}{package})"
