"""Data-parallel training on two processes of this machine, by torch.distributed alone."""

from functools import partial

import pytest
import torch
from data_parallel import run_workers
from toy import Toy

from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.training.loop import fit

CPU = torch.device("cpu")


class Plain(Toy):
    """Without dropout, whose draws differ from worker to worker."""

    name = "plain"

    def build_model(self, hp, facts):
        return torch.nn.Linear(facts["width"], 1)


class Normed(Plain):
    """With batch norm, in a model of models."""

    def build_model(self, hp, facts):
        # without a bias: batch norm takes it out again, so that Adam moves it by rounding errors alone
        linear = torch.nn.Linear(facts["width"], 8, bias=False)
        hidden = torch.nn.Sequential(linear, torch.nn.BatchNorm1d(8), torch.nn.ReLU())
        return torch.nn.Sequential(hidden, torch.nn.Linear(8, 1))


def train(folder, data, task, **options):
    rows = []
    hp = Plain.Hyperparameters(epochs=3, batch_size=12, lr=0.05, **options)  # 80 rows: a last batch of 8
    dataset = load_data(TaskRef("plain"), task, DataRequest(), data)
    fit(task, hp, dataset, seed=0, folder=folder, report=rows.append, device=CPU)
    return [(row["epoch"], row["train_loss"], row["val_loss"], row["metrics"]["error"]) for row in rows]


def train_on(world, tmp_path, task, **options):
    """The rows that each of several workers reports."""
    (tmp_path / "checkpoint").mkdir()
    return run_workers(world, partial(train, **options), tmp_path, tmp_path / "checkpoint", tmp_path / "data", task)


def train_alone(tmp_path, task, **options):
    (tmp_path / "alone").mkdir()
    return train(tmp_path / "alone", tmp_path / "data", task, **options)


@pytest.mark.parametrize("world", [2, 3])
def test_several_workers_give_the_numbers_of_one(tmp_path, world):
    alone = train_alone(tmp_path, Plain())
    for rows in train_on(world, tmp_path, Plain()):
        for found, expected in zip(rows, alone, strict=True):
            assert found == pytest.approx(expected, rel=1e-4)


def test_several_workers_choose_the_start_that_one_chooses(tmp_path):
    """Each sees a share of the batches, by which another start may look better."""
    alone = train_alone(tmp_path, Plain(), restarts=4)
    first, second = train_on(2, tmp_path, Plain(), restarts=4)
    assert first == second
    for found, expected in zip(first, alone, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


def test_synchronised_batch_norm_gives_the_numbers_of_one_worker(tmp_path):
    alone = train_alone(tmp_path, Normed())
    for rows in train_on(2, tmp_path, Normed(), sync_batch_norm=True):
        for found, expected in zip(rows, alone, strict=True):
            assert found == pytest.approx(expected, rel=1e-4)


def test_batch_norm_of_each_workers_share_gives_others(tmp_path):
    alone = train_alone(tmp_path, Normed())
    rows = train_on(2, tmp_path, Normed())[0]
    assert rows[-1] != pytest.approx(alone[-1], rel=1e-3)
