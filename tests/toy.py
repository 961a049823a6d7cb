"""A user's file with a task that trains in milliseconds, the sum of four numbers, and a sweep of it."""

from pathlib import Path

import numpy as np
from ray import tune
from torch import nn

from balltrain import Sweep, Task

TOY_FILE = str(Path(__file__))


class Toy(Task):
    """Sum of four numbers."""

    name = "toy"
    metric_names = ("error",)
    default_size = 100

    def prepare(self, request, arrays):
        size = request.size or self.default_size
        arrays["x"] = np.random.default_rng(request.seed).standard_normal((size, 4)).astype(np.float32)
        return {"width": 4}

    def build_model(self, hp, facts):
        return nn.Sequential(nn.Linear(facts["width"], 8), nn.Dropout(0.1), nn.Linear(8, 1))

    def loss(self, model, batch, hp):
        return (model(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()

    def predict(self, model, batch, hp):
        return {"y": model(batch["x"])}

    def metrics(self, outputs, targets, hp, *, thorough):
        error = outputs["y"] - targets["x"].sum(1, keepdim=True)
        return {"loss": float(error.square().mean()), "error": float(error.abs().mean())}


toy = Toy()
sweep = Sweep(toy, {"lr": tune.loguniform(1e-5, 1e-1), "batch_size": tune.choice([8, 16])}, trials=6, epochs=4)
