"""Batches of a split as tensors on the device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from balltrain.data.cache import Dataset

RELEASE_BYTES = 64 << 20  # mapped pages are given back after so many bytes, so that a trial stays small
GPU_SHARE = 0.5  # of the free memory of a GPU, which a split may fill to be kept there


class Batches:
    """The rows of one split in batches, the same on every run with the same seed.

    With several workers, every worker makes the same global batches, and takes each `world`-th row of them:
    what is learned does not depend on their number. `global_sizes` holds the number of rows of each batch.

    Of data with an array `bucket`, a training batch has rows of one value, as far as they fill batches; what is left
    over of all of them makes the others, where every row has the bitwise or of the batch's values. With `drop_last`
    a smaller last batch is left out of training. `order_by` (items of the data,) are numbers: a training batch then
    has rows that follow each other in their order, equal ones in any, and buckets do not count.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        batch_size: int,
        device: torch.device,
        *,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = False,
        order_by: np.ndarray | None = None,
    ):
        self.dataset = dataset
        self.rows = dataset.splits[split]
        self.batch_size = batch_size
        self.device = device
        self.rank, self.world = rank, world
        self.drop_last = drop_last
        self.order_by = order_by
        self._bytes_gathered = 0
        self._resident = self._load_resident()

    def __len__(self) -> int:
        """Batches of a validation epoch: every row counts, in a last, smaller batch too."""
        return -(-len(self.rows) // self.batch_size)

    def num_training_batches(self) -> int:
        """A last batch too small for batch norm (fewer than two rows a worker) is left out of training."""
        remainder = len(self.rows) % self.batch_size
        fewest = self.batch_size if self.drop_last else 2 * self.world
        too_small = 0 < remainder < fewest and len(self.rows) > self.batch_size
        return len(self) - too_small

    def in_order(self) -> Iterator[tuple[dict[str, Tensor], int]]:
        return self._batches(np.arange(len(self.rows)), len(self))

    def shuffled(self, seed: int, epoch: int) -> Iterator[tuple[dict[str, Tensor], int]]:
        """Another order each epoch, a function of seed and epoch alone: a resumed trial sees the same."""
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(self.rows))
        has_buckets = "bucket" in self.dataset.arrays
        if self.order_by is not None:
            order = self._in_runs(order, self.order_by[self.rows[order]], rng)
        elif has_buckets:
            order = self._by_bucket(order, rng)
        return self._batches(order, self.num_training_batches(), one_bucket=has_buckets)

    def _by_bucket(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same positions, such that each bucket's lie together in whole batches, and these in any order."""
        bucket = self.dataset.arrays["bucket"][self.rows[order]]
        whole, left_over = [], []
        for value in np.unique(bucket):
            positions = order[bucket == value]
            filling = len(positions) // self.batch_size * self.batch_size
            whole.append(positions[:filling])
            left_over.append(positions[filling:])
        rest = rng.permutation(np.concatenate(left_over))
        # those of the rest that fill batches are shuffled with the others: the smaller one stays the last
        filling = len(rest) // self.batch_size * self.batch_size
        batches = np.concatenate([*whole, rest[:filling]]).reshape(-1, self.batch_size)
        return np.concatenate([rng.permutation(batches).reshape(-1), rest[filling:]])

    def _in_runs(self, order: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same positions by their values, cut into batches, and these in any order; a smaller one is the last.

        Where among the values the smaller one is cut out is drawn too: else it were always the largest.
        """
        rising = order[np.argsort(values, kind="stable")]
        num_whole, remainder = divmod(len(rising), self.batch_size)
        cut = int(rng.integers(num_whole + 1)) * self.batch_size
        smaller, others = rising[cut : cut + remainder], np.delete(rising, slice(cut, cut + remainder))
        return np.concatenate([rng.permutation(others.reshape(-1, self.batch_size)).reshape(-1), smaller])

    def _batches(
        self, order: np.ndarray, num_batches: int, *, one_bucket: bool = False
    ) -> Iterator[tuple[dict[str, Tensor], int]]:
        for start in range(0, num_batches * self.batch_size, self.batch_size):
            whole = order[start : start + self.batch_size]
            batch = self._gather(whole[self.rank :: self.world])
            if one_bucket:  # that of the whole batch, whatever a worker's share of it is
                value = int(np.bitwise_or.reduce(self.dataset.arrays["bucket"][self.rows[whole]]))
                batch["bucket"] = torch.full_like(batch["bucket"], value)
            yield batch, len(whole)

    def _gather(self, positions: np.ndarray) -> dict[str, Tensor]:
        if self._resident is not None:
            index = torch.from_numpy(positions).to(self.device)
            return {name: tensor[index] for name, tensor in self._resident.items()}
        rows = self.rows[positions]
        batch = {name: torch.from_numpy(array[rows]) for name, array in self.dataset.arrays.items()}
        self._bytes_gathered += sum(tensor.nbytes for tensor in batch.values())
        if self._bytes_gathered > RELEASE_BYTES:
            self.dataset.release_pages()
            self._bytes_gathered = 0
        if self.device.type == "cpu":
            return batch
        return {name: t.pin_memory().to(self.device, non_blocking=True) for name, t in batch.items()}

    def _load_resident(self) -> dict[str, Tensor] | None:
        """The whole split on the GPU, where it fits: copying it there batch by batch would idle the GPU."""
        if self.device.type != "cuda":
            return None
        arrays = self.dataset.arrays
        needed = sum(array.nbytes // max(1, len(array)) * len(self.rows) for array in arrays.values())
        if needed > GPU_SHARE * torch.cuda.mem_get_info(self.device)[0]:
            return None
        return {name: torch.from_numpy(array[self.rows]).to(self.device) for name, array in arrays.items()}
