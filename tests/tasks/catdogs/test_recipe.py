"""An original trains as it was published, unless told otherwise; what balltrain wrote before still reads."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from picture_files import write_trainset

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.base import resolve
from balltrain.tasks.catdogs.task import task
from balltrain.training.checkpoint import load_checkpoint
from balltrain.training.schedules import build_optimizer

FIXTURES = Path(__file__).parent / "fixtures"
MADE_UP = "this was trained with an earlier network of the name classifier5, made up before the original's"


def hyperparameters(**values):
    return resolve(task, values)


@pytest.mark.parametrize("model", ["classifier5", "classifier5d", "classifier7", "vgg"])
def test_an_original_trains_with_plain_sgd_on_pixels_to_255(model):
    hp = hyperparameters(model=model)
    assert (hp.optimizer, hp.momentum, hp.weight_decay, hp.pixels) == ("sgd", 0, 0, 255)
    assert (hp.schedule, hp.label_smoothing, hp.epochs, hp.patience) == ("constant", 0, 50, 10)
    optimizer = build_optimizer(hp, torch.nn.Linear(1, 1))
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == 0


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ({"model": "classifier5"}, ("medium-low", 0.001297, 20, 0.003782)),
        ({"model": "classifier5", "augmentation": "high"}, ("high", 0.002022, 54, 0)),
        ({"model": "classifier5", "augmentation": "medium"}, ("medium", 0.000565, 18, 0)),
        ({"model": "classifier5", "augmentation": "low"}, ("low", 0.002368, 20, 0.005226)),
        ({"model": "classifier5", "augmentation": "normal"}, ("normal", 0.001297, 20, 0.003782)),
        ({"model": "classifier5d"}, ("medium-low", 0.001297, 20, 0.003782)),
        ({"model": "classifier5d", "augmentation": "high"}, ("high", 0.002022, 54, 0)),
        ({"model": "classifier7"}, ("medium", 0.001103, 20, 0.028352)),
        ({"model": "vgg"}, ("medium-low", 0.008962506103515625, 78, 0.00128163)),
    ],
)
def test_its_values_are_the_best_of_its_search(values, best):
    hp = hyperparameters(**values)
    assert (hp.augmentation, hp.lr, hp.batch_size, hp.regularization) == best


def test_what_is_given_wins():
    hp = hyperparameters(model="classifier5", augmentation="high", lr=0.5, momentum=0.9, pixels=1, optimizer="adam")
    assert (hp.lr, hp.momentum, hp.pixels, hp.optimizer, hp.batch_size) == (0.5, 0.9, 1, "adam", 54)


def test_the_residual_network_is_the_default_with_a_recipe_of_its_own():
    hp = hyperparameters()
    assert (hp.model, hp.optimizer, hp.augmentation, hp.regularization, hp.patience) == (
        *("resnet", "adamw", "strong", 0, None),
    )


def test_a_checkpoint_of_a_made_up_network_is_refused_in_one_line(tmp_path):
    shutil.copytree(FIXTURES / "made-up-network", tmp_path / "best")
    shutil.copy(FIXTURES / "earlier-resnet" / "model.safetensors", tmp_path / "best")
    with pytest.raises(BalltrainError, match=f"{MADE_UP}.*: train it anew") as error:
        load_checkpoint(tmp_path / "best")
    assert "\n" not in str(error.value)


def test_a_journal_of_a_made_up_network_is_refused_in_one_line(cli, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(FIXTURES / "made-up-network" / "journal.jsonl", tmp_path / "run")
    before = (tmp_path / "run" / "journal.jsonl").read_text()
    trainset = write_trainset(tmp_path, 5)
    command = ("train", "catdogs", "--source", trainset, "--set", "model=classifier5", "--epochs", "1", "--resume")
    code, out, err = cli(*command, "--out", tmp_path / "run", "--data-dir", tmp_path / "data", "--wandb", "off")
    assert (code, out) == (1, "")
    assert err == (f"error: cannot resume run: {MADE_UP} layers were known: train it anew\n")
    assert (tmp_path / "run" / "journal.jsonl").read_text() == before


def test_a_checkpoint_of_the_residual_network_is_read_as_ever():
    loaded = load_checkpoint(FIXTURES / "earlier-resnet")
    assert (loaded.hp.model, loaded.hp.augmentation, loaded.hp.widths) == ("resnet", "normal", (4,))
    assert loaded.model(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape == (1, 2)


def test_names_of_before_mean_what_they_did():
    hp = hyperparameters(model="classifier5", l2_norm=0.25, augmentation="none")
    assert (hp.regularization, hp.augmentation) == (0.25, "normal")
    with pytest.raises(UsageError, match="regularization = -1: should be greater than or equal to 0"):
        hyperparameters(l2_norm=-1)


def test_fixtures_are_as_they_were_written():
    config = json.loads((FIXTURES / "made-up-network" / "config.json").read_text())
    assert config["hyperparameters"]["vgg_channels"][0] == [100, 100]
