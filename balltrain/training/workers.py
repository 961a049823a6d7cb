"""The workers of a data-parallel trial, seen through torch.distributed alone; one worker needs no group.

Batch norm: each worker normalises by the statistics of its own share of a batch, and the running statistics, which
evaluation uses, are those of rank 0. With `sync_batch_norm` both are those of the whole batch, so that several
workers learn what one learns with the same batch size; it costs two exchanges a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank_and_world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def replicate(model: nn.Module, device: torch.device, *, sync_batch_norm: bool = False) -> nn.Module:
    """The model as each worker trains it: gradients are averaged over the workers in the backward pass."""
    if rank_and_world()[1] == 1:
        return model
    if sync_batch_norm:
        _synchronise_batch_norm(model)
    ids = [device.index or 0] if device.type == "cuda" else None
    # buffers are needed in evaluation alone: `share_buffers`, once an epoch in place of once a batch
    return nn.parallel.DistributedDataParallel(
        model, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True
    )


def share_buffers(model: nn.Module) -> None:
    """Give every worker the buffers of rank 0, such as the running statistics of batch norm."""
    if rank_and_world()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


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


def _synchronise_batch_norm(model: nn.Module) -> None:
    for name, module in model.named_children():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            setattr(model, name, _SyncBatchNorm(module))
        else:
            _synchronise_batch_norm(module)


class _SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Another batch norm's state, normalised by the whole batch of all workers. torch's own refuses CPUs."""

    def __init__(self, other: nn.modules.batchnorm._BatchNorm):
        super().__init__(other.num_features, other.eps, other.momentum)
        self.weight, self.bias = other.weight, other.bias
        self._buffers = other._buffers
        self.train(other.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions; the channels are the second."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        others = [dim for dim in range(input.dim()) if dim != 1]  # than the channels
        shape = [1, -1] + [1] * (input.dim() - 2)
        x = input.float()
        count = _summed(x.new_full((1,), input.numel() / self.num_features))
        mean = _summed(x.sum(others)) / count
        centered = x - mean.view(shape)
        var = _summed(centered.square().sum(others)) / count
        with torch.no_grad():
            batches, running_mean, running_var = self.num_batches_tracked, self.running_mean, self.running_var
            if batches is not None and running_mean is not None and running_var is not None:
                batches += 1
                weight = self.momentum if self.momentum is not None else 1 / float(batches)
                running_mean.lerp_(mean, weight)
                running_var.lerp_(var * count / (count - 1), weight)
        scale = (var + self.eps).rsqrt()
        if self.weight is None:
            return (centered * scale.view(shape)).to(input.dtype)
        return torch.addcmul(self.bias.view(shape), centered, (scale * self.weight).view(shape)).to(input.dtype)


class _SumOverWorkers(torch.autograd.Function):
    """Its gradient is summed over the workers too: each worker's loss depends on what every worker put in."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return sum_over_workers(value.clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return sum_over_workers(grad.clone())


def pick_device(gpus: float = 1) -> torch.device:
    """The GPU that Ray, or CUDA_VISIBLE_DEVICES, gave this process; the CPU where it is to have none."""
    if gpus and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


_summed: Callable[[Tensor], Tensor] = _SumOverWorkers.apply  # whose type torch leaves open
