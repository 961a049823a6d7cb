"""How many epochs a search needs: the production Controller on known learning curves, under a virtual clock.

    python benchmarks/search.py [--lcbench DIR [--instances odd|even|all]] [--curves DIR] [--generated N]
                                [--seeds N] [--budget 20] [--workers 4] [--methods …] [--jobs N] [--json]

Compares with random search and hyperopt, both with ASHA as `balltrain sweep` has it, and with Optuna's TPE and its
successive halving, in the same run. DIR of `--lcbench` is LCBench as YAHPO Gym's surrogate (`model.onnx`,
`encoding.json`); that of `--curves` has files of a JSON list of {"hp": {name: number}, "valid": {"loss": [one an
epoch]}}, as TaskSet's are: a proposal is then the nearest configuration of the table. Without both, generated
problems are searched (`balltrain/testing/curves.py`). `--budget` is in full trainings; an epoch takes one time unit.
"""

import argparse
import heapq
import json
import math
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
from ray import tune

from balltrain.testing.curves import Problem, generated_problem
from balltrain.testing.virtual import VirtualSweep, plan_of

OURS, HYPEROPT, RANDOM, OPTUNA = "freeze-thaw", "hyperopt-asha", "random-asha", "optuna-tpe-halving"
METHODS = (OURS, HYPEROPT, RANDOM, OPTUNA)
FRACTIONS = (0.1, 0.25, 0.5, 1.0)  # of the budget, at which regret and ranks are shown
LCBENCH_EPOCHS = 52
LCBENCH_SPACE = {  # config_space.json; in the order of the model's inputs, after the epoch
    "batch_size": tune.lograndint(16, 513),
    "learning_rate": tune.loguniform(1e-4, 1e-1),
    "momentum": tune.uniform(0.1, 0.99),
    "weight_decay": tune.uniform(1e-5, 1e-1),
    "num_layers": tune.randint(1, 6),
    "max_units": tune.lograndint(64, 1025),
    "max_dropout": tune.uniform(0.0, 1.0),
}


@cache
def problem_of(name: str) -> Problem:
    """The problem of a name that `problem_names` gave."""
    kind, where, which = name.split("|")
    if kind == "lcbench":
        return lcbench_problem(Path(where), which)
    return generated_problem(int(which)) if kind == "generated" else table_problem(Path(where) / which)


def problem_names(options) -> list[str]:
    names = []
    if options.lcbench:
        encoding = json.loads((options.lcbench / "encoding.json").read_text())["OpenML_task_id"]
        instances = [i for i in encoding if i not in ("#na#", "167083")]
        first, step = {"odd": (1, 2), "even": (0, 2), "all": (0, 1)}[options.instances]
        names += [f"lcbench|{options.lcbench}|{i}" for i in instances[first::step]]
    if options.curves:
        names += [f"curves|{options.curves}|{path.name}" for path in sorted(options.curves.glob("*.json"))]
    if options.generated or not names:
        names += [f"generated||{n}" for n in range(options.generated or 12)]
    return names


@cache
def lcbench_model(folder: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


def lcbench_problem(folder: Path, instance: str) -> Problem:
    """The validation error in per cent."""
    number = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][instance]
    model = lcbench_model(folder)

    @cache
    def curve(*values: float) -> np.ndarray:
        x = np.empty((LCBENCH_EPOCHS, 8), np.float32)  # epoch, then the hyperparameters
        x[:, 0], x[:, 1:] = np.arange(1, LCBENCH_EPOCHS + 1), values
        x_cat = np.full((LCBENCH_EPOCHS, 1), number, np.int32)
        (found,) = model.run(None, {"x_cat": x_cat, "x_cont": x})
        return 100 - found[:, 1].astype(float)  # time, val_accuracy, …

    return Problem(
        f"lcbench-{instance}", LCBENCH_SPACE, LCBENCH_EPOCHS, lambda c: curve(*(float(c[k]) for k in LCBENCH_SPACE))
    )


def table_problem(path: Path) -> Problem:
    """The nearest configuration of a table, in unit coordinates: logarithmic where values span two decades."""
    rows = json.loads(path.read_text(), parse_constant=float)
    names = sorted(rows[0]["hp"])
    values = np.array([[float(row["hp"][name]) for name in names] for row in rows])
    epochs = max(len(row["valid"]["loss"]) for row in rows)
    losses = np.full((len(rows), epochs), math.nan)
    for row, into in zip(rows, losses, strict=True):
        found = [math.nan if value is None else float(value) for value in row["valid"]["loss"]]
        into[: len(found)] = found
    low, high = values.min(0), values.max(0)
    varies = high > low
    values, low, high = values[:, varies], low[varies], high[varies]
    log = (low > 0) & (high >= 100 * np.maximum(low, 1e-300))
    # names of our own: a table's may be no names of hyperparameters
    space = {
        f"h{n}": (tune.loguniform if log[n] else tune.uniform)(float(low[n]), float(high[n])) for n in range(len(low))
    }

    def unit(x: np.ndarray) -> np.ndarray:
        plain = (x - low) / (high - low)
        safe = np.where(log, low, 1.0), np.where(log, high, 2.0), np.where(log, x, 1.0)
        return np.where(log, np.log(safe[2] / safe[0]) / np.log(safe[1] / safe[0]), plain)

    table = unit(values)

    def curve(config) -> np.ndarray:
        at = unit(np.array([[float(config[key]) for key in space]]))
        return losses[((table - at) ** 2).sum(1).argmin()]

    return Problem(path.stem, space, epochs, curve)


def search(problem: Problem, method: str, workers: int, budget: int, seed: int) -> np.ndarray:
    """The best value after each epoch trained (budget,), by the production Controller."""
    searcher, scheduler = {OURS: (OURS, "none"), HYPEROPT: ("hyperopt", "asha"), RANDOM: ("random", "asha")}[method]
    trials = 100 * budget // problem.epochs  # more than there are epochs for
    plan = plan_of(problem, trials=trials, searcher=searcher, scheduler=scheduler, seed=seed)
    values = np.full(budget, math.inf)
    for used, value in enumerate(islice(VirtualSweep(problem, plan, workers=workers).values(), budget)):
        values[used] = value if math.isfinite(value) else math.inf
    return np.minimum.accumulate(values)


def search_optuna(problem: Problem, method: str, workers: int, budget: int, seed: int) -> np.ndarray:
    """The same by Optuna alone: its TPE as it comes, and its successive halving."""
    import optuna

    from balltrain.search.space import Space

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = Space(problem.space)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.SuccessiveHalvingPruner()
    )
    trace, best, queue, order, now = np.empty(budget), math.inf, [], 0, 0.0

    def start() -> None:
        nonlocal order
        while len(queue) < workers:
            trial, point = study.ask(), {}
            for d in space.dimensions:
                if not d.active(point):
                    continue
                if d.kind == "choice":
                    point[d.label] = trial.suggest_categorical(d.label, list(range(int(d.high))))
                elif d.kind == "int":
                    point[d.label] = trial.suggest_int(d.label, int(d.low), int(d.high) - 1, log=d.log)
                else:
                    point[d.label] = d.clean(trial.suggest_float(d.label, d.low, d.high, log=d.log))
            heapq.heappush(queue, (now + 1, order, trial, 1, problem.curve(space.decode(point))))
            order += 1

    start()
    for used in range(budget):
        now, _, trial, epoch, curve = heapq.heappop(queue)
        value = float(curve[epoch - 1])
        best = min(best, value) if math.isfinite(value) else best
        trace[used] = best
        if not math.isfinite(value):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            trial.report(value, epoch)
            if epoch == problem.epochs:
                study.tell(trial, value)
            elif trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                heapq.heappush(queue, (now + 1, order, trial, epoch + 1, curve))
                order += 1
        start()
    return trace


def one_run(budget: float, run: tuple[str, str, int, int]) -> tuple[np.ndarray, float]:
    """The trace of a method on a problem, and the seconds that it took."""
    name, method, workers, seed = run
    problem = problem_of(name)
    start = time.perf_counter()
    how = search_optuna if method == OPTUNA else search
    trace = how(problem, method, workers, round(budget * problem.epochs), seed)
    return trace, time.perf_counter() - start


def epochs_ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Epochs that ours needs to reach the final value of theirs, as a part of those of theirs."""
    reached = np.flatnonzero(ours <= theirs[-1])
    needed = reached[0] + 1 if len(reached) else 2 * len(ours)
    return float(needed / (np.flatnonzero(theirs <= theirs[-1])[0] + 1))


def summary(traces: dict[tuple[str, str, int, int], np.ndarray], methods: list[str]) -> dict:
    """Figures over all runs: a run is a problem, a number of workers and a seed."""
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    runs = sorted({(name, workers, seed) for name, _, workers, seed in traces})
    by_run = [{m: traces[name, m, workers, seed] for m in methods} for name, workers, seed in runs]
    out: dict = {"runs": len(runs), "methods": methods}
    ratios = defaultdict(list)
    for run in by_run:
        for m in methods:
            ratios[m].append(epochs_ratio(run[m], run[HYPEROPT]))
    out["epochs_ratio_by_method"] = {m: float(np.exp(np.mean(np.log(ratios[m])))) for m in methods}
    out["rank"], out["regret"], out["friedman_p"], out["nemenyi_difference"] = {}, {}, {}, {}
    for fraction in FRACTIONS:
        at = [{m: t[max(0, math.ceil(fraction * len(t)) - 1)] for m, t in run.items()} for run in by_run]
        values = np.nan_to_num(np.array([[a[m] for m in methods] for a in at]), posinf=1e300)
        ranks = np.array([rankdata(v) for v in values])
        key = f"{fraction:.0%}"
        out["rank"][key] = dict(zip(methods, ranks.mean(0).tolist(), strict=True))
        regrets = np.mean([_regret(r, v) for r, v in zip(by_run, values, strict=True)], 0)
        out["regret"][key] = dict(zip(methods, regrets.tolist(), strict=True))
        if len(methods) > 2 and len(runs) > 1:
            out["friedman_p"][key] = float(friedmanchisquare(*values.T).pvalue)
            k = len(methods)
            q = studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2)
            out["nemenyi_difference"][key] = float(q * math.sqrt(k * (k + 1) / (6 * len(runs))))
    if OURS in methods:
        out["epochs_ratio"] = out["epochs_ratio_by_method"][OURS]
        for baseline in (HYPEROPT, RANDOM):
            out[f"wins_{baseline.replace('-', '_')}"] = _wins(by_run, baseline, -1)
        out["wins_random_asha_at_10%"] = _wins(by_run, RANDOM, None)
    out["rank"]["final"] = out["rank"]["100%"]
    return out


def _regret(run: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Of 1: how far above the best that any method found, between it and the median method after a twentieth."""
    best = min(trace[-1] for trace in run.values())
    start = np.median([trace[len(trace) // 20] for trace in run.values()])
    return np.clip((values - best) / max(start - best, 1e-12), 0, 1)


def _wins(by_run: list[dict[str, np.ndarray]], baseline: str, at: int | None) -> float:
    """The share of runs that ours wins, a tie being half a one; at a tenth of the budget where `at` is None."""
    wins = []
    for run in by_run:
        n = math.ceil(len(run[OURS]) / 10) - 1 if at is None else at
        ours, theirs = run[OURS][n], run[baseline][n]
        wins.append(1.0 if ours < theirs else 0.5 * (ours == theirs))
    return float(np.mean(wins))


def show(out: dict) -> None:
    methods = out["methods"]
    print(f"{out['runs']} runs{'':20}" + "".join(f"{m:>20}" for m in methods))
    print(f"{'epochs to hyperopt + ASHA':28}" + "".join(f"{out['epochs_ratio_by_method'][m]:20.2f}" for m in methods))
    for fraction in FRACTIONS:
        key = f"{fraction:.0%}"
        print(f"{'mean rank at ' + key:28}" + "".join(f"{out['rank'][key][m]:20.2f}" for m in methods))
    for fraction in FRACTIONS:
        key = f"{fraction:.0%}"
        print(f"{'regret at ' + key:28}" + "".join(f"{out['regret'][key][m]:20.3f}" for m in methods))
    if "epochs_ratio" in out:
        print(f"wins of {OURS}: {out['wins_hyperopt_asha']:.0%} over {HYPEROPT}, {out['wins_random_asha']:.0%} over")
        print(f"{RANDOM} ({out['wins_random_asha_at_10%']:.0%} at a tenth of the budget)")
    for key, p in out["friedman_p"].items():
        print(f"Friedman at {key}: p = {p:.2g}; ranks differ (Nemenyi, 5 %) by {out['nemenyi_difference'][key]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lcbench", type=Path, metavar="DIR")
    parser.add_argument("--instances", choices=("odd", "even", "all"), default="even")
    parser.add_argument("--curves", type=Path, metavar="DIR")
    parser.add_argument("--generated", type=int, metavar="N", help="problems of the generated family")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=float, default=20, help="in full trainings")
    parser.add_argument("--workers", type=int, nargs="+", default=[4], help="virtual ones, such as 4 16")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = [
        (name, method, workers, seed)
        for name in problem_names(options)
        for workers in options.workers
        for seed in range(options.seeds)
        for method in dict.fromkeys([*options.methods, HYPEROPT, RANDOM])
    ]
    work = partial(one_run, options.budget)
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            found = list(pool.map(work, runs))
    else:
        found = [work(run) for run in runs]
    traces = {run: trace for run, (trace, _) in zip(runs, found, strict=True)}
    out = summary(traces, list(dict.fromkeys(run[1] for run in runs)))
    out["seconds"] = {m: sum(s for r, (_, s) in zip(runs, found, strict=True) if r[1] == m) for m in out["methods"]}
    print(json.dumps(out)) if options.json else show(out)


if __name__ == "__main__":
    main()
