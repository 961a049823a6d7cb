"""Is a search that a time budget ends worse than one of as many epochs that were planned?

    python benchmarks/budgets.py [--searcher random] [--problems 12] [--seeds 3] [--seconds 250]

Simulated sweeps on 4 workers, each epoch a second. For each problem and seed the sweep with the budget comes first;
then one whose number of trials trains as many epochs in all, to 3 % or as near as a number comes. Prints the mean
best loss of both, the mean difference with its 95 % interval over the problems, and how often which was better.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from balltrain.testing.curves import generated_problem
from balltrain.testing.virtual import VirtualSweep, plan_of

WORKERS, WITHIN, TRIES = 4, 0.03, 6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--searcher", default="random")
    parser.add_argument("--problems", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=250.0)
    given = parser.parse_args()
    pairs, epochs = [], []
    for number in range(given.problems):
        for seed in range(given.seeds):
            limited = _run(number, given.searcher, seed, time_budget=given.seconds)
            fixed = _as_long(number, given.searcher, seed, limited)
            pairs.append((_best(limited), _best(fixed)))
            epochs.append((_epochs(limited), _epochs(fixed)))
    limited_best, fixed_best = np.array(pairs).T
    by_problem = (limited_best - fixed_best).reshape(given.problems, given.seeds).mean(axis=1)
    half = 1.96 * by_problem.std(ddof=1) / math.sqrt(given.problems)
    print(f"{given.searcher}: {len(pairs)} pairs of sweeps, {np.mean(epochs, axis=0).round(1)} epochs")
    print(f"  best loss: {limited_best.mean():.4f} with the budget, {fixed_best.mean():.4f} planned")
    median = np.median(limited_best - fixed_best)
    print(f"  difference: {by_problem.mean():+.4f} ± {half:.4f} (95 %), median {median:+.4f}")
    better, worse = (limited_best < fixed_best).sum(), (limited_best > fixed_best).sum()
    print(f"  the budget's is better in {better}, worse in {worse}")


def _run(number: int, searcher: str, seed: int, **options: float) -> VirtualSweep:
    problem = generated_problem(number)
    plan = plan_of(problem, searcher=searcher, seed=seed, **options)
    return VirtualSweep(problem, plan, workers=WORKERS).run()


def _as_long(number: int, searcher: str, seed: int, limited: VirtualSweep) -> VirtualSweep:
    """The planned sweep whose epochs are nearest to those of the limited one."""
    wanted, trials, found = _epochs(limited), len(limited.state.searched), []
    for _ in range(TRIES):
        sweep = _run(number, searcher, seed, trials=trials)
        found.append(sweep)
        if abs(_epochs(sweep) - wanted) <= WITHIN * wanted:
            break
        trials = max(1, round(trials * wanted / _epochs(sweep)))
    return min(found, key=lambda sweep: abs(_epochs(sweep) - wanted))


def _epochs(sweep: VirtualSweep) -> int:
    return sum(trial.epochs for trial in sweep.state.searched)


def _best(sweep: VirtualSweep) -> float:
    best = sweep.state.best
    return 1.0 if best is None or best.objective is None else float(best.objective)


if __name__ == "__main__":
    main()
