"""How large the model of a configuration is, without training it or filling its memory."""

from __future__ import annotations

from typing import Any

import torch

from balltrain.tasks.base import Task


def num_params_of(task: Task, hp: Any, facts: dict[str, Any]) -> int:
    """Parameters of the model that these hyperparameters make, as a trial's `num_params` counts them.

    It is built on the device `meta`, which holds shapes alone; a model that reads its own numbers while it is built
    is built on the CPU. What building draws is drawn back.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                model = task.build_model(hp, dict(facts))
        except (RuntimeError, NotImplementedError):  # torch's, of a tensor without numbers
            model = task.build_model(hp, dict(facts))
    return sum(parameter.numel() for parameter in model.parameters())
