"""A training function of one's own, swept: balltrain sweep examples/function.py"""

import torch
from ray import tune
from torch import nn
from torch.nn import functional as F

import balltrain


def spirals(seed: int, size: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (size, 2) of two spirals, and which one (size,)."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(size) % 2
    turn = torch.rand(size, generator=generator) * 6 + 1
    angle = turn + label * torch.pi
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 4
    return points + 0.05 * torch.randn(size, 2, generator=generator), label


def train(trial: balltrain.Trial) -> None:
    (x, y), (val_x, val_y) = spirals(0), spirals(1)
    width = trial.config["width"]
    model = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
    model.to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.config["lr"])
    trial.restore(model=model, optimizer=optimizer)  # where a checkpoint of this trial is there
    for _ in trial.epochs():  # those that are left
        for batch in torch.randperm(len(x)).split(32):
            loss = F.cross_entropy(model(x[batch].to(trial.device)), y[batch].to(trial.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = model(val_x.to(trial.device)).argmax(1).cpu() == val_y
        trial.report(train_loss=loss, accuracy=right.float().mean())  # saved, journalled; ends the loop when stopped


sweep = balltrain.Sweep(
    train,
    {"lr": tune.loguniform(1e-4, 1e-1), "width": tune.choice([8, 16, 64])},
    objective="accuracy",
    mode="max",
    epochs=20,
    trials=20,
)
