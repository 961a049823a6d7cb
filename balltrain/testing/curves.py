"""Problems made of learning curves: for each configuration the losses of all epochs, known without training.

A family of generated ones has what real trainings have: curves that cross, noise of the seed and of the epoch,
values that tie, divergence, and good regions that are narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import create_model

from balltrain.search.space import Dimension, Space
from balltrain.tasks.base import Hyperparameters, Task

KINDS = ("smooth", "noisy", "tied", "diverging", "narrow", "nested")


@dataclass(frozen=True)
class Problem:
    """`curve` gives a configuration's losses, one an epoch (epochs,), NaN from where it diverged. Less is better."""

    name: str
    space: Mapping[str, Any]  # in Ray Tune's search space API
    epochs: int
    curve: Callable[[Mapping[str, Any]], np.ndarray]

    def task(self) -> Task:
        """A task that cannot be trained. Its defaults are the centre of the space: nobody knows better ones."""
        space = Space(self.space)
        centre = space.decode(space.from_unit_cube([0.5] * len(space.dimensions)))
        names = {name for point in space.corners() for name in space.decode(point)}
        fields: dict[str, Any] = dict.fromkeys(sorted(names), (Any, None)) | {k: (Any, v) for k, v in centre.items()}

        model = create_model("Hyperparameters", __base__=Hyperparameters, **fields)
        task: Task = type("Curves", (Task,), {"name": self.name, "Hyperparameters": model})()
        return task


def generated_problem(number: int, epochs: int = 40) -> Problem:
    """The problem of that number: the same for ever. Its kind is `KINDS[number % 6]`."""
    kind = KINDS[number % len(KINDS)]
    return _Generated(np.random.default_rng([20261127, number]), kind, f"{kind}-{number}", epochs).problem()


class _Generated:
    """Losses fall from one to a floor, as a power of the epoch; speed and floor depend on the configuration.

    The first dimension acts as a learning rate: the higher, the faster and the noisier, until it diverges; below
    some value nothing is learned. The floor is a bowl in a few directions, each dimension having its own weight.
    """

    def __init__(self, random: np.random.Generator, kind: str, name: str, epochs: int):
        from ray import tune

        self.kind, self.name, self.epochs = kind, name, epochs
        narrow, noisy = kind == "narrow", kind in ("noisy", "diverging")
        num = 8 if narrow else int(random.integers(3, 7))
        self.seed = int(random.integers(2**31))
        self.best = random.uniform(0.2, 0.8, num)  # in the unit cube
        self.weights = random.exponential(1.0, num) ** 1.5  # a few dimensions matter
        self.weights *= (3.0 if narrow else 1.0) / self.weights.sum()
        self.mix = np.eye(num) + 0.4 * random.standard_normal((num, num)) / math.sqrt(num)
        self.reach = random.uniform(0.12, 0.2) if narrow else random.uniform(0.35, 0.6)  # of the good region
        self.spread = random.uniform(2, 5)  # in powers of e, between the slowest and the fastest
        self.power = random.uniform(0.6, 1.4)
        self.diverges_above = random.uniform(0.5, 0.7) if kind in ("diverging", "narrow") else 1.1
        self.learns_above = random.uniform(0.2, 0.35) if kind in ("tied", "narrow") else -0.1
        self.epoch_noise = 0.02 if noisy else 0.002
        self.trial_noise = 0.02 if noisy else 0.004
        self.overfits = random.uniform(0, 0.1)
        self.digits = 1 / 200 if kind == "tied" else 1e-6  # as an accuracy on 200 items
        domains = [tune.loguniform(1e-6, 1.0), tune.uniform(-1.0, 1.0), tune.lograndint(4, 513)]
        domains += [tune.uniform(0.0, 1.0), tune.choice([True, False]), tune.quniform(0.0, 1.0, 0.1)]
        self.space: dict[str, Any] = {f"x{n}": domains[n % len(domains)] for n in range(num)}
        self.offsets = {"plain": 0.0}
        if kind == "nested":
            inner = {f"x{num - 1}": self.space.pop(f"x{num - 1}")}
            self.space["layout"] = tune.choice(["plain", {"layout": "wide", **inner}, "deep"])
            self.offsets = {"plain": 0.05, "wide": 0.0, "deep": 0.15}

    def problem(self) -> Problem:
        return Problem(self.name, self.space, self.epochs, self.curve)

    def curve(self, config: Mapping[str, Any]) -> np.ndarray:
        """(epochs,), from 1 at the start towards a floor of 0."""
        u = self._unit(config)
        seed = np.frombuffer(u.astype(np.float32).tobytes(), np.uint32).tolist()
        random = np.random.default_rng([self.seed, *seed])
        away = self.mix @ (u - self.best)
        distance = float((self.weights * away**2).sum()) / self.reach**2
        floor = 0.8 * (1 - math.exp(-distance)) + 0.1 * max(0.0, u[0] - self.best[0])
        floor += self.offsets[config.get("layout", "plain")]
        speed = math.exp(self.spread * (u[0] - 0.5)) * (1 + 0.5 * u[1])
        epoch = np.arange(1, self.epochs + 1)
        losses = floor + (1 - floor) * (1 + 2 * speed * epoch) ** -self.power
        losses += self.overfits * u[-1] * np.log1p(np.maximum(0, epoch * speed / self.epochs - 0.3))
        losses += self.trial_noise * random.standard_normal()
        losses += self.epoch_noise * (0.5 + u[0]) * random.standard_normal(self.epochs)
        if u[0] < self.learns_above:
            losses[:] = 1.0
        losses = np.round(losses / self.digits) * self.digits
        excess = u[0] + 0.1 * away[1] - self.diverges_above
        if excess > 0:  # the farther beyond, the sooner
            losses[int(self.epochs * max(0.0, 0.6 - 4 * excess) * random.random()) :] = math.nan
        return np.asarray(losses)

    def _unit(self, config: Mapping[str, Any]) -> np.ndarray:
        """Coordinates in the unit cube; the optimum's where a dimension does not count."""
        found = self.best.copy()
        for dimension in Space(self.space).dimensions:
            key = dimension.label.split("/")[-1]
            if key.startswith("x") and key in config:
                found[int(key[1:])] = _to_unit(dimension, config[key])
        return found


def _to_unit(dimension: Dimension, value: Any) -> float:
    if dimension.kind == "choice":
        return 0.3 if value else 0.7
    if dimension.log:
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return float((value - dimension.low) / (dimension.high - dimension.low))
