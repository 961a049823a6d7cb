"""The learning-rate finder."""

import json

import numpy as np
import pytest
import torch
from toy import TOY_FILE, Toy

from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, resolve
from balltrain.training.finder import HIGHEST, LOWEST, MIN_STEPS, find_rate, steepest

CPU = torch.device("cpu")


def found_of(task, folder, **values):
    hp = resolve(task, {"batch_size": 16, **values})
    return find_rate(task, hp, load_data(TaskRef(task.name), task, DataRequest(), folder), 0, CPU)


def test_the_steepest_fall_is_found_before_the_loss_rises():
    logs = np.linspace(np.log(1e-6), np.log(10), 200)
    middle, minimum = np.log(1e-3), np.log(1e-1)
    losses = 1 / (1 + np.exp(logs - middle)) + np.exp(3 * (logs - minimum - 1))
    rates = np.exp(logs).tolist()
    assert steepest(rates, losses.tolist()) == pytest.approx(1e-3, rel=0.5)
    assert steepest(rates, np.linspace(1, 2, 200).tolist()) is None


def test_the_suggestion_learns_and_rates_rise_until_the_loss_diverges(tmp_path):
    found = found_of(Toy(), tmp_path, optimizer="sgd", schedule="onecycle")
    ratios = np.diff(np.log(found.rates))
    assert ratios == pytest.approx(np.log(HIGHEST / LOWEST) / (MIN_STEPS - 1))
    assert found.diverged
    assert len(found.rates) < MIN_STEPS
    assert 1e-4 < found.suggestion < found.lowest < found.rates[-1]
    assert f"falls fastest at {found.suggestion:.1e}" in found.reason


def test_it_is_the_same_again(tmp_path):
    assert found_of(Toy(), tmp_path) == found_of(Toy(), tmp_path)


def test_a_loss_that_is_no_number_is_said(tmp_path):
    class Broken(Toy):
        def loss(self, model, batch, hp):
            return super().loss(model, batch, hp) * float("nan")

    with pytest.raises(BalltrainError, match="diverged after 0 batches"):
        found_of(Broken(), tmp_path)


def test_the_command_says_it_draws_it_and_keeps_no_model(tmp_path, capsys):
    from balltrain.cli import main

    out = tmp_path / "out"
    options = ["train", TOY_FILE, "--find-lr", "--data-dir", str(tmp_path), "--out", str(out)]
    for more in (["--json"], []):
        with pytest.raises(SystemExit, match="0"):
            main([*options, *more])
    said, *lines = capsys.readouterr().out.splitlines()
    suggestion = json.loads(said)["suggestion"]
    assert f"^ {suggestion:.1e}" in lines[1]
    assert lines[-1] == f"balltrain train {TOY_FILE} --set lr={suggestion:.2g}"
    assert [path.name for path in out.iterdir()] == ["find-lr.html"]
    with pytest.raises(SystemExit, match="2"):
        main([*options, "--folds", "3"])
    assert "leave out --folds" in capsys.readouterr().err
