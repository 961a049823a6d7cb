"""Lightning's Trainer, swept: balltrain sweep examples/lightning.py"""

import pytorch_lightning as pl
import torch
from ray import tune
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import balltrain
from balltrain.integrations.lightning import TrialCallback


class Net(pl.LightningModule):
    def __init__(self, lr: float, width: int):
        super().__init__()
        self.lr = lr
        self.layers = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 1))

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        loss = F.mse_loss(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_loss", F.mse_loss(self.layers(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def products(seed: int, size: int = 400) -> TensorDataset:
    """Numbers (size, 8), and the product of the first two and the sum of the others (size, 1)."""
    x = torch.randn(size, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :1] * x[:, 1:2] + x[:, 2:].sum(1, keepdim=True))


def train(trial: balltrain.Trial) -> None:
    callback = TrialCallback(trial)  # reports each epoch, saves it
    trainer = pl.Trainer(
        max_epochs=trial.config["epochs"],
        callbacks=[callback],
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches, val_batches = DataLoader(products(0), 32, shuffle=True), DataLoader(products(1), 400)
    trainer.fit(Net(trial.config["lr"], trial.config["width"]), batches, val_batches, ckpt_path=callback.checkpoint)


space = {"lr": tune.loguniform(1e-4, 1e-1), "width": tune.choice([8, 32])}
sweep = balltrain.Sweep(train, space, objective="val_loss", epochs=10, trials=12)
