"""What a network is made of."""

import pytest
import torch
from toy import TOY_FILE

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest
from balltrain.training.network import describe_network


def described(name, **hyperparameters):
    return describe_network(task_ref(name), hyperparameters, DataRequest(), None)


@pytest.mark.parametrize(
    ("name", "model", "num_params"),
    [("catdogs", "classifier5", 2_205_602), ("cifar10", "b", 7_390), ("cifar10", "gap", 461_150)],
)
def test_the_originals_have_their_parameters_without_any_data(name, model, num_params):
    network = described(name, model=model)
    assert network.num_params == num_params == sum(layer.num_params for layer in network.layers)


def test_layers_have_their_shapes_and_operations_in_order():
    network = described("catdogs", model="classifier5")
    convolutions = [layer for layer in network.layers if layer.kind == "Conv2d"]
    assert [layer.shapes for layer in convolutions][:3] == [[[16, 64, 64]], [[32, 32, 32]], [[64, 16, 16]]]
    first = convolutions[0]
    assert first.mflop == pytest.approx(2 * 5 * 5 * 3 * 16 * 64 * 64 / 1e6)
    assert first.num_bytes == 4 * first.num_params == 4 * (5 * 5 * 3 * 16 + 16)
    assert network.layers[-1].shapes == [[2]]
    assert network.mflop == pytest.approx(sum(layer.mflop for layer in network.layers))


def test_a_prediction_of_two_passes_counts_one():
    plain = described("cifar10", model="fast", flip=False)
    assert described("cifar10", model="fast", flip=True).mflop == pytest.approx(plain.mflop)


@pytest.mark.parametrize("name", ["detect", "forecast", TOY_FILE])
def test_data_that_is_generated_is_not_asked_for(name):
    network = described(name)
    assert network.num_params == sum(layer.num_params for layer in network.layers)
    assert all(layer.shapes for layer in network.layers if layer.mflop)


def test_what_the_network_depends_on_is_asked_for():
    with pytest.raises(BalltrainError, match="--source"):
        described("coco")
    with pytest.raises(UsageError, match="no hyperparameter 'modle': did you mean model"):
        described("detect", modle="reference")


def test_the_command_prints_a_table_and_json(capsys):
    import json

    from balltrain.cli import main

    torch.manual_seed(0)
    for arguments in (["--json"], []):
        with pytest.raises(SystemExit, match="0"):
            main(["model", "cifar10", "--set", "model=b", *arguments])
    first, table = capsys.readouterr().out.split("\n", 1)
    assert json.loads(first)["num_params"] == 7_390
    assert "7 390" in table
    assert "20x32x32" in table
