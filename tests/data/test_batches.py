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


def test_a_last_smaller_batch_can_be_dropped(dataset):
    batches = Batches(dataset, "train", 4, CPU, drop_last=True)
    assert [len(batch) for batch in values(batches.shuffled(0, 1))] == [4, 4]
    assert batches.num_training_batches() == 2
    assert len(values(batches.in_order())) == 3  # every row is evaluated
    few = Batches(dataset, "train", 16, CPU, drop_last=True)
    assert [len(batch) for batch in values(few.shuffled(0, 1))] == [10]  # else nothing would be left


class Buckets(Numbers):
    name = "buckets"

    def prepare(self, request, arrays):
        super().prepare(request, arrays)
        arrays["bucket"] = np.where(np.arange(request.size) % 5 < 2, 1, 2).astype(np.uint8)
        return {}


def test_a_batch_that_mixes_buckets_has_both_on_every_worker(tmp_path):
    """Whatever the rows are that a worker gets of it."""
    dataset = load_data(TaskRef("buckets"), Buckets(), DataRequest(size=36), tmp_path)  # 15 and 21
    seen = [
        [set(batch["bucket"].tolist()) for batch, _ in Batches(dataset, "train", 6, CPU, **worker).shuffled(0, 1)]
        for worker in ({}, {"rank": 0, "world": 2}, {"rank": 1, "world": 2})
    ]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0].count({3}) == 1
    assert {1} in seen[0]
    assert {2} in seen[0]
    in_order, _ = next(Batches(dataset, "train", 6, CPU).in_order())
    assert set(in_order["bucket"].tolist()) == {1, 2}  # of what is evaluated each row has its own


@pytest.mark.parametrize("size", [40, 41])
def test_batches_are_of_one_bucket_as_far_as_they_go(tmp_path, size):
    dataset = load_data(TaskRef("buckets"), Buckets(), DataRequest(size=size), tmp_path)  # 16 or 17 rows of 1
    batches = Batches(dataset, "train", 6, CPU)
    found = values(batches.shuffled(0, 1))
    assert sorted(row for batch in found for row in batch) == list(range(size))
    assert [len(batch) for batch in found] == [6] * 6 + [size - 36]
    mixed = [len({row % 5 < 2 for row in batch}) > 1 for batch in found]
    assert sum(mixed) <= 1
    assert found == values(batches.shuffled(0, 1)) != values(batches.shuffled(0, 2))
    kinds = {tuple(batch[0] % 5 < 2 for batch in values(batches.shuffled(0, epoch))) for epoch in range(1, 5)}
    assert len(kinds) > 1  # not first all batches of one bucket
    assert len(values(batches.in_order())) == len(found)


def ordered(dataset, **options):
    """Batches by x modulo 7, of which the rows that are equal come in any order."""
    return Batches(dataset, "train", 4, CPU, order_by=dataset.arrays["x"] % 7, **options)


@pytest.mark.parametrize(("name", "task"), [("numbers", Numbers()), ("buckets", Buckets())])
def test_batches_of_neighbours_in_an_order(tmp_path, name, task):
    dataset = load_data(TaskRef(name), task, DataRequest(size=42), tmp_path)
    batches = ordered(dataset)
    found = values(batches.shuffled(3, 1))
    assert sorted(row for batch in found for row in batch) == list(range(42))
    assert [len(batch) for batch in found] == [4] * 10 + [2]
    spans = sorted(tuple(sorted(row % 7 for row in batch)) for batch in found)
    assert [value for span in spans for value in span] == sorted(row % 7 for row in range(42))  # none overlaps
    assert found == values(ordered(dataset).shuffled(3, 1)) != values(batches.shuffled(3, 2))
    assert [batch[0] % 7 for batch in found] != sorted(batch[0] % 7 for batch in found)  # these in any order
    # another place is cut out each epoch, so that no row is always in the smaller batch, or always left out
    last = [values(batches.shuffled(3, epoch))[-1] for epoch in range(1, 20)]
    assert len({min(row % 7 for row in batch) for batch in last}) > 3
    few = values(Batches(dataset, "train", 64, CPU, order_by=dataset.arrays["x"]).shuffled(3, 1))
    assert [sorted(batch) for batch in few] == [list(range(42))]


def test_workers_share_batches_of_neighbours_too(tmp_path):
    dataset = load_data(TaskRef("buckets"), Buckets(), DataRequest(size=42), tmp_path)
    whole = list(ordered(dataset, drop_last=True).shuffled(5, 2))
    shards = [list(ordered(dataset, drop_last=True, rank=rank, world=2).shuffled(5, 2)) for rank in (0, 1)]
    assert len(whole) == 10
    for (batch, _), (first, _), (second, _) in zip(whole, *shards, strict=True):
        assert torch.equal(batch["x"][0::2], first["x"])
        assert torch.equal(batch["x"][1::2], second["x"])
        assert set(batch["bucket"].tolist()) == set(first["bucket"].tolist()) | set(second["bucket"].tolist())
        assert len(set(batch["bucket"].tolist())) == 1
