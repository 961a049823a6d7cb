"""The models have the parameters that are written down, read pictures of any size where they say so, and learn."""

import pytest
import torch
from cifar_files import FACTS, contents, write_archive
from torch import nn

from balltrain.cli import main
from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Download, resolve
from balltrain.tasks.cifar10.task import Cifar10, task
from balltrain.training.loop import fit

CPU = torch.device("cpu")


def built(**values):
    torch.manual_seed(0)
    return task.build_model(resolve(task, values), FACTS).eval()


@pytest.mark.parametrize(
    ("model", "count"),
    [
        # 3x3 convolutions with biases, and 10 x (maps laid flat + 1): A is 224 + 584 + 1168 + 2320 + 10 x (1024 + 1)
        ("a", 14_546),
        ("b", 106_538),
        ("c", 307_498),
        ("d", 307_498),
        ("e", 1_182_506),
        ("f", 1_184_426),  # and 2 x 2 x (32 + 64 + 128 + 256) of the norms
        ("g", 1_184_426),
        ("gap", 1_176_746),  # of which 10 x (256 + 1) are the last layer's
        ("fast", 1_161_272),
    ],
)
def test_the_models_have_as_many_parameters_as_written_down(model, count):
    assert sum(parameter.numel() for parameter in built(model=model).parameters()) == count


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("a", "CSCSP" * 2),
        ("c", "CSCSP" * 3),
        ("d", "CRCRP" * 3),
        ("f", "CRNCRNP" * 4),
        ("g", "CRNCRNPD" * 4),
    ],
)
def test_the_models_are_made_of_their_blocks(model, kinds):
    letters = {nn.Conv2d: "C", nn.Sigmoid: "S", nn.ReLU: "R", nn.BatchNorm2d: "N", nn.MaxPool2d: "P", nn.Dropout: "D"}
    assert "".join(letters.get(type(module), "") for module in built(model=model).modules()) == kinds


def test_blocks_can_be_given():
    blocks = [{"channels": 4, "norm": True}, {"channels": 6, "activation": "sigmoid", "dropout": 0.5}]
    model = built(model="gap", blocks=blocks)
    assert [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)] == [4, 4, 6, 6]
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blocks": [{"channels": 4}]}, "set model too"),
        (
            {"model": "a", "blocks": [{"channels": 4}] * 6},
            "6 blocks, each of which halves the picture, leave nothing",
        ),
        ({"model": "a", "blocks": [{"channels": 0}]}, "should be greater than or equal to 1"),
        ({"model": "a", "blocks": [{"channel": 4}]}, "blocks.0.channels"),
        ({"model": "h"}, 'model = "h"'),
        ({"widths": [8, 0, 8]}, "width should be greater than or equal to 1"),
        ({"shift": 32}, "shift = 32: should be less than 32"),
    ],
)
def test_models_that_cannot_be_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        resolve(task, values)


@pytest.mark.parametrize("model", ["gap", "fast"])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (31, 33), (32, 32), (64, 100)])
def test_gap_and_fast_read_pictures_of_any_size(model, size):
    logits = built(model=model)(torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8))
    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()


def test_the_others_say_which_size_they_read():
    with pytest.raises(
        BalltrainError, match="a picture of 48x40: this model reads 32x32 alone, gap and fast any size"
    ):
        built(model="g")(torch.zeros(1, 3, 40, 48))


def test_predictions_are_the_same_for_a_mirror_image():
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    for flip, same in ((True, True), (False, False)):
        hp = resolve(task, {"flip": flip})
        there, mirrored = (task.predict(built(), {"images": i}, hp)["logits"] for i in (images, images.flip(2)))
        assert torch.allclose(there, mirrored, atol=1e-4) == same


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("cifar") / "c.tar.gz", contents(rows=60, test_rows=100))


@pytest.mark.parametrize(
    "values",
    [
        {"widths": [8, 16, 16]},
        {"model": "gap", "blocks": [{"channels": 8, "norm": True}] * 3},
    ],
    ids=["fast", "gap"],
)
def test_it_learns(archive, tmp_path, values):
    dataset = load_data(TaskRef("cifar10"), task, DataRequest(str(archive)), tmp_path)
    hp = resolve(task, {"epochs": 6, "batch_size": 30, "lr": 0.01, **values})
    rows = []
    fit(task, hp, dataset, seed=0, folder=tmp_path, report=rows.append, device=CPU)
    assert rows[-1]["metrics"]["accuracy"] > 0.6


def test_data_build_downloads_and_train_uses_it(archive, tmp_path, monkeypatch, capsys):
    import hashlib

    content = archive.read_bytes()
    # a file's address is one that urllib reads too
    what = Download(archive.as_uri(), hashlib.sha256(content).hexdigest(), len(content))
    monkeypatch.setattr(Cifar10, "download", what)
    monkeypatch.chdir(tmp_path)
    common = ["--data-dir", "data", "--json"]
    for command in (
        ["data", "build", "cifar10", *common],
        ["train", "cifar10", *common, "--epochs", "1", "--set", "widths=[4,4,4]", "--wandb", "off", "--out", "run"],
        ["evaluate", "run/best", "--split", "test", *common],
    ):
        with pytest.raises(SystemExit) as exit_:
            main(command)
        assert not exit_.value.code
    assert '"items": 100' in capsys.readouterr().out
