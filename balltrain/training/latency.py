"""How long a prediction of one item takes: what `latency_seconds` means."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import nn

from balltrain.data.batches import Batches
from balltrain.tasks.base import Task
from balltrain.training.precision import autocast

NUM_WARM_UPS, NUM_TIMED = 3, 20


@torch.inference_mode()
def latency_of(task: Task, hp: Any, model: nn.Module, batches: Batches) -> float:
    """Seconds that `predict` takes for the first item of a split, on the trial's device: the median of 20 calls.

    The item is on the device before; of a GPU the call is over when it has computed the outputs. As in validation
    the model is in eval mode, and in the trial's precision.
    """
    model.eval()
    batch, _ = next(iter(batches.in_order()))
    item = {name: tensor[:1] for name, tensor in batch.items()}
    seconds = []
    for _ in range(NUM_WARM_UPS + NUM_TIMED):
        began = time.perf_counter()
        with autocast(hp.precision, batches.device):
            task.predict(model, item, hp)
        if batches.device.type == "cuda":
            torch.cuda.synchronize(batches.device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[NUM_WARM_UPS:])
