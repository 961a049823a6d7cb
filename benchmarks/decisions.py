"""What a decision of freeze-thaw costs, by the number of trials that it knows, each with 20 rows, on one core.

    OMP_NUM_THREADS=1 python benchmarks/decisions.py [--trials 20 100 500] [--decisions 60]

The worst includes fitting the model's parameters again. The baseline is a proposal of hyperopt that knows as many.
"""

import argparse
import json
import math
import statistics
import time

import numpy as np
from ray import tune

from balltrain.records.columns import Status
from balltrain.records.state import Trial
from balltrain.search.freeze_thaw import FreezeThaw
from balltrain.search.searchers import build_searcher
from balltrain.search.space import Space

EPOCHS = 20
SPACE = Space({f"x{n}": tune.uniform(0.0, 1.0) for n in range(6)} | {"lr": tune.loguniform(1e-5, 1e-1)})


def worth(point: dict) -> float:
    return abs(math.log10(point["lr"]) + 3) + sum((point[f"x{n}"] - 0.3) ** 2 for n in range(6))


def trial_at(number: int, point: dict) -> Trial:
    trial = Trial(number, {}, point, 0)
    trial.order = number
    return trial


def milliseconds(count: int, decisions: int) -> tuple[list[float], list[float]]:
    """Of so many decisions of freeze-thaw and of proposals by hyperopt, after so many trials."""
    random, trials = np.random.default_rng(0), []
    ours, theirs = FreezeThaw(SPACE, "min", 0, EPOCHS, 10**6), build_searcher("hyperopt", SPACE, "min", 0)
    for n in range(count):
        trial = trial_at(n, SPACE.from_unit_cube(random.random(len(SPACE.dimensions)).tolist()))
        trials.append(trial)
        for epoch in range(1, EPOCHS + 1):
            ours.observe(trial, epoch, worth(trial.point) + 2 / epoch + 0.01 * random.standard_normal())
        trial.status = Status.PAUSED if n % 2 else Status.COMPLETED
        theirs.add(n, trial.point)
        theirs.tell(n, worth(trial.point))
    found: tuple[list[float], list[float]] = [], []
    for n in range(count, count + decisions):
        start = time.process_time()
        chosen = ours.decide(trials)
        found[0].append(1000 * (time.process_time() - start))
        start = time.process_time()
        theirs.suggest(n)
        found[1].append(1000 * (time.process_time() - start))
        trial = trial_at(n, chosen if isinstance(chosen, dict) else chosen.point)
        trials.append(trial)
        for epoch in range(1, EPOCHS + 1):
            ours.observe(trial, epoch, worth(trial.point) + 2 / epoch)
        trial.status = Status.PAUSED
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 100, 500])
    parser.add_argument("--decisions", type=int, default=60)
    options = parser.parse_args()
    out = {}
    for count in options.trials:
        ours, theirs = milliseconds(count, options.decisions)
        out[count] = {
            "median_ms": statistics.median(ours),
            "worst_ms": max(ours),
            "hyperopt_ms": statistics.median(theirs),
        }
        print(
            f"{count:5} trials, {count * EPOCHS:6} rows: {out[count]['median_ms']:.0f} ms at the median, "
            f"{max(ours):.0f} ms at most; hyperopt {out[count]['hyperopt_ms']:.0f} ms"
        )
    print(json.dumps(out))


if __name__ == "__main__":
    main()
