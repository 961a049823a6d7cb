"""Several workers as processes of this machine, joined by torch.distributed."""

import json
import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_workers(world, function, folder, *arguments):
    """What `function(*arguments)`, JSON, returns on each worker. They leave it in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_worker, (world, port, function, folder, arguments), nprocs=world)
    return [json.loads((folder / f"worker-{rank}.json").read_text()) for rank in range(world)]


def _worker(rank, world, port, function, folder, arguments):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    try:
        (folder / f"worker-{rank}.json").write_text(json.dumps(function(*arguments)))
    finally:
        dist.destroy_process_group()
