"""What a task can do beyond being learned, by the commands that ask for it: a task that has the method, can it.

None of these classes need be inherited from. Each is asked for by `isinstance`, which looks for the method alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from balltrain.errors import BalltrainError
from balltrain.tasks.base import Batch, DataRequest, Examples, Table, Task, Vote

# before a training, or its resume


@runtime_checkable
class LoadsWeights(Protocol):
    """Training can start from a file of weights."""

    def load_weights(self, model: nn.Module, hp: Any, /) -> None:
        """Give `model`, freshly built, the weights of the file that `hp` names, if it names one.

        Called before the first epoch, and not where a checkpoint is loaded, which needs no such file.
        """


@runtime_checkable
class ChecksWeights(Protocol):
    """A file of weights is looked at when a sweep or a training is planned."""

    def check_weights(self, hp: Any, /) -> None:
        """Raises BalltrainError where `load_weights` would."""


@runtime_checkable
class OrdersBatches(Protocol):
    """Which items make a training batch, where neither chance nor an array `bucket` decides."""

    def batch_order(self, arrays: Mapping[str, np.ndarray], hp: Any, /) -> np.ndarray | None:
        """Numbers (items,) of the data's arrays: a batch has items that follow each other in their order.

        None leaves batches as they are of other tasks.
        """


@runtime_checkable
class ChecksRecorded(Protocol):
    """Models that were replaced by others of the same name: what earlier versions left of them is told apart."""

    def check_recorded(self, config: Mapping[str, Any], /) -> None:
        """Raises BalltrainError where a trial's configuration, as an earlier version wrote it, is of another model.

        It would be taken for that of the same name: no checkpoint of it is loaded, no sweep with it resumed.
        """


# an epoch of training


@runtime_checkable
class MeasuresTraining(Protocol):
    """Figures of the batches that are trained on, `train_accuracy` beside `accuracy`, without another pass."""

    def training_outputs(self, returned: Any, batch: Batch, hp: Any, /) -> dict[str, Tensor] | None:
        """What `predict` would say of a training batch, of what the model has returned as `loss` called it.

        Outputs and arrays, but for `inputs`, are kept on the device, 64 MiB of them at most, and handed to `metrics`.

        Args:
            returned: What the model returned, in training mode; of several calls by `loss`, the last one's.
            batch: The batch that `loss` was given, augmented.
            hp: The trial's hyperparameters.

        Returns:
            Outputs by name, each (batch, …), as `predict` names them; None where there are none.
        """


# balltrain model


@runtime_checkable
class HasBlankItem(Protocol):
    """A network that can be built and tried without any data."""

    def blank_item(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Facts to build the model with, of the form of the data's own, and arrays (1, …) of an empty item."""


# balltrain data show


@runtime_checkable
class DrawsItems(Protocol):
    """Items of the data can be looked at, with their labels; of a training batch, before or after `augment`."""

    def draw_items(self, batch: Batch, facts: dict[str, Any], /) -> list[tuple[np.ndarray, str]]:
        """For each item a picture (height, width, 3) uint8, and a line on it, which may be empty."""


# balltrain evaluate, balltrain inspect


@runtime_checkable
class HasTables(Protocol):
    """Figures in two dimensions, such as a confusion matrix: shown by `evaluate` and `inspect`."""

    def tables(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], facts: dict[str, Any], /
    ) -> dict[str, Table]:
        """Tables by name, of what `metrics` is given, (items, …) each, and the data's facts."""


@runtime_checkable
class ShowsExamples(Protocol):
    """The items that `inspect` shows. Of other tasks it shows those with the largest and the smallest loss."""

    def examples(self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: Any, /) -> Examples:
        """Which items are worth a look, of what `metrics` is given, (items, …) each."""


@runtime_checkable
class ChecksFacts(Protocol):
    """Whether a checkpoint says anything of other data than it was trained with."""

    def check_facts(self, trained: dict[str, Any], other: dict[str, Any], /) -> None:
        """Raises BalltrainError where a model of data with the facts `trained` says nothing of data with `other`."""


@runtime_checkable
class ScoresResults(Protocol):
    """`balltrain evaluate --results`: a file of predictions, whoever made it."""

    def score_results(
        self, path: Path, request: DataRequest, facts: dict[str, Any], arrays: Mapping[str, np.ndarray], /
    ) -> tuple[dict[str, float], dict[str, Table]]:
        """Figures and tables of the predictions in `path` for the items of `arrays`, (items, …) each.

        Raises BalltrainError where the file is not in the task's format, quoting what is wrong in it.
        """


@runtime_checkable
class ChecksResults(Protocol):
    """`balltrain evaluate --results FILE --check`: whether a file of predictions has the right form."""

    def check_results(
        self, path: Path, source: Path | None, split: str | None, facts: Mapping[str, Any] | None, /
    ) -> dict[str, Any]:
        """What the file at `path` holds, without ground truth.

        Args:
            path: The file, whoever made it.
            source: What names the items that it may be of, if anything.
            split: Of `source`, if one was asked for.
            facts: Those of the data that a checkpoint was trained on, if one was given.

        Returns:
            A JSON object with the numbers of `results` and of what they are of, `against`, the files that they were
            compared with, and `notes`, lines on what is allowed and yet worth a look.

        Raises:
            BalltrainError: The form is wrong, naming what is.
        """


# balltrain predict, --with


@runtime_checkable
class DrawsPredictions(Protocol):
    """`balltrain predict`, and the predictions in reports."""

    def draw_predictions(
        self, model: nn.Module, hp: Any, device: torch.device, paths: list[Path], out: Path, /
    ) -> list[dict[str, Any]]:
        """Read the inputs and write pictures of what the model says of them.

        Args:
            model: In eval mode, on `device`.
            hp: The hyperparameters that it was trained with.
            device: Where the inputs go.
            paths: Files; with `predicts_folders` also folders and archives.
            out: An existing folder for the pictures.

        Returns:
            A JSON object an input, with `input`, its path, and `picture`, that of the picture, where there is one.
        """


@runtime_checkable
class DrawsEnsembles(Protocol):
    """`balltrain predict --with`: as `DrawsPredictions`, by several models."""

    def draw_ensemble(
        self,
        members: Sequence[tuple[nn.Module, Any]],
        vote: Vote,
        device: torch.device,
        paths: list[Path],
        out: Path,
        /,
    ) -> list[dict[str, Any]]:
        """As `draw_predictions`, by `members`, each with its hyperparameters, that decide together by `vote`."""


@runtime_checkable
class CombinesModels(Protocol):
    """`balltrain evaluate --with`: several models decide together."""

    def combine(self, outputs: Sequence[dict[str, Tensor]], vote: Vote, /) -> dict[str, Tensor]:
        """The outputs of several models for the same items, (items, …) each, as those of one."""


@runtime_checkable
class WritesPredictions(Protocol):
    """Further files of `balltrain predict`, in formats that others read."""

    def export_predictions(self, predictions: list[dict[str, Any]], out: Path, /) -> list[tuple[Path, str]]:
        """Write what `draw_predictions` returned into the folder `out`; the files, and what each is."""


# balltrain data export


@runtime_checkable
class ExportsData(Protocol):
    """`balltrain data export`: the data in the task's public format."""

    def export(self, request: DataRequest, folder: Path, data: Mapping[str, np.ndarray], /) -> list[str]:
        """Write the arrays, (items, …) each, as files under `folder`; lines that say what was written."""


@runtime_checkable
class ExportsFormats(Protocol):
    """`balltrain data export --format`: the data in other formats, by the names in `export_formats`."""

    def export_as(
        self, name: str, folder: Path, data: Mapping[str, np.ndarray], splits: Mapping[str, np.ndarray], /
    ) -> list[str]:
        """As `export`, in the format `name`. `splits` has the row numbers of `train`, `val` and `test`."""


def predicting(task: Task) -> DrawsPredictions:
    """The task, where it predicts from files. Raises BalltrainError where it does not."""
    if not isinstance(task, DrawsPredictions):
        raise BalltrainError(f"{task.name} cannot predict from files")
    return task


def predicting_together(task: Task) -> DrawsEnsembles:
    """The task, where several of its models predict from files. Raises BalltrainError where they do not."""
    if not isinstance(task, DrawsEnsembles):
        raise BalltrainError(f"{task.name} cannot combine several checkpoints: give one")
    return task


def exporting(task: Task) -> ExportsData:
    """The task, where it has a public format. Raises BalltrainError where it has none."""
    if not isinstance(task, ExportsData):
        raise BalltrainError(f"{task.name} has no public format to export to")
    return task
