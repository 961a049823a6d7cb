"""Pictures while a trial trains: of the weights that it had then, not of its best epoch's."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from toy import TOY_FILE, Toy

from balltrain.data.cache import load_data
from balltrain.records.state import Trial
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tracking.snapshots import Snapshots
from balltrain.training.checkpoint import CheckpointConfig, load_checkpoint, load_state, save_config
from balltrain.training.loop import fit

EPOCHS = 5


@pytest.fixture
def trial(tmp_path):
    """Trained for 5 epochs, of which the first is the best: the rate is far too high."""
    task, ref = Toy(), TaskRef.of_file("toy", Path(TOY_FILE), Path(TOY_FILE).read_text())
    data = load_data(TaskRef("toy"), task, DataRequest(), tmp_path)
    values = {"epochs": EPOCHS, "lr": 3.0, "optimizer": "sgd", "momentum": 0.0, "clip_norm": 1.0}
    folder = tmp_path / "checkpoints" / "00000"
    save_config(folder, CheckpointConfig(ref, values, 0, DataRequest(), data.facts, data.fingerprint))
    rows = []
    fit(task, resolve(task, values), data, seed=0, folder=folder, report=rows.append, device=torch.device("cpu"))
    return Trial(0, values, None, 0, rows=rows)


@pytest.fixture
def snapshots(tmp_path):
    """Draws `seen`, what the checkpoint's first weights sum up to."""

    def draw(checkpoint, data_dir, folder):
        snapshots.seen.append(float(load_checkpoint(checkpoint).model[0].weight.detach().sum()))
        Image.new("RGB", (2, 2)).save(folder / "a.png")
        return [folder / "a.png"]

    snapshots = Snapshots(tmp_path, None, 2, draw)
    snapshots.seen = []
    return snapshots


def test_they_show_the_epochs_own_weights_and_say_which_epoch_that_is(tmp_path, trial, snapshots):
    folder = tmp_path / "checkpoints" / "00000"
    last = float(load_state(folder)["model"]["0.weight"].sum())
    assert float(load_checkpoint(folder).model[0].weight.detach().sum()) != last  # the best epoch is another
    assert snapshots.of(trial, 2) == []  # its weights are gone
    assert snapshots.of(trial, 3) == []
    (picture,) = snapshots.of(trial, 4)
    assert picture == tmp_path / "pictures" / "00000" / "epoch-00005" / "00.png"  # drawn late
    assert snapshots.of(trial, 4) == [picture]
    assert snapshots.seen == [last]


def test_a_checkpoint_that_is_deleted_meanwhile_has_none(tmp_path, trial, snapshots):
    (tmp_path / "checkpoints" / "00000" / "config.json").unlink()
    assert snapshots.of(trial, 4) == []
    assert not (tmp_path / "pictures").exists()
