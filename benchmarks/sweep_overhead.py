"""Seconds a trial that trains nothing, against Ray's documented recipe: a TorchTrainer in each Tune trial.

    python benchmarks/sweep_overhead.py [--trials 100] [--recipe-trials 4]

The recipe is that of Ray's guide "Hyperparameter Tuning with Ray Tune" for Ray Train: a function that builds a
TorchTrainer with one worker, calls fit, and reports by TuneReportCallback. Both run two trials at a time; both
are timed from after Ray is up to the end of the last trial.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from balltrain.execution.ray_session import RAY_ENVIRONMENT
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

AT_A_TIME = 2


def balltrain_seconds(trials: int, folder: Path, file: str = "idle_task.py") -> float:
    sweep, ref = find_sweep(str(Path(__file__).with_name(file)))
    plan = make_plan(override(sweep, trials=trials), ref, name="idle", request=DataRequest())
    ray_is_up = []

    def on_phase(phase: str) -> None:
        if not phase:
            ray_is_up.append(time.monotonic())

    run_sweep(
        plan,
        folder,
        Resources(num_gpus=0),
        data_dir=folder / "data",
        resume=False,
        on_phase=on_phase,
    )
    return time.monotonic() - ray_is_up[0]


def recipe_seconds(trials: int, folder: Path) -> float:
    import ray
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    def train_loop(config: dict) -> None:
        ray.train.report({"loss": config["lr"]})

    def trial(config: dict) -> None:
        TorchTrainer(
            train_loop,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.9}),
            run_config=ray.train.RunConfig(
                name=f"{tune.get_context().get_trial_id()}",
                storage_path=str(folder),
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    ray.init(include_dashboard=True, dashboard_host="127.0.0.1", log_to_driver=False)
    start = time.monotonic()
    tune.Tuner(
        tune.with_resources(trial, {"CPU": 0.01}),
        param_space={"lr": tune.loguniform(1e-5, 1e-1)},
        tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=AT_A_TIME),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    seconds = time.monotonic() - start
    ray.shutdown()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--recipe-trials", type=int, default=4)
    options = parser.parse_args()
    os.environ.update(RAY_ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder:
        ours = balltrain_seconds(options.trials, Path(folder) / "ours")
        function = balltrain_seconds(options.trials, Path(folder) / "function", "idle_function.py")
        recipe = recipe_seconds(options.recipe_trials, Path(folder) / "recipe")
    ours_each, recipe_each = ours / options.trials, recipe / options.recipe_trials
    print(f"balltrain  {options.trials} trials in {ours:.1f} s: {ours_each:.3f} s a trial")
    print(f"function   {options.trials} trials in {function:.1f} s: {function / options.trials:.3f} s a trial")
    print(f"recipe     {options.recipe_trials} trials in {recipe:.1f} s: {recipe_each:.1f} s a trial")
    print(f"ratio      {recipe_each / ours_each:.0f}")
    each = {"seconds_a_trial": ours_each, "seconds_a_function_trial": function / options.trials}
    print(json.dumps({"seconds": ours, **each, "ratio": recipe_each / ours_each}))


if __name__ == "__main__":
    main()
