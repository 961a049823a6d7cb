"""A task that trains nothing, and a sweep of it: what is left is the sweep's own cost."""

import numpy as np
from ray import tune
from torch import nn

from balltrain import Sweep, Task


class Idle(Task):
    """Trains nothing."""

    name = "idle"

    def prepare(self, request, arrays):
        arrays["x"] = np.zeros((30, 1), np.float32)
        return {}

    def build_model(self, hp, facts):
        return nn.Linear(1, 1)

    def loss(self, model, batch, hp):
        return model(batch["x"]).mean()

    def predict(self, model, batch, hp):
        return {"y": model(batch["x"])}

    def metrics(self, outputs, targets, hp, *, thorough):
        return {"loss": hp.lr}


idle = Idle()
sweep = Sweep(idle, {"lr": tune.loguniform(1e-5, 1e-1)}, trials=100, epochs=1)
