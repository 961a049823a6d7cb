"""RetinaNet on two processes of this machine."""

import pytest
import torch
from data_parallel import run_workers

from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tasks.coco.task import task
from balltrain.training.loop import fit
from balltrain.training.outputs import evaluate

CPU = torch.device("cpu")
# what differs from worker to worker: batch statistics, and draws of augmentation
ALIKE = {"norm": "group", "flip": False, "scale_jitter": 0, "precision": "float32"}


def train(folder, source):
    """Each epoch's row, and the thorough figures of the last weights."""
    hp = resolve(task, {"channels": 32, "head_convs": 1, "batch_size": 6, "epochs": 2, **ALIKE})
    # at 160 px wide and tall images have other canvases; 16 and 8 of them leave a batch that mixes both
    request = DataRequest(str(source), options={"image_size": 160})
    dataset = load_data(TaskRef("coco"), task, request, folder / "data")
    rows = []
    fit(task, hp, dataset, seed=0, folder=folder / "checkpoint", report=rows.append, device=CPU)
    torch.manual_seed(0)
    model = task.build_model(hp, dataset.facts)
    torch.nn.init.zeros_(model.class_head[-1].bias)  # which detects something everywhere
    return [[row["train_loss"], row["val_loss"]] for row in rows], evaluate(task, hp, model, dataset, "val", CPU)


def test_two_workers_learn_and_evaluate_as_one(source, tmp_path):
    (tmp_path / "one" / "checkpoint").mkdir(parents=True)
    (tmp_path / "two" / "checkpoint").mkdir(parents=True)
    rows, figures = train(tmp_path / "one", source)
    assert figures["map"] > 0
    for found, its_figures in run_workers(2, train, tmp_path, tmp_path / "two", source):
        assert found == [pytest.approx(row, rel=1e-3) for row in rows]
        assert its_figures == pytest.approx(figures, rel=1e-6, abs=1e-6)
