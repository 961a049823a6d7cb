"""A callback for Lightning's Trainer, imported as `lightning` or as `pytorch_lightning`."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from balltrain.errors import BalltrainError, UsageError
from balltrain.programs.program import RESERVED
from balltrain.training.seeds import epoch_seed

if TYPE_CHECKING:
    from balltrain.programs.handle import Trial

CHECKPOINT = "lightning.ckpt"  # in a trial's folder: what a Trainer goes on from
STATES = (
    *("epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops"),
    *("optimizer_states", "lr_schedulers", "callbacks", "MixedPrecision"),
)


def _bases() -> tuple[type, ...]:
    """Of a callback: the library's own class, by each name that the library is imported by."""
    loaded = [sys.modules.get(name) for name in ("lightning.pytorch", "pytorch_lightning")]
    found = [module.Callback for module in loaded if module is not None]
    if found:
        return tuple(found)
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError as error:
            raise BalltrainError(
                "balltrain.integrations.lightning needs Lightning: pip install lightning, or pytorch-lightning"
            ) from error
    return (Callback,)


class _Reporting:
    """What a Trainer calls. Each epoch ends with its validation, if there is one, and is then saved and reported."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    @property
    def checkpoint(self) -> str | None:
        """For `Trainer.fit(…, ckpt_path=callback.checkpoint)`: where an interrupted trial goes on; or None."""
        import torch

        saved = self._trial.saved.get("lightning")
        if saved is None:
            return None
        file: Path = self._trial.folder / CHECKPOINT
        torch.save(saved, file)
        return str(file)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        trial = self._trial
        if trainer.world_size > 1:
            raise UsageError("Lightning starts its workers itself: use Trainer(devices=1), and one worker a trial")
        if trainer.check_val_every_n_epoch != 1:
            raise UsageError(
                f"Trainer(check_val_every_n_epoch={trainer.check_val_every_n_epoch}) leaves epochs without their "
                "figures: leave it out"
            )
        if trainer.max_epochs != trial.config["epochs"]:
            raise UsageError(
                f"Trainer(max_epochs={trainer.max_epochs}), but a trial trains {trial.config['epochs']} at most: "
                'write Trainer(max_epochs=trial.config["epochs"])'
            )
        self._seed()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch != self._trial.epoch:
            raise UsageError(
                f"the trial has {self._trial.epoch} epochs, and Lightning begins with {trainer.current_epoch}: write "
                "Trainer.fit(…, ckpt_path=callback.checkpoint)"
            )

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        figures = {name: value for name, value in trainer.callback_metrics.items() if name not in RESERVED}
        found = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        self._trial.save(lightning={name: found[name] for name in STATES if name in found})
        self._trial.report(**figures)
        self._seed()
        trainer.should_stop = trainer.should_stop or self._trial.ended

    def _seed(self) -> None:
        """Every epoch draws from (seed, epoch), so that a trial that goes on draws what it would have drawn."""
        import torch

        seed = epoch_seed(self._trial.seed, self._trial.epoch + 1, self._trial.rank)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)


def _made(bases: tuple[type, ...]) -> Any:
    return type(
        "TrialCallback",
        (_Reporting, *bases),
        {
            "__module__": __name__,
            "__doc__": """Reports each epoch of a Lightning Trainer to a trial, saves it, and goes on from there.

    Figures are those that the module has logged, by their names.

    Args:
        trial: The one that the function was given.

    Example:
        >>> def train(trial):
        ...     callback = TrialCallback(trial)
        ...     trainer = lightning.Trainer(max_epochs=trial.config["epochs"], callbacks=[callback])
        ...     trainer.fit(Net(trial.config["lr"]), data, ckpt_path=callback.checkpoint)
    """,
        },
    )


TrialCallback: Any = _made(_bases())
