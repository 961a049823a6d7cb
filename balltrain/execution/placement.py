"""What a trial holds of the cluster, and how many run at a time."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from balltrain.errors import BalltrainError, UsageError

DRIVER_CPUS = 0.01  # of the process that starts a data-parallel trial's workers; Ray refuses 0
DRIVER = "driver"  # resource of the nodes that keep those processes, where a cluster file gives one to its head
TYPE = "accelerator_type:"  # Ray's resource for the kind of a node's GPUs
ALMOST = 1e-9  # 1 / 0.1 is 9.99…

Node = Mapping[str, float]  # {"CPU": …, "GPU": …, "accelerator_type:A10G": …, "driver": …}


@dataclass(frozen=True)
class Placement:
    """Resources of each worker, and the number of trials at a time."""

    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    concurrency: int
    num_gpus: float  # that the sweep uses, of those that the cluster has
    strategy: str = "PACK"  # STRICT_PACK where nodes hold all workers of a trial
    gpu_type: str | None = None
    driver_apart: bool = False  # on a node that has the resource for it
    most: int | None = None  # trials at a time that --num-gpus allows, on however many nodes

    def to_json(self) -> dict[str, Any]:
        return vars(self).copy()

    @property
    def trial_resources(self) -> dict[str, float]:
        """Of the trial's own process: the one worker, or what starts them."""
        if self.workers > 1:
            return {DRIVER: 1.0} if self.driver_apart else {"CPU": DRIVER_CPUS}
        return self.worker_resources

    @property
    def worker_resources(self) -> dict[str, float]:
        resources = {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}
        if self.gpu_type and self.gpus_per_worker:
            resources[TYPE + self.gpu_type] = 0.001
        return {name: amount for name, amount in resources.items() if amount}

    def on(self, nodes: Sequence[Node]) -> Placement:
        """The same trials on other nodes: those that there are now, of which at least one trial is expected."""
        per_node = [self._workers_on(node) for node in nodes]
        concurrency = sum(per_node) // self.workers
        if self.strategy == "STRICT_PACK":
            concurrency = sum(count // self.workers for count in per_node)
        concurrency = min(concurrency, concurrency if self.most is None else self.most)
        return dataclasses.replace(self, concurrency=concurrency)

    def _workers_on(self, node: Node) -> int:
        if self.gpu_type and not node.get(TYPE + self.gpu_type):
            return 0
        share = DRIVER_CPUS / self.workers if self.workers > 1 and not self.driver_apart else 0
        by_cpu = math.floor(node.get("CPU", 0.0) / (self.cpus_per_worker + share) + ALMOST)
        return min(by_cpu, _shares(node.get("GPU", 0.0), self.gpus_per_worker)) if self.gpus_per_worker else by_cpu


def check_gpu_hours(hours: float | None, placement: Placement) -> None:
    """Raises UsageError for a budget of GPU-hours where trials have no GPU, and nothing would end the sweep."""
    if hours is not None and not placement.gpus_per_worker:
        raise UsageError("the sweep has a budget of GPU-hours, but its trials have no GPU: give --cpu-hours")


def _shares(gpus: float, each: float) -> int:
    """Workers that hold `each` of a GPU, or whole ones; a part is never of two GPUs."""
    if each < 1:
        return math.floor(gpus) * math.floor(1 / each + ALMOST)
    return math.floor(gpus / each + ALMOST)


def local_resources() -> dict[str, float]:
    """What this machine has, without asking Ray."""
    import torch

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"CPU": float(cpus), "GPU": float(torch.cuda.device_count())}


def place(
    nodes: Sequence[Node],
    *,
    num_gpus: int | None,
    gpus_per_trial: float | None,
    workers_per_trial: int | None,
    cpus_per_trial: float | None,
    gpu_type: str | None = None,
) -> Placement:
    """Fit the trials into a cluster: the resources of each of its nodes.

    Without `num_gpus` all GPUs are used. A trial holds one GPU a worker where there are any, and its share of its
    node's CPUs; without GPUs one CPU a worker. All workers of a trial are on one node where one can hold them.
    Raises UsageError for values that make no sense, BalltrainError, which says what there is and what to type,
    where the cluster has less.
    """
    _check_values(num_gpus, gpus_per_trial, workers_per_trial, cpus_per_trial)
    workers = workers_per_trial or 1
    if gpu_type is not None:
        nodes = _of_type(nodes, gpu_type)
    cpus, gpus_there = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
    gpus = gpus_there if num_gpus is None else float(num_gpus)
    _check_enough_gpus(gpus, gpus_there, cpus)
    per_trial = gpus_per_trial if gpus_per_trial is not None else (float(workers) if gpus else 0.0)
    if workers == 1 and per_trial > 1:
        workers = int(per_trial)  # two GPUs are two data-parallel workers
    gpus_per_worker = per_trial / workers
    most = None
    if per_trial:
        most = _shares(gpus, per_trial)
        nodes_used = [node for node in nodes if node.get("GPU")]
    else:
        nodes_used = list(nodes)
    if cpus_per_trial is None:
        cpus_per_trial = _share_of_cpus(nodes_used, workers, gpus_per_worker, most)
    # the process that starts the workers holds its part of the trial's CPUs: else trials on all CPUs deadlock
    driver_apart = any(node.get(DRIVER) for node in nodes)
    taken = DRIVER_CPUS if workers > 1 and not driver_apart else 0
    placement = Placement(
        workers=workers,
        cpus_per_worker=(cpus_per_trial - taken) / workers,
        gpus_per_worker=gpus_per_worker,
        concurrency=0,
        num_gpus=gpus,
        gpu_type=gpu_type,
        driver_apart=driver_apart,
        most=most if num_gpus is not None else None,
    )
    packed = dataclasses.replace(placement, strategy="STRICT_PACK").on(nodes_used)
    found = packed if packed.concurrency or workers == 1 else placement.on(nodes_used)
    if found.concurrency < 1:
        needs = f"{cpus_per_trial:g} CPUs" + f" and {per_trial:g} GPUs" * bool(per_trial)
        has = f"{cpus:g} CPUs" + f" and {gpus:g} GPUs" * bool(per_trial)
        has += f" on {len(nodes)} nodes" * (len(nodes) > 1)
        raise BalltrainError(
            f"a trial needs {needs}, but there are {has}: "
            "lower --workers-per-trial, --cpus-per-trial or --gpus-per-trial"
        )
    return found


class NotEnoughGpus(BalltrainError):
    """More GPUs were asked for than there are; a cluster that grows may have them later."""


def _check_enough_gpus(wanted: float, gpus: float, cpus: float) -> None:
    if wanted > gpus:
        there = f"{gpus:g} GPU{'s' * (gpus != 1)}"
        advice = f"--num-gpus {int(gpus)}" if gpus else "--num-gpus 0, to train on CPUs"
        raise NotEnoughGpus(f"{wanted:g} GPUs were asked for, but there are {there} and {cpus:g} CPUs: type {advice}")


def _share_of_cpus(nodes: Sequence[Node], workers: int, gpus_per_worker: float, most: int | None) -> float:
    """A trial's CPUs by default: what is left to it where as many trials as its node's GPUs allow run beside it."""
    if not gpus_per_worker:
        return float(workers)
    shares = []
    for node in nodes:
        on_node = min(_shares(node["GPU"], gpus_per_worker), (most or 0) * workers)
        if on_node:
            shares.append(node.get("CPU", 0.0) * workers // on_node)
    return max(1.0, min(shares, default=1.0))


def _of_type(nodes: Sequence[Node], gpu_type: str) -> list[Node]:
    there = sorted({name.removeprefix(TYPE) for node in nodes for name in node if name.startswith(TYPE)})
    if gpu_type not in there:
        raise NotEnoughGpus(f"--gpu-type is {gpu_type!r}, but there are {', '.join(there) or 'none that are known'}")
    return [node for node in nodes if node.get(TYPE + gpu_type) or node.get(DRIVER)]


def _check_values(
    num_gpus: int | None, gpus_per_trial: float | None, workers_per_trial: int | None, cpus_per_trial: float | None
) -> None:
    for name, value in (("workers-per-trial", workers_per_trial), ("cpus-per-trial", cpus_per_trial)):
        if value is not None and value <= 0:
            raise UsageError(f"--{name} is {value:g}, but must be greater than 0")
    for name, value in (("num-gpus", num_gpus), ("gpus-per-trial", gpus_per_trial)):
        if value is not None and value < 0:
            raise UsageError(f"--{name} is {value:g}, but must be at least 0")
    _check_share_of_gpu(gpus_per_trial, workers_per_trial or 1)


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
