"""What a trial holds of the cluster, and how many run at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balltrain.errors import BalltrainError, UsageError

DRIVER_CPUS = 0.01  # of the process that starts a data-parallel trial's workers; Ray refuses 0


@dataclass(frozen=True)
class Placement:
    """Resources of each worker, and the number of trials at a time."""

    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    concurrency: int
    num_gpus: float  # that the sweep uses, of those that the cluster has

    def to_json(self) -> dict[str, Any]:
        return vars(self).copy()

    @property
    def trial_resources(self) -> dict[str, float]:
        """Of the trial's own process: the one worker, or what starts them."""
        if self.workers > 1:
            return {"CPU": DRIVER_CPUS}
        resources = {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}
        return {name: amount for name, amount in resources.items() if amount}


def local_resources() -> dict[str, float]:
    """What this machine has, without asking Ray."""
    import torch

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"CPU": float(cpus), "GPU": float(torch.cuda.device_count())}


def place(
    cluster: Mapping[str, float],
    *,
    num_gpus: int | None,
    gpus_per_trial: float | None,
    workers_per_trial: int | None,
    cpus_per_trial: float | None,
) -> Placement:
    """Fit the trials into a cluster's resources ({"CPU": …, "GPU": …}).

    Without `num_gpus` all GPUs are used. A trial holds one GPU a worker where there are any, and its share of
    the CPUs; without GPUs one CPU a worker. Raises UsageError for values that make no sense, BalltrainError,
    which says what there is and what to type, where the cluster has less.
    """
    workers = workers_per_trial or 1
    for name, value in (("workers-per-trial", workers_per_trial), ("cpus-per-trial", cpus_per_trial)):
        if value is not None and value <= 0:
            raise UsageError(f"--{name} is {value:g}, but must be greater than 0")
    for name, value in (("num-gpus", num_gpus), ("gpus-per-trial", gpus_per_trial)):
        if value is not None and value < 0:
            raise UsageError(f"--{name} is {value:g}, but must be at least 0")
    _check_share_of_gpu(gpus_per_trial, workers)
    cpus, gpus_there = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    gpus = gpus_there if num_gpus is None else float(num_gpus)
    if gpus > gpus_there:
        there = f"{gpus_there:g} GPU{'s' * (gpus_there != 1)}"
        advice = f"--num-gpus {int(gpus_there)}" if gpus_there else "--num-gpus 0, to train on CPUs"
        raise BalltrainError(f"{gpus:g} GPUs were asked for, but there are {there} and {cpus:g} CPUs: type {advice}")
    per_trial = gpus_per_trial if gpus_per_trial is not None else (float(workers) if gpus else 0.0)
    if workers == 1 and per_trial > 1:
        workers, per_trial = int(per_trial), float(int(per_trial))  # two GPUs are two data-parallel workers
    gpus_per_worker = per_trial / workers
    by_gpu = math.floor(gpus / per_trial + 1e-9) if per_trial else math.inf  # 1 / 0.1 is 9.99…
    if cpus_per_trial is None:
        cpus_per_trial = max(1.0, cpus // by_gpu) if 0 < by_gpu < math.inf else float(workers)
    concurrency = int(min(cpus // cpus_per_trial, by_gpu))
    if concurrency < 1:
        needs = f"{cpus_per_trial:g} CPUs" + f" and {per_trial:g} GPUs" * bool(per_trial)
        has = f"{cpus:g} CPUs" + f" and {gpus:g} GPUs" * bool(per_trial)
        raise BalltrainError(
            f"a trial needs {needs}, but there are {has}: "
            "lower --workers-per-trial, --cpus-per-trial or --gpus-per-trial"
        )
    # the process that starts the workers holds its part of the trial's CPUs: else trials on all CPUs deadlock
    cpus_per_worker = (cpus_per_trial - (DRIVER_CPUS if workers > 1 else 0)) / workers
    return Placement(workers, cpus_per_worker, gpus_per_worker, concurrency, gpus)


def _check_share_of_gpu(gpus_per_trial: float | None, workers: int) -> None:
    """Raises UsageError for a share that leaves a part of each GPU to nobody."""
    if not gpus_per_trial:
        return
    given = f"--gpus-per-trial {gpus_per_trial:g}"
    if gpus_per_trial >= 1:
        if gpus_per_trial % 1:
            raise UsageError(f"{given} is neither a part of a GPU nor whole GPUs: use {int(gpus_per_trial)}")
        if gpus_per_trial % workers:
            raise UsageError(f"{given} cannot be shared by {workers} workers: each needs whole GPUs of its own")
        return
    if workers > 1:
        raise UsageError(f"{given} cannot be shared by {workers} workers: use --gpus-per-trial {workers}")
    trials = round(1 / gpus_per_trial)
    if not 0.99 <= trials * gpus_per_trial <= 1:  # 0.333 is meant to be a third
        more, fewer = math.ceil(1 / gpus_per_trial), math.floor(1 / gpus_per_trial)
        raise UsageError(
            f"{given} does not divide a GPU: use {math.floor(1000 / more) / 1000:g} ({more} trials a GPU) "
            f"or {math.floor(1000 / fewer) / 1000:g} ({fewer})"
        )
