"""One model in training: what is learned from what, and what an epoch of it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from balltrain.data.batches import Batches
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Hyperparameters, Task
from balltrain.tasks.protocols import LoadsWeights
from balltrain.training.outputs import returned, validate
from balltrain.training.precision import autocast, choose_algorithms
from balltrain.training.running import RunningFigures
from balltrain.training.schedules import build_optimizer, learning_rate
from balltrain.training.seeds import BY_HASH, BY_SEED_SEQUENCE, epoch_seed, start_seed
from balltrain.training.workers import rank_and_world, replicate, sum_over_workers

OnBatch = Callable[[int, int, int], None]  # is told epoch, batch and number of batches


class Training:
    """A task, its hyperparameters and data, a model and its optimiser, and the seed of all that they draw.

    New, or as `state` has it, which `state()` of an earlier one returned. `start` is the number of the model's
    initialisation, from 0, where several are tried. `replica` is the model as this worker trains it.
    """

    def __init__(
        self,
        task: Task,
        hp: Hyperparameters,
        batches: Batches,
        seed: int,
        *,
        start: int = 0,
        state: dict[str, Any] | None = None,
    ):
        self.task, self.hp, self.batches, self.seed, self.start = task, hp, batches, seed, start
        choose_algorithms(hp.cudnn_benchmark, batches.device)
        self.model = self.build_model(start_seed(seed, start), load_weights=state is None)
        self.optimizer = build_optimizer(hp, self.model)
        self.seeds = BY_SEED_SEQUENCE
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.seeds = state.get("seeds", BY_HASH)
        self.replica = replicate(self.model, batches.device, sync_batch_norm=hp.sync_batch_norm)
        self.reductions = 0  # of a plateau's rate, by the objectives so far

    def build_model(self, seed: int, *, load_weights: bool = True) -> nn.Module:
        """A new model on the device; from the file of weights where the hyperparameters name one."""
        torch.manual_seed(seed)
        model = self.task.build_model(self.hp, self.batches.dataset.facts)
        if not isinstance(model, nn.Module):
            raise BalltrainError(
                f"{self.task.name}: build_model returned {returned(model)}, but must return a torch.nn.Module"
            )
        # torch's types know `memory_format` beside a tensor alone
        model.to(self.batches.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if load_weights and isinstance(self.task, LoadsWeights):
            self.task.load_weights(model, self.hp)
        return model

    @property
    def num_params(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def state(self) -> dict[str, Any]:
        """All that is needed to go on after the last epoch, but for how far it came."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "seeds": self.seeds}

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        return learning_rate(self.hp, step, self.batches.num_training_batches(), self.reductions)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], running: RunningFigures | None = None) -> Tensor:
        """The training loss of a batch, augmented and in the precision asked for: a scalar.

        `running`, which watches the model, is told of the batch.
        """
        augmented = self.task.augment(batch, self.hp)  # in full precision: positions in pixels have more than 8 bits
        with autocast(self.hp.precision, self.batches.device):
            loss = self.task.loss(model, augmented, self.hp)
            if running is not None:
                running.add(augmented)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise BalltrainError(
                f"{self.task.name}: loss returned {returned(loss)}, but must return a tensor of one number, such as "
                "the mean over the batch"
            )
        return loss

    def steps(self, epoch: int, running: RunningFigures | None = None) -> Iterator[tuple[Tensor, int, float]]:
        """Train an epoch, a batch a step: the sum of this worker's losses, the items of all workers, the rate."""
        rank, world = rank_and_world()
        # one draw of dropout and augmentation an epoch and worker, whatever came before: resuming is exact
        torch.manual_seed(epoch_seed(self.seed, epoch, rank, self.seeds))
        self.replica.train(self.hp.in_training_mode(epoch))
        num_batches = self.batches.num_training_batches()
        for number, (batch, global_size) in enumerate(self.batches.shuffled(self.seed, epoch)):
            lr = self.rate((epoch - 1) * num_batches + number)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            local_size = len(next(iter(batch.values())))
            loss = self.loss(self.replica, batch, running)
            # gradients are averaged over workers, whose shares of the last batch differ: weighted, it is the mean
            torch.autograd.backward(loss * (local_size * world / global_size))
            if self.hp.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.replica.parameters(), self.hp.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            yield loss.detach().double() * local_size, global_size, lr

    def train_epoch(self, epoch: int, on_batch: OnBatch | None = None) -> tuple[float, float, dict[str, float]]:
        """Mean training loss of the epoch, the last learning rate, and the metrics of its training batches."""
        num_batches = self.batches.num_training_batches()
        # summed on the device: reading a loss back every batch would wait for the GPU
        loss_sum, num_items = torch.zeros((), device=self.batches.device, dtype=torch.float64), 0
        lr, running = self.hp.lr, RunningFigures(self.task, self.hp, self.batches.device)
        with running.watching(self.replica):
            for number, (share, global_size, step_lr) in enumerate(self.steps(epoch, running), 1):
                loss_sum += share
                num_items += global_size
                lr = step_lr
                if on_batch is not None:
                    on_batch(epoch, number, num_batches)
        return float(sum_over_workers(loss_sum)) / max(1, num_items), lr, running.figures()

    def validate(self, batches: Batches) -> dict[str, float]:
        """The figures of the model on a split, as it is now."""
        return validate(self.task, self.hp, self.model, batches)
