"""A checkpoint of a user's task is loaded where its folder was renamed, copied, or is all that there is."""

import json
import shutil

import pytest
import torch

from balltrain.errors import BalltrainError
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest
from balltrain.training.checkpoint import CONFIG, CheckpointConfig, load_checkpoint, save_best, save_config

TASK = """from torch import nn
import balltrain
from side import WIDTH


class Own(balltrain.Task):
    name = "own"

    def prepare(self, request, arrays):
        return {}

    def build_model(self, hp, facts):
        return nn.Linear(WIDTH, 1)

    def loss(self, model, batch, hp): ...
    def predict(self, model, batch, hp): ...
    def metrics(self, outputs, targets, hp, *, thorough): ...
"""


@pytest.fixture
def project(tmp_path):
    """A folder `a` with a task, a file beside it, and a checkpoint in runs/m."""
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "own.py").write_text(TASK)
    (folder / "side.py").write_text("WIDTH = 3\n")
    ref = task_ref(str(folder / "own.py"))
    checkpoint = folder / "runs" / "m"
    hp = ref.load().Hyperparameters().model_dump(mode="json")
    save_config(checkpoint, CheckpointConfig(ref, hp, 0, DataRequest(), {}, "f"))
    save_best(checkpoint, torch.nn.Linear(3, 1), 1, 0.5)
    return folder


def width(checkpoint):
    return load_checkpoint(checkpoint).model.in_features


def test_a_renamed_folder_is_found_by_the_text_in_the_checkpoint(project):
    moved = project.rename(project.with_name("b"))
    (moved / "own.py").unlink()
    (moved / "side.py").unlink()
    assert width(moved / "runs" / "m") == 3


def test_a_file_that_has_become_another_task_leaves_the_checkpoint_its_own_text(project):
    copy = shutil.copytree(project, project.with_name("b"))
    for text in ("broken(\n", TASK.replace("WIDTH, 1", "5, 1"), "x = 1\n"):
        (project / "own.py").write_text(text)
        assert width(copy / "runs" / "m") == 3


def test_an_edited_file_holds_where_it_fits(project):
    (project / "own.py").write_text(TASK + "\n    def tables(self, outputs, targets, facts):\n        return {}\n")
    assert hasattr(load_checkpoint(project / "runs" / "m").task, "tables")


def test_a_checkpoint_without_a_text_finds_the_file_where_it_has_gone(project, monkeypatch):
    file = project / "runs" / "m" / CONFIG
    config = json.loads(file.read_text())
    del config["task_source"], config["task_beside"]
    file.write_text(json.dumps(config))
    moved = project.rename(project.with_name("b"))
    assert width(moved / "runs" / "m") == 3
    (moved / "own.py").unlink()
    with pytest.raises(BalltrainError, match=r"is of a task that is not here, or has changed: cannot read .*own.py"):
        width(moved / "runs" / "m")
