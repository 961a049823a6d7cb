"""A checkpoint finds the data that it was trained on where its source has moved, or has changed."""

import shutil

import numpy as np
import pytest

from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest
from balltrain.training.checkpoint import CheckpointConfig, load_checkpoint, save_best, save_config
from balltrain.training.evaluation import open_split

TASK = """
from pathlib import Path
import numpy as np
from torch import nn
from balltrain import BalltrainError, Task

class Column(Task):
    '''The numbers of a file.'''
    name = "column"

    def prepare(self, request, arrays):
        x = np.load(Path(request.source) / "x.npy")[: request.size]
        if request.size and len(x) < request.size:
            raise BalltrainError("too few")
        arrays["x"] = x
        return {}

    def build_model(self, hp, facts):
        return nn.Linear(1, 1)

    def loss(self, model, batch, hp):
        return model(batch["x"][:, None]).mean()

    def predict(self, model, batch, hp):
        return {"y": model(batch["x"][:, None])}

    def metrics(self, outputs, targets, hp, *, thorough):
        return {"loss": float(outputs["y"].mean())}
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    np.save(tmp_path / "source" / "x.npy", np.arange(40, dtype=np.float32))
    return tmp_path / "source"


def trained(source, tmp_path, size=None, fold=None):
    """A checkpoint, loaded, of a model that nobody trained."""
    (tmp_path / "column.py").write_text(TASK)
    ref = task_ref(str(tmp_path / "column.py"))
    task, request = ref.load(), DataRequest(str(source), size)
    dataset = load_data(ref, task, request, tmp_path / "data")
    hp = task.Hyperparameters()
    config = CheckpointConfig(ref, hp.model_dump(), 0, request, dataset.facts, dataset.fingerprint, fold=fold)
    save_config(tmp_path / "best", config)
    save_best(tmp_path / "best", task.build_model(hp, {}), 1, 0.5)
    return load_checkpoint(tmp_path / "best")


def opened(loaded, tmp_path, split=None, source=None):
    other = DataRequest(None if source is None else str(source))
    return open_split(loaded, split, other, tmp_path / "data")


@pytest.mark.parametrize("size", [None, 20])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("fold", [None, (1, 3)])
def test_it_is_found_where_the_source_has_moved(source, tmp_path, size, named, fold):
    loaded = trained(source, tmp_path, size, fold)
    before, split = opened(loaded, tmp_path)
    assert split == "val"
    shutil.copytree(source, tmp_path / "moved")  # with new times
    shutil.rmtree(source)
    after, split = opened(loaded, tmp_path, source=tmp_path / "moved" if named else None)
    assert (split, after.fingerprint) == ("val", before.fingerprint)
    assert after.splits["val"].tolist() == before.splits["val"].tolist()


def test_other_data_is_evaluated_whole(source, tmp_path):
    loaded = trained(source, tmp_path, fold=(1, 3))
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "x.npy", np.arange(9, dtype=np.float32))
    shutil.rmtree(source)
    dataset, split = opened(loaded, tmp_path, source=tmp_path / "other")
    assert (split, len(dataset)) == ("all", 9)


@pytest.mark.parametrize("named", [False, True])
def test_a_source_that_has_changed_is_said(source, tmp_path, named, caplog):
    loaded = trained(source, tmp_path)
    assert opened(loaded, tmp_path, source=source if named else None)[1] == "val"
    assert caplog.text == ""
    np.save(source / "x.npy", np.arange(50, dtype=np.float32))
    dataset, split = opened(loaded, tmp_path, source=source if named else None)
    assert (split, len(dataset)) == ("val", 50 if named else 40)
    assert f"{source} has changed since the model was trained" in caplog.text


def test_a_task_that_was_edited_still_has_its_data(source, tmp_path, caplog):
    loaded = trained(source, tmp_path)
    (tmp_path / "column.py").write_text(TASK + "# a remark\n")
    dataset, _ = opened(load_checkpoint(tmp_path / "best"), tmp_path)
    assert dataset.fingerprint == loaded.fingerprint
    assert (caplog.text, len(list((tmp_path / "data" / "column").glob("*/manifest.json")))) == ("", 1)


def test_what_is_nowhere_is_said_with_what_to_type(source, tmp_path):
    loaded = trained(source, tmp_path)
    shutil.rmtree(source)
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(BalltrainError, match=r"source, which the model was trained on, .*--source, or .*--data-dir"):
        opened(loaded, tmp_path)
