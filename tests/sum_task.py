"""The text of a task that trains in milliseconds, as a user types it into a notebook's cell or a script."""

IMPORTS = """
import json
import time

import numpy as np
from ray import tune
from torch import nn

import balltrain
from balltrain import Hyperparameters, Task

SIZE = 100
NAP_S = 0.0
"""
SUM = '''
class Sum(Task):
    """Sum of four numbers."""

    name = "sum"
    default_size = SIZE

    def prepare(self, request, arrays):
        rng = np.random.default_rng(request.seed)
        arrays["x"] = rng.standard_normal((self.default_size, 4)).astype(np.float32)
        return {}

    def build_model(self, hp, facts):
        return nn.Linear(4, 1)

    def loss(self, model, batch, hp):
        return (model(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()

    def predict(self, model, batch, hp):
        time.sleep(NAP_S)
        return {"y": model(batch["x"])}

    def metrics(self, outputs, targets, hp, *, thorough):
        return {"loss": float((outputs["y"] - targets["x"].sum(1, keepdim=True)).square().mean())}
'''
