import numpy as np
import pytest
import torch

from balltrain.data.batches import Batches
from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Task

CPU = torch.device("cpu")


class Numbers(Task):
    name = "numbers"

    def prepare(self, request, arrays):
        arrays["x"] = np.arange(request.size)
        arrays["split"] = np.zeros(request.size, np.uint8)
        return {}


@pytest.fixture
def dataset(tmp_path):
    return load_data(TaskRef("numbers"), Numbers(), DataRequest(size=10), tmp_path)


def values(batches):
    return [batch["x"].tolist() for batch, _ in batches]


def test_an_epoch_has_every_row_once_in_an_order_of_seed_and_epoch(dataset):
    batches = Batches(dataset, "train", 4, CPU)
    first, again, other = (
        values(batches.shuffled(0, 1)),
        values(batches.shuffled(0, 1)),
        values(batches.shuffled(0, 2)),
    )
    assert first == again != other
    assert sorted(row for batch in first for row in batch) == list(range(10))


def test_the_last_smaller_batch_counts(dataset):
    assert values(Batches(dataset, "train", 4, CPU).in_order()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_training_leaves_out_a_last_batch_of_one_which_batch_norm_refuses(dataset):
    batches = Batches(dataset, "train", 3, CPU)
    assert [len(batch) for batch in values(batches.shuffled(0, 1))] == [3, 3, 3]
    assert batches.num_training_batches() == 3
    assert len(values(batches.in_order())) == 4


def test_workers_share_the_batches_of_one(dataset):
    whole = values(Batches(dataset, "train", 4, CPU).shuffled(5, 1))
    shards = [values(Batches(dataset, "train", 4, CPU, rank=rank, world=2).shuffled(5, 1)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *shards, strict=False):
        assert batch[0::2] == first
        assert batch[1::2] == second
