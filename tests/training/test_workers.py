"""Data-parallel training on two processes of this machine, by torch.distributed alone."""

import json
import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from toy import Toy

from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.training.loop import fit

CPU = torch.device("cpu")


class Plain(Toy):
    """Without dropout, whose draws differ from worker to worker."""

    name = "plain"

    def build_model(self, hp, facts):
        return torch.nn.Linear(facts["width"], 1)


def train(folder, data, num_epochs=3):
    rows = []
    hp = Plain.Hyperparameters(epochs=num_epochs, batch_size=12, lr=0.05)  # 80 rows: a last batch of 8
    dataset = load_data(TaskRef("plain"), Plain(), DataRequest(), data)
    fit(Plain(), hp, dataset, seed=0, folder=folder, report=rows.append, device=CPU)
    return [(row["epoch"], row["train_loss"], row["val_loss"], row["metrics"]["error"]) for row in rows]


def worker(rank, world, port, folder, data):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    try:
        (folder / f"rows-{rank}.json").write_text(json.dumps(train(folder / "checkpoint", data)))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_several_workers_give_the_numbers_of_one(tmp_path, world):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "alone").mkdir()
    alone = train(tmp_path / "alone", tmp_path / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (world, port, tmp_path, tmp_path / "data"), nprocs=world)
    for rank in range(world):
        rows = json.loads((tmp_path / f"rows-{rank}.json").read_text())
        for found, expected in zip(rows, alone, strict=True):
            assert found == pytest.approx(expected, rel=1e-4)
