"""Plans of simulated sweeps, and what their trials report: a formula of configuration, seed and epoch."""

from __future__ import annotations

import functools
import json
import math
import random
import zlib
from dataclasses import dataclass
from typing import Any

from ray import tune

from balltrain.search.plan import Plan, make_plan
from balltrain.search.sweep import Sweep
from balltrain.tasks.base import DataRequest, Hyperparameters, Task

NAME = "simulated"
SPACES = {
    "wide": {"lr": tune.loguniform(1e-6, 1.0), "width": tune.choice([4, 8, 16, 32])},
    "small": {"width": tune.choice([4, 8, 16]), "depth": tune.choice([1, 2, 3])},  # configurations come again
    "grid": {"width": tune.grid_search([4, 8, 16, 32, 64]), "depth": tune.grid_search([1, 2, 3])},
}


class Simulated(Task):
    name = NAME

    class Hyperparameters(Hyperparameters):
        width: int = 8
        depth: int = 1


class Largest(Simulated):
    """The largest objective is the best."""

    mode = "max"


@dataclass(frozen=True)
class Ref:
    """A reference to a task that no file defines, and that needs no data."""

    name: str
    mode: str
    file: str | None = None
    code_id: str = ""

    def load(self) -> Task:
        return Simulated() if self.mode == "min" else Largest()


@functools.cache
def plan_of(key: str) -> Plan:
    """By the options of its sweep, as JSON; `space` and `mode` are names."""
    options = json.loads(key)
    space, mode = options.pop("space"), options.pop("mode")
    ref = Ref(NAME, mode)
    sweep = Sweep(ref.load(), SPACES[space], **options)
    return make_plan(sweep, ref, name=NAME, request=DataRequest())  # type: ignore[arg-type]


def options_of(rng: random.Random, *, slow: float = 0.02) -> dict[str, Any]:
    """Options of a sweep; that of a searcher which takes milliseconds for a proposal with probability `slow`."""
    options: dict[str, Any] = {"space": "wide", "mode": rng.choice(["min", "min", "max"]), "seed": rng.randrange(3)}
    options["trials"], options["epochs"] = rng.choice([3, 10, 40]), rng.choice([2, 9, 60, 100])
    options["keep_checkpoints"] = rng.choice([1, 2, 5])
    if rng.random() < slow:
        options["trials"], options["epochs"] = rng.choice([4, 8]), rng.choice([5, 13])
        options["searcher"] = rng.choice(["hyperopt", "freeze-thaw"])
    else:
        options["searcher"] = rng.choice(["random", "random", "sobol", "grid"])
    if options["searcher"] == "grid":
        options["space"] = "grid"
    elif options["searcher"] == "random" and rng.random() < 0.4:
        options["space"] = "small"
    if options["searcher"] != "freeze-thaw":
        options |= _stopping(rng, options)
    if rng.random() < 0.2:
        options["hyperparameters"] = {"patience": rng.choice([2, 4])}
    if "folds" not in options:
        options |= _after_search(rng, options["epochs"])
    return options | _limits(rng, options)


def _stopping(rng: random.Random, options: dict[str, Any]) -> dict[str, Any]:
    if rng.random() < 0.15:
        return {"scheduler": "none", "folds": rng.choice([2, 3])}
    if rng.random() < 0.15:
        return {"scheduler": "none"}
    grace = rng.choice([1, 1, min(2, options["epochs"])])
    return {"scheduler": "asha", "grace": grace, "reduction_factor": rng.choice([2, 2.5, 3])}


def _after_search(rng: random.Random, epochs: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.3:
        found |= {"continue_best": rng.choice([1, 3]), "continue_epochs": epochs + rng.choice([1, 5])}
        if rng.random() < 0.3:
            found["continue_patience"] = 3
    if rng.random() < 0.3:
        found |= {"confirm": rng.choice([1, 2]), "repeats": rng.choice([2, 3])}
    return found


def _limits(rng: random.Random, options: dict[str, Any]) -> dict[str, Any]:
    """In virtual time an epoch takes a second or some."""
    if rng.random() < 0.75:
        return {}
    kind = rng.choice(["time_budget", "cpu_hours", "until", "stop_when_flat"])
    if kind == "time_budget":
        return {"time_budget": float(rng.choice([40, 200]))}
    if kind == "cpu_hours":
        return {"cpu_hours": rng.choice([60, 400]) / 3600}
    if kind == "stop_when_flat":
        return {"stop_when_flat": rng.choice([2, 5])}
    return {} if "folds" in options else {"until": 0.2 if options["mode"] == "min" else 0.8}


def worth_of(config: dict[str, Any], seed: int) -> float:
    """What a configuration is worth, from 0 to 1: it falls to that."""
    key = f"{config.get('lr')} {config.get('width')} {config.get('depth')} {seed}"
    return zlib.crc32(key.encode()) / 2**32


def row_of(config: dict[str, Any], seed: int, epoch: int, *, mode: str, seconds: float) -> dict[str, Any]:
    """Some configurations diverge, tie with others, or have no objective in some of their epochs."""
    worth = worth_of(config, seed)
    value: float | None = worth + 1 / (epoch + 1)
    if 0.3 < worth < 0.4:
        value = round(worth + 1 / (epoch + 1), 1)
    if worth > 0.93 and epoch > worth * 3:
        value = math.nan
    elif 0.5 < worth < 0.55 and epoch % 3 == 0:
        value = None
    if value is not None and mode == "max":
        value = 1 - value
    return {
        "epoch": epoch,
        "seconds": seconds,
        "lr": config["lr"],
        "train_loss": value,
        "val_loss": value,
        "metrics": {},
        "objective": value,
        "num_params": 1,
        "node": "simulated",
    }


def fails_by_itself(config: dict[str, Any], seed: int, epoch: int) -> bool:
    """Whether an epoch raises an error that the next attempt meets again."""
    worth = worth_of(config, seed)
    return 0.88 < worth < 0.92 and epoch == 2


def runs_out_of_patience(rows: list[dict[str, Any]], patience: int | None, mode: str) -> bool:
    """After the rows of a trial so far."""
    if patience is None:
        return False
    sign = 1 if mode == "min" else -1
    known = [(sign * row["objective"], row["epoch"]) for row in rows if row["objective"] is not None]
    return bool(known) and len(rows) - min(known)[1] >= patience
