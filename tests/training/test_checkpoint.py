import json
import pickle
import shutil

import pytest
import torch
from toy import TOY_FILE

from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest
from balltrain.training.checkpoint import (
    CONFIG,
    MODEL,
    STATE,
    CheckpointConfig,
    best_of,
    load_checkpoint,
    load_state,
    save_config,
)
from balltrain.training.loop import fit
from balltrain.training.outputs import evaluate

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of the toy task, the rows of its training, and its data."""
    root = tmp_path_factory.mktemp("trained")
    ref = task_ref(TOY_FILE)
    task = ref.load()
    hp = task.Hyperparameters(epochs=3)
    dataset = load_data(ref, task, DataRequest(), root)
    rows = []
    save_config(
        root / "c", CheckpointConfig(ref, hp.model_dump(), 0, DataRequest(), dataset.facts, dataset.fingerprint)
    )
    fit(task, hp, dataset, seed=0, folder=root / "c", report=rows.append, device=CPU)
    return root / "c", rows, dataset


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "c")


def test_a_loaded_checkpoint_gives_the_figures_of_its_best_row(trained):
    folder, rows, dataset = trained
    loaded = load_checkpoint(folder)
    best = min(rows, key=lambda row: row["val_loss"])
    figures = evaluate(loaded.task, loaded.hp, loaded.model, dataset, "val", CPU)
    assert figures["loss"] == pytest.approx(best["val_loss"], rel=1e-6)
    assert best_of(folder) == (best["epoch"], best["val_loss"])


def test_no_file_of_a_checkpoint_is_a_pickle_of_code(trained):
    folder, _, _ = trained
    torch.load(folder / STATE, weights_only=True)
    assert not (folder / MODEL).read_bytes().startswith(b"\x80")


@pytest.mark.parametrize("name", [CONFIG, MODEL])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BalltrainError, match=name):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", [CONFIG, MODEL])
def test_a_truncated_file_is_named(copy, name):
    with open(copy / name, "r+b") as file:
        file.truncate(50)
    with pytest.raises(BalltrainError, match=f"{name} cannot be read"):
        load_checkpoint(copy)


def test_a_truncated_state_is_named(copy):
    with open(copy / STATE, "r+b") as file:
        file.truncate(500)
    with pytest.raises(BalltrainError, match=f"{STATE} cannot be read"):
        load_state(copy)


class Evil:
    def __reduce__(self):
        import os

        return os.mkdir, (os.environ["EVIL_FOLDER"],)


@pytest.mark.parametrize("read", [load_checkpoint, load_state])
def test_a_pickle_is_refused_and_not_run(copy, read, tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "evil"))
    (copy / MODEL).write_bytes(pickle.dumps(Evil()))
    torch.save(Evil(), copy / STATE)
    with pytest.raises(BalltrainError, match="cannot be read"):
        read(copy)
    assert not (tmp_path / "evil").exists()


def test_weights_of_another_model_are_refused(copy):
    config = json.loads((copy / CONFIG).read_text())
    config["data"]["facts"]["width"] = 5
    (copy / CONFIG).write_text(json.dumps(config))
    with pytest.raises(BalltrainError, match="not of the model"):
        load_checkpoint(copy)


def test_a_format_of_the_future_is_refused(copy):
    config = json.loads((copy / CONFIG).read_text()) | {"format": 99}
    (copy / CONFIG).write_text(json.dumps(config))
    with pytest.raises(BalltrainError, match="format 99"):
        load_checkpoint(copy)


def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path):
    with pytest.raises(BalltrainError, match="not there"):
        load_checkpoint(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(BalltrainError, match="a file"):
        load_checkpoint(tmp_path / "file")
