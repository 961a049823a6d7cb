"""RetinaNet on two processes of this machine."""

import json
import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tasks.coco.task import task
from balltrain.training.loop import evaluate, fit

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


def worker(rank, world, port, folder, source):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    try:
        (folder / f"{rank}.json").write_text(json.dumps(train(folder, source)))
    finally:
        dist.destroy_process_group()


def test_two_workers_learn_and_evaluate_as_one(source, tmp_path):
    (tmp_path / "one" / "checkpoint").mkdir(parents=True)
    (tmp_path / "two" / "checkpoint").mkdir(parents=True)
    rows, figures = train(tmp_path / "one", source)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (2, port, tmp_path / "two", source), nprocs=2)
    assert figures["map"] > 0
    for rank in range(2):
        found, its_figures = json.loads((tmp_path / "two" / f"{rank}.json").read_text())
        assert found == [pytest.approx(row, rel=1e-3) for row in rows]
        assert its_figures == pytest.approx(figures, rel=1e-6, abs=1e-6)
