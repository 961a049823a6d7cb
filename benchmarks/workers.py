"""Images a second of one data-parallel trial with two workers, against the same trial with one.

    python benchmarks/workers.py [--images 3000] [--batch-size 64] [--epochs 4]

The reference detector at the same global batch size, a core a worker. Counted are whole epochs after the first:
training, validation, checkpoint and report. What it takes to start the workers is printed apart.
"""

import argparse
import json
import tempfile
from pathlib import Path

from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.search.plan import make_plan
from balltrain.search.sweep import Sweep
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest

REFERENCE = {"model": "reference", "optimizer": "adam", "lr": 6.5e-4}


def images_per_second(folder: Path, workers: int, images: int, batch_size: int, epochs: int) -> float:
    budget = {"trials": 1, "epochs": epochs, "searcher": "random", "scheduler": "none"}
    sweep = Sweep("detect", {}, hyperparameters={**REFERENCE, "batch_size": batch_size}, **budget)
    plan = make_plan(sweep, task_ref("detect"), name=f"workers-{workers}", request=DataRequest(size=images))
    resources = Resources(num_gpus=0, workers_per_trial=workers, cpus_per_trial=workers)
    result = run_sweep(plan, folder / plan.name, resources, data_dir=folder / "data", resume=False)
    trial = result.state.trials[0]
    seconds = [row["seconds"] for row in trial.rows]
    start = trial.ended_at - trial.started_at - sum(seconds)
    rate = images * 0.8 * (epochs - 1) / sum(seconds[1:])
    print(
        f"{workers} worker(s): {rate:.0f} images/s; {start:.1f} s beside its epochs; val_loss {trial.objective:.6g}"
    )
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        shape = (options.images, options.batch_size, options.epochs)
        one = images_per_second(Path(name), 1, *shape)
        two = images_per_second(Path(name), 2, *shape)
    print(f"ratio {two / one:.2f}")
    print(json.dumps({"one": one, "two": two, "ratio": two / one}))


if __name__ == "__main__":
    main()
