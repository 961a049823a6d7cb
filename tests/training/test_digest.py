"""Which hyperparameters had an effect, told from the first row of a trial alone."""

import pytest
import torch
from torch import nn
from toy import Toy

from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Hyperparameters, resolve
from balltrain.training.loop import fit


class Knobs(Toy):
    """With hyperparameters for all that a task may do with one, and one that it forgot."""

    class Hyperparameters(Hyperparameters):
        width: int = 8
        dropout: float = 0.1
        norm_momentum: float = 0.1
        loss_scale: float = 1.0
        noise: float = 0.0
        forgotten: float = 1.0

    name = "knobs"

    def build_model(self, hp, facts):
        norm = nn.BatchNorm1d(hp.width, momentum=hp.norm_momentum)
        return nn.Sequential(nn.Linear(4, hp.width), norm, nn.Dropout(hp.dropout), nn.Linear(hp.width, 1))

    def augment(self, batch, hp):
        return {"x": batch["x"] + hp.noise * torch.randn_like(batch["x"])}

    def loss(self, model, batch, hp):
        return hp.loss_scale * super().loss(model, batch, hp)


@pytest.fixture
def first_row(tmp_path):
    """Digest and first loss of a training with these hyperparameters."""

    def train(seed=0, epochs=1, **values):
        task = Knobs()
        dataset = load_data(TaskRef(task.name), task, DataRequest(), tmp_path)
        folder = tmp_path / f"{seed}-{values}"
        folder.mkdir()
        rows = []
        hp = resolve(task, {"batch_size": 16, "epochs": epochs, **values})
        fit(task, hp, dataset, seed=seed, folder=folder, report=rows.append, device=torch.device("cpu"))
        assert all("digest" not in row for row in rows[1:])
        return rows[0]["digest"], rows[0]["first_loss"]

    return train


EFFECTIVE = [
    {"lr": 0.1},
    {"weight_decay": 0.1},
    {"optimizer": "sgd"},
    {"schedule": "cosine"},
    {"clip_norm": 1.0},
    {"batch_size": 8},
    {"width": 4},
    {"dropout": 0.5},
    {"norm_momentum": 0.5},
    {"loss_scale": 2.0},
    {"noise": 0.1},
]


@pytest.mark.parametrize("change", EFFECTIVE, ids=str)
def test_what_has_an_effect_is_seen(first_row, change):
    assert first_row() != first_row(**change)


@pytest.mark.parametrize(
    "change",
    [{"forgotten": 2.0}, {"momentum": 0.5}, {"gamma": 0.1}, {"warmup": 0.5}, {"step_size": 7}],
    ids=str,
)
def test_what_has_none_is_not(first_row, change):
    """momentum is of SGD, which is not used; the others are of schedules that are not."""
    assert first_row() == first_row(**change)


def test_two_seeds_compare(first_row):
    assert first_row(seed=1) == first_row(seed=2)


def test_a_schedule_that_moves_is_seen(first_row):
    settings = {"schedule": "step", "step_size": 1, "epochs": 3}
    assert first_row(**settings, gamma=0.1) != first_row(**settings, gamma=0.5)
