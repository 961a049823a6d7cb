"""What each idea of the forecaster is worth: it is left out, and the rest trained and cross-validated as before.

    python benchmarks/forecast_ablation.py --source mini_balls_seq.tgz [--folds 5] [--epochs 15]

Prints the validation mse with the 95 % interval of the mean over the folds (Student's t), and the interval of its
ratio to the default's on the same folds, which is narrower: folds differ more than variants. Trainings are short,
for a comparison; `balltrain train forecast --folds 5` gives the figures of whole ones.
"""

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from balltrain.data.cache import load_data
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tasks.forecast.metrics import centers, scaled
from balltrain.tasks.forecast.model import InteractionForecaster
from balltrain.tasks.forecast.task import Forecast
from balltrain.training.loop import fit


class NoInteraction(InteractionForecaster):
    """Balls that do not see each other."""

    def __init__(self, hp):
        super().__init__(hp)
        self.message = nn.Sequential(_Zero(), nn.Linear(hp.width, hp.width, bias=False))


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Flat(nn.Module):
    """All balls' last steps in one vector: the order of the balls matters. Deviation from a straight line."""

    def __init__(self, hp):
        super().__init__()
        self.history = hp.history
        layers, width = [], 3 * hp.history * 4
        for _ in range(4):
            layers += [nn.Linear(width, 3 * hp.width), nn.SiLU()]
            width = 3 * hp.width
        self.layers = nn.Sequential(*layers, nn.Linear(width, 12))
        nn.init.zeros_(self.layers[-1].weight)

    def forward(self, boxes: Tensor, colors: Tensor) -> Tensor:
        boxes = boxes[:, -self.history :].float()
        places, sizes = centers(boxes), boxes[:, -1, :, 2:] - boxes[:, -1, :, :2]
        last = places[:, -1:]
        seen = torch.cat([(places - last) / 10, last.expand_as(places) / 45 - 1], dim=-1)
        deviation = self.layers(seen.flatten(1)).unflatten(1, (3, 4))
        middle = 2 * places[:, -1] - places[:, -2] + deviation[..., :2]
        half = (sizes + deviation[..., 2:]) / 2
        return scaled(torch.cat([middle - half, middle + half], dim=-1))


VARIANTS = {
    "default": ({}, InteractionForecaster),
    "told the colours": ({"colors": True}, InteractionForecaster),
    "not from a straight line": ({"residual": False}, InteractionForecaster),
    "symmetry by random flips": ({"symmetry": "augment"}, InteractionForecaster),
    "symmetry not used": ({"symmetry": "none"}, InteractionForecaster),
    "the last window alone": ({"windows": 1}, InteractionForecaster),
    "balls do not see each other": ({}, NoInteraction),
    "not a set: one flat network": ({}, Flat),
}


def train(job) -> tuple[str, float]:
    variant, fold, folds, epochs, request, data_dir = job
    torch.set_num_threads(1)
    settings, model = VARIANTS[variant]
    task = Forecast()
    task.build_model = lambda hp, facts: model(hp)
    dataset = load_data(task_ref("forecast"), task, request, data_dir).fold(fold, folds)
    hp = resolve(task, {**settings, "epochs": epochs})
    with tempfile.TemporaryDirectory() as folder:
        progress = fit(
            task,
            hp,
            dataset,
            seed=fold,
            folder=Path(folder),
            report=lambda row: None,
            device=torch.device("cpu"),
        )
    return variant, progress.best_objective


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval."""
    return values.mean(), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--processes", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    request = DataRequest(source=options.source)
    with tempfile.TemporaryDirectory() as data_dir:
        load_data(task_ref("forecast"), Forecast(), request, Path(data_dir))
        folds = range(options.folds)
        jobs = [
            (variant, fold, options.folds, options.epochs, request, Path(data_dir))
            for variant in VARIANTS
            for fold in folds
        ]
        found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
            for variant, objective in pool.imap(train, jobs):
                found[variant].append(objective)
    default = np.array(found["default"])
    print(f"{'variant':30s}  val mse, 1e-5    ratio to the default")
    for variant, objectives in found.items():
        mean, half = interval(1e5 * np.array(objectives))
        ratio, ratio_half = interval(np.array(objectives) / default)
        print(f"{variant:30s}  {mean:6.2f} ± {half:4.2f}    {ratio:.2f} ± {ratio_half:.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
