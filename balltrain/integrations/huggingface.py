"""A callback for the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError, UsageError
from balltrain.programs.program import RESERVED

if TYPE_CHECKING:
    from balltrain.programs.handle import Trial

try:
    from transformers import TrainerCallback
except ImportError as missing:
    raise BalltrainError(
        "balltrain.integrations.huggingface needs transformers: pip install transformers accelerate"
    ) from missing

SPEED = ("_runtime", "_per_second", "_compilation_time")  # ends of figures that are no result
RENAMED = {"loss": "train_loss", "learning_rate": "lr"}  # of the log of training


class TrialCallback(TrainerCallback):
    """Reports each epoch of a Hugging Face Trainer to a trial, saves it, and goes on from there.

    Evaluates and saves at the end of each epoch, whatever the strategies of `TrainingArguments` are; `output_dir` is
    the trial's folder. Figures are those of the evaluation, by their names (`eval_loss`), `train_loss` and `lr`.

    Args:
        trial: The one that the function was given.

    Example:
        >>> def train(trial):
        ...     callback = TrialCallback(trial)
        ...     arguments = TrainingArguments(trial.folder, num_train_epochs=trial.config["epochs"], seed=trial.seed)
        ...     trainer = Trainer(model, arguments, callbacks=[callback], train_dataset=train, eval_dataset=test)
        ...     trainer.train(resume_from_checkpoint=callback.checkpoint)
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._figures: dict[str, Any] = {}

    @property
    def checkpoint(self) -> str | None:
        """For `Trainer.train(resume_from_checkpoint=…)`: where a trial that was interrupted goes on; or None."""
        step = self._trial.saved.get("huggingface_step")
        return None if step is None else str(self._folder(step))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trial = self._trial
        if args.world_size > 1 and trial.world_size == 1:
            raise UsageError("the Trainer has several devices, and the trial one worker: give it one GPU")
        if Path(args.output_dir).resolve() != trial.folder.resolve():
            raise UsageError(f"output_dir is {args.output_dir}: write TrainingArguments(output_dir=trial.folder)")
        if args.num_train_epochs != trial.config["epochs"] or args.max_steps > 0:
            raise UsageError(
                f"the Trainer trains another number of epochs than the trial, {trial.config['epochs']}: write "
                'TrainingArguments(num_train_epochs=trial.config["epochs"])'
            )
        if round(state.epoch or 0) != trial.epoch:
            raise UsageError(
                f"the trial has {trial.epoch} epochs, and the Trainer begins anew: write "
                "trainer.train(resume_from_checkpoint=callback.checkpoint)"
            )

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = control.should_evaluate = control.should_save = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_evaluate = control.should_save = False  # in an epoch; its end asks for both

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        found = {RENAMED[name]: value for name, value in (logs or {}).items() if name in RENAMED}
        self._figures.update(found)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        found = {name: value for name, value in (metrics or {}).items() if not name.endswith(SPEED)}
        self._figures.update({name: value for name, value in found.items() if name not in RESERVED})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The checkpoint is there: the epoch is reported, and what came before it is deleted."""
        figures, self._figures = self._figures, {}
        self._trial.save(huggingface_step=state.global_step)
        self._trial.report(**figures)
        control.should_training_stop = control.should_training_stop or self._trial.ended
        if self._trial.rank == 0:
            for folder in self._trial.folder.glob("checkpoint-*"):
                if folder != self._folder(state.global_step):
                    shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, step: int) -> Path:
        return self._trial.folder / f"checkpoint-{step}"
