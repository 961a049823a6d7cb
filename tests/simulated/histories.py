"""Histories: one integer makes a sweep and all that happens to it."""

from __future__ import annotations

import dataclasses
import functools
import json
import random
import re
import time
from dataclasses import dataclass
from typing import Any

from simulated import plans
from simulated.oracle import Wrong
from simulated.stored import StoredWorld
from simulated.world import World

# actions, and how often each comes
COMMON = {"rounds": 40, "work": 6, "hold": 5, "deliver": 5, "double": 2}
NODES = {
    "node_joins": 1,
    "node_dies": 1,
    "node_is_cut": 1,
    "trial_is_killed": 1,
    "dies_late": 1,
    "trial_raises": 2,
    "stop_trial": 1,
}
ENDS = {"kill": 2, "kill_soon": 3, "lose_power": 2, "interrupt": 1, "terminate": 1, "trial_cannot_write": 0.5}
ENDS |= {"start_is_killed": 2}
DISKS = {"disk_fills": 0.5, "disk_has_room": 1, "sync_fails": 1, "wait": 1}
STORES = {"store_is_away": 2, "store_loses_answers": 2, "second_driver": 2, "falls_asleep": 1, "wakes": 2}
STORES |= {"machine_is_lost": 2}
MOST = {"rounds": 16, "kill_soon": 60, "start_is_killed": 40}


@dataclass(frozen=True)
class History:
    """`slots` are those of the nodes that are there at first; it `is_stored` in object storage, or in a folder."""

    seed: int
    options: dict[str, Any]
    slots: tuple[int, ...]
    actions: tuple[tuple[str, int], ...]
    is_stored: bool = False

    def run(self) -> World:
        """Where one trial runs at a time, what it comes to is what it would have come to in peace."""
        world = (StoredWorld if self.is_stored else World)(self.options, self.seed, self.slots)
        limits = world.plan.sweep
        alone = self.slots == (1,) and "node_joins" not in dict(self.actions)
        world.is_forgiving = alone and limits.time_budget is None and limits.cpu_hours is None
        world.run(list(self.actions))
        if world.is_forgiving and world.promises.outcome() != in_peace(json.dumps(self.options)):
            raise Wrong("the sweep came to something else than if nothing had happened to it")
        return world

    def error(self) -> Exception | None:
        try:
            self.run()
        except Exception as error:
            return error
        return None

    def __str__(self) -> str:
        where = "object storage" if self.is_stored else "a folder"
        return f"{self.options}, nodes with {self.slots} slots, in {where}\n" + "\n".join(
            f"  {n}({k})" for n, k in self.actions
        )


def run_seed(seed: int, *, slow: float = 0.0) -> World:
    """Raises Wrong that says the seed, what is wrong, and the shortest part of the history that goes wrong."""
    history = history_of(seed, slow=slow)
    try:
        return history.run()
    except Exception as error:
        raise Wrong(f"seed {seed}: {_said(error)}\n{shortest(history)}") from error


def shortest(history: History, for_s: float = 60.0) -> History:
    """Without the actions that it goes wrong without, by an error of the same kind, and with the smallest numbers."""
    deadline, kind = time.monotonic() + for_s, _kind(history.error())

    def goes_wrong(actions: list[tuple[str, int]]) -> bool:
        return time.monotonic() < deadline and _kind(_with(history, actions).error()) == kind

    actions, size = list(history.actions), len(history.actions)
    while size:
        for start in reversed(range(0, len(actions), size)):
            if goes_wrong(fewer := actions[:start] + actions[start + size :]):
                actions = fewer
        size //= 2
    for place, (name, number) in enumerate(actions):
        for smaller in range(number):
            if goes_wrong(other := [*actions[:place], (name, smaller), *actions[place + 1 :]]):
                actions = other
                break
    return _with(history, actions)


def _with(history: History, actions: list[tuple[str, int]]) -> History:
    return dataclasses.replace(history, actions=tuple(actions))


def _kind(error: BaseException | None) -> str:
    return "" if error is None else re.sub(r"\d+", "", _said(error))[:60]


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


@functools.lru_cache(64)
def in_peace(options: str) -> list[Any]:
    return World(json.loads(options), slots=(1,)).run([]).promises.outcome()


def history_of(seed: int, *, slow: float = 0.02) -> History:
    rng = random.Random(seed)
    calm = rng.random() < 0.6
    options = plans.options_of(rng, slow=slow)
    alone, is_stored = rng.random() < 0.2, rng.random() < 0.2
    slots = (1,) if alone else tuple(rng.choice([1, 2, 4]) for _ in range(rng.choice([1, 2, 3])))
    chances = COMMON | NODES | ENDS | DISKS
    if is_stored:
        chances |= STORES
    if alone:
        chances = {name: chance for name, chance in chances.items() if name != "node_joins"}
    if calm:
        chances |= {"rounds": 150}
    names = rng.choices(list(chances), list(chances.values()), k=rng.choice([20, 60]))
    actions = tuple((name, rng.randrange(MOST.get(name, 8))) for name in names)
    return History(seed, options, slots, actions, is_stored)
