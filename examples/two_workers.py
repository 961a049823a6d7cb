"""A function on two workers a trial: balltrain sweep examples/two_workers.py --workers-per-trial 2"""

import torch
from ray import tune
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import balltrain


def train(trial: balltrain.Trial) -> None:
    """Each worker runs it, on its share of the data; torch.distributed is up."""
    x = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))
    y = x.square().sum(1, keepdim=True)
    mine, its = (part[trial.rank :: trial.world_size].to(trial.device) for part in (x, y))
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1)).to(trial.device)
    if trial.world_size > 1:  # it runs on one worker too
        model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.config["lr"])
    trial.restore(model=model, optimizer=optimizer)
    for _ in trial.epochs():
        for xs, ys in zip(mine.split(32), its.split(32), strict=True):
            optimizer.zero_grad()
            (model(xs) - ys).square().mean().backward()  # gradients are the mean of both workers'
            optimizer.step()
        with torch.no_grad():
            loss = (model(mine) - its).square().mean()
        if trial.world_size > 1:
            torch.distributed.all_reduce(loss)
        trial.report(loss=loss / trial.world_size)  # that of rank 0 counts: reduce over the workers first


sweep = balltrain.Sweep(train, {"lr": tune.loguniform(1e-4, 1e-1)}, objective="loss", epochs=10, trials=4)
