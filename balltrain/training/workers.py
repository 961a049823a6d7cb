"""The workers of a data-parallel trial, seen through torch.distributed alone; one worker needs no group."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank_and_world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def replicate(model: nn.Module, device: torch.device) -> nn.Module:
    """The model as each worker trains it: gradients are averaged over the workers in the backward pass."""
    if rank_and_world()[1] == 1:
        return model
    ids = [device.index or 0] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=ids)


def sum_over_workers(value: Tensor) -> Tensor:
    if rank_and_world()[1] > 1:
        dist.all_reduce(value)
    return value


def gather_rows(outputs: dict[str, Tensor], num_rows: int) -> dict[str, Tensor]:
    """The rows of all workers in the split's order, on every worker.

    Worker r holds the rows r, r + world, … of each global batch, which is the split's own order only where
    the batch size is a multiple of the number of workers; `Batches` of an evaluation is made so.
    """
    _, world = rank_and_world()
    if world == 1:
        return outputs
    shards: list[Any] = [None] * world
    dist.all_gather_object(shards, outputs)
    whole = {}
    for name in outputs:
        first = shards[0][name]
        rows = first.new_empty((num_rows, *first.shape[1:]))
        for rank, shard in enumerate(shards):
            rows[rank::world] = shard[name]
        whole[name] = rows
    return whole
