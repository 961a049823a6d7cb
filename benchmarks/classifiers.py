"""Classifiers beside each other, each trained for the same time, or as many epochs, on one core.

    python benchmarks/classifiers.py cifar10 --source cifar-10-python.tar.gz [--seconds 120] [--seed 0]
    python benchmarks/classifiers.py catdogs --source trainset.zip
    python benchmarks/classifiers.py augmentation --source trainset.zip [--epochs 10]

The originals of CIFAR-10 are trained by SGD with one learning rate, those of cats and dogs by their recipes, as are
`fast` and `resnet`. Unless given, the number of epochs is what fits into the time, from a probe of each; the schedule
spans them. Printed are the accuracy of the best epoch on the validation split, with its Clopper-Pearson 95 %
interval, that on its training batches, and the first epoch at which the model is better than chance.
"""

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path

import torch

from balltrain.data.cache import load_data
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest, resolve
from balltrain.training.loop import fit
from balltrain.training.probe import probe
from balltrain.vision.metrics import interval

# the originals' way: plain SGD on the pictures as they are
PLAIN = {
    "optimizer": "sgd",
    "lr": 0.01,
    "schedule": "constant",
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
}
# CIFAR-10's by their recipe, a hundred times as fast: their rate is 0.001, without momentum
HUNDREDFOLD = {"lr": 0.01, "momentum": 0.9}
TABLES = {
    "cifar10": (
        "cifar10",
        {model: {"model": model, **HUNDREDFOLD} for model in ("a", "b", "c", "d", "e", "f", "g", "gap")}
        | {"fast": {}},
    ),
    "catdogs": (
        "catdogs",
        {model: {"model": model} for model in ("classifier5", "classifier5d", "classifier7", "vgg")} | {"resnet": {}},
    ),
    "augmentation": (
        "catdogs",
        {
            level: {"model": "classifier5", "augmentation": level}
            for level in ("normal", "low", "medium-low", "medium", "high")
        },
    ),
}


def train(job) -> dict:
    label, task_name, values, seconds, epochs, seed, request, data_dir = job
    torch.set_num_threads(1)
    ref = task_ref(task_name)
    task = ref.load()
    dataset = load_data(ref, task, request, data_dir)
    hp = resolve(task, values)
    if epochs is None:
        epochs = max(1, round(seconds / probe(task, hp, dataset, torch.device("cpu")).epoch_seconds))
    hp = resolve(task, {**values, "epochs": epochs})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        fit(
            task,
            hp,
            dataset,
            seed=seed,
            folder=Path(folder),
            report=rows.append,
            device=torch.device("cpu"),
        )
    best = max(rows, key=lambda row: row["metrics"]["accuracy"])
    items = len(dataset.splits["val"])
    chance = 1 / len(task.classes)
    learned = [row["epoch"] for row in rows if interval(round(row["metrics"]["accuracy"] * items), items)[0] > chance]
    return {
        "name": label,
        "num_params": rows[0]["num_params"],
        "epochs": len(rows),
        "seconds": sum(row["seconds"] for row in rows),
        "accuracy": best["metrics"]["accuracy"],
        "train_accuracy": best["metrics"]["train_accuracy"],
        "items": items,
        "learns_from": learned[0] if learned else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--source", required=True)
    parser.add_argument("--size", type=int)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--epochs", type=int, help="of each, whatever time they take")
    parser.add_argument("--only", action="append", help="one of the table; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="of all of them")
    parser.add_argument("--processes", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    task_name, variants = TABLES[options.table]
    request = DataRequest(source=str(Path(options.source).resolve()), size=options.size)
    common = {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in options.set)}
    budget = (options.seconds, options.epochs)
    with tempfile.TemporaryDirectory() as data_dir:
        load_data(task_ref(task_name), task_ref(task_name).load(), request, Path(data_dir))
        jobs = [
            (label, task_name, {**values, **common}, *budget, options.seed, request, Path(data_dir))
            for label, values in variants.items()
            if not options.only or label in options.only
        ]
        print(
            f"{'':14s} {'parameters':>10s} {'epochs':>6s} {'seconds':>7s}  accuracy             training  "
            "better than chance from"
        )
        with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
            for row in pool.imap(train, jobs):
                low, high = interval(round(row["accuracy"] * row["items"]), row["items"])
                when = f"from epoch {row['learns_from']}" if row["learns_from"] else "never"
                print(f"{row['name']:14s} {row['num_params']:10d} {row['epochs']:6d} {row['seconds']:7.0f}  "
                      f"{row['accuracy']:.3f} ({low:.3f}-{high:.3f})  {row['train_accuracy']:8.3f}  {when}",
                      flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
