"""How many epochs a search for a front needs: MO-ASHA by the production Controller, under a virtual clock.

    python benchmarks/objectives.py --lcbench DIR [--instances odd|even|all] [--seeds N] [--budget 20] [--workers 4]
                                    [--methods …] [--json]

Objectives are the validation error and the seconds of an epoch, of LCBench (see `search.py`). Compares with Optuna's
multi-objective samplers without early stopping, in the same run. `--budget` is in full trainings. Each epoch counts
for the front as soon as it is trained, also of the baselines. Hypervolumes are of the box from the best to the worst
values of 200 random configurations, a tenth beyond the worst.
"""

import argparse
import heapq
import json
import math
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from search import LCBENCH_EPOCHS, LCBENCH_SPACE, lcbench_model, problem_names

from balltrain.records.front import hypervolume
from balltrain.search.space import Space
from balltrain.testing.curves import Problem
from balltrain.testing.virtual import VirtualSweep, plan_of

OURS = {
    "optuna-tpe+asha": ("optuna-tpe", "asha"),
    "optuna-nsga2+asha": ("optuna-nsga2", "asha"),
    "random+asha": ("random", "asha"),
    "random": ("random", "none"),
}
BASELINES = ("Optuna TPE", "Optuna NSGA-II")
OBJECTIVES = ["val_loss:min", "epoch_seconds:min"]


class Lcbench:
    """One data set: curves of error and cumulative seconds of any configuration."""

    def __init__(self, folder: Path, instance: str) -> None:
        number = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][instance]
        model = lcbench_model(folder)

        @cache
        def curves(*values: float) -> tuple[np.ndarray, float]:
            x = np.empty((LCBENCH_EPOCHS, 8), np.float32)
            x[:, 0], x[:, 1:] = np.arange(1, LCBENCH_EPOCHS + 1), values
            x_cat = np.full((LCBENCH_EPOCHS, 1), number, np.int32)
            (found,) = model.run(None, {"x_cat": x_cat, "x_cont": x})
            seconds = max(1e-3, float(found[-1, 0]) / LCBENCH_EPOCHS)  # an epoch's share of all of them
            return 100 - found[:, 1].astype(float), seconds

        self.curves = lambda config: curves(*(float(config[name]) for name in LCBENCH_SPACE))
        self.problem = Problem(instance, LCBENCH_SPACE, LCBENCH_EPOCHS, lambda config: self.curves(config)[0])
        self.space = Space(LCBENCH_SPACE)
        random = np.random.default_rng(0)
        points = [self.space.from_unit_cube(random.random(len(LCBENCH_SPACE)).tolist()) for _ in range(200)]
        found = [self.curves(self.space.decode(point)) for point in points]
        values = np.array([(errors[-1], seconds) for errors, seconds in found])
        self.low, self.high = values.min(0), values.max(0)

    def volumes(self, seen: np.ndarray) -> np.ndarray:
        """(epochs,) the hypervolume after each of them; `seen` are its error and seconds, (epochs, 2)."""
        front, volume, found = np.empty((0, 2)), 0.0, []
        for value in (seen - self.low) / (self.high - self.low):
            if not (front <= value).all(1).any():
                front = np.concatenate([front[~(value <= front).all(1)], value[None]])
                volume = hypervolume(front, (1.1, 1.1))
            found.append(volume)
        return np.array(found)


def ours(data: Lcbench, method: str, workers: int, budget: int, seed: int) -> np.ndarray:
    """Error and seconds of each epoch trained (budget, 2), by the production Controller."""
    searcher, scheduler = OURS[method]
    options = {"trials": budget, "searcher": searcher, "scheduler": scheduler, "seed": seed, "objectives": OBJECTIVES}
    plan = plan_of(data.problem, grace=1, **options)
    sweep = VirtualSweep(
        data.problem, plan, workers=workers, seconds=lambda attempt, epoch: data.curves(attempt.config)[1]
    )
    seen = []
    sweep.controller.on_row = lambda trial, row: seen.append((row["objective"], row["seconds"]))
    for _ in sweep.values():
        if len(seen) == budget:
            break
    return np.array(seen)


def theirs(data: Lcbench, method: str, workers: int, budget: int, seed: int) -> np.ndarray:
    """The same by Optuna alone, all trials in full."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    makers = {BASELINES[0]: optuna.samplers.TPESampler, BASELINES[1]: optuna.samplers.NSGAIISampler}
    study = optuna.create_study(directions=["minimize"] * 2, sampler=makers[method](seed=seed))
    queue: list = []
    seen: list = []
    now, order = 0.0, 0
    while len(seen) < budget:
        while len(queue) < workers:
            trial, point = study.ask(), {}
            for d in data.space.dimensions:
                if d.kind == "int":
                    point[d.label] = trial.suggest_int(d.label, int(d.low), int(d.high) - 1, log=d.log)
                else:
                    point[d.label] = d.clean(trial.suggest_float(d.label, d.low, d.high, log=d.log))
            errors, seconds = data.curves(data.space.decode(point))
            heapq.heappush(queue, (now + seconds, order, trial, 1, errors, seconds))
            order += 1
        now, _, trial, epoch, errors, seconds = heapq.heappop(queue)
        seen.append((errors[epoch - 1], seconds))
        if epoch < LCBENCH_EPOCHS:
            heapq.heappush(queue, (now + seconds, order, trial, epoch + 1, errors, seconds))
            order += 1
        else:
            study.tell(trial, [float(errors.min()), seconds])
    return np.array(seen)


def epochs_ratio(mine: np.ndarray, other: np.ndarray) -> float:
    """Epochs to the other's final volume, as a part of the other's; twice the budget where it is never reached."""
    reached = np.flatnonzero(mine >= other[-1])
    needed = reached[0] + 1 if len(reached) else 2 * len(mine)
    return float(needed / (np.flatnonzero(other >= other[-1])[0] + 1))


def summary(runs: list[dict[str, np.ndarray]], methods: list[str]) -> dict:
    out: dict = {"runs": len(runs), "volume": {}, "epochs_ratio": {}, "median": {}, "reached": {}}
    best = [max(trace[-1] for trace in run.values()) for run in runs]
    for method in methods:
        out["volume"][method] = float(np.mean([run[method][-1] / top for run, top in zip(runs, best, strict=True)]))
        for baseline in BASELINES:
            ratios = [epochs_ratio(run[method], run[baseline]) for run in runs]
            key = f"{method} to {baseline}"
            out["epochs_ratio"][key] = math.exp(float(np.mean(np.log(ratios))))
            out["median"][key] = float(np.median(ratios))
            out["reached"][key] = float(np.mean([run[method][-1] >= run[baseline][-1] for run in runs]))
    return out


def show(out: dict, methods: list[str], to=sys.stdout) -> None:
    print(f"{out['runs']} runs{'':20}" + "".join(f"{method:>20}" for method in methods), file=to)
    cells = "".join(f"{out['volume'][method]:20.3f}" for method in methods)
    print(f"{'hypervolume, of the best':27}{cells}", file=to, flush=True)
    for baseline in BASELINES:
        for what, words in (("epochs_ratio", "epochs to"), ("median", "the median"), ("reached", "reached it")):
            cells = "".join(f"{out[what][f'{method} to {baseline}']:20.2f}" for method in methods)
            print(f"{words + ' ' + baseline:27}{cells}", file=to, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lcbench", type=Path, metavar="DIR", required=True)
    parser.add_argument("--instances", choices=("odd", "even", "all"), default="even")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=float, default=20, help="in full trainings")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--methods", nargs="+", choices=tuple(OURS), default=list(OURS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.curves = options.generated = None
    methods, budget = [*options.methods, *BASELINES], round(options.budget * LCBENCH_EPOCHS)
    runs, spent = [], dict.fromkeys(methods, 0.0)
    for name in problem_names(options):
        data = Lcbench(options.lcbench, name.split("|")[2])
        for seed in range(options.seeds):
            traces = {}
            for method in methods:
                began = time.perf_counter()
                how = theirs if method in BASELINES else ours
                traces[method] = data.volumes(how(data, method, options.workers, budget, seed))
                spent[method] += time.perf_counter() - began
            runs.append(traces)
            print(f"{name.split('|')[2]}, seed {seed}", file=sys.stderr, flush=True)
            show(summary(runs, methods), methods, sys.stderr)
    out = summary(runs, methods)
    out["seconds"] = spent
    print(json.dumps(out)) if options.json else show(out, methods)


if __name__ == "__main__":
    main()
