"""A trained model: its figures, and its predictions."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.api.arguments import Data, refuse_rest, taken
from balltrain.api.documented import documented
from balltrain.api.wording import in_python
from balltrain.errors import BalltrainError

if TYPE_CHECKING:
    import torch

    from balltrain.training.checkpoint import Loaded
    from balltrain.training.evaluation import Evaluation

NUM_SHOWN = 12  # pictures in a notebook

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class Predictions:
    """What was predicted: one JSON object an input, in their order. `json` is the file that holds them.

    `files` are those beside the pictures, each with what it is. `ensemble` has the figures of several models
    together, or the reason why they are not known.
    """

    items: list[dict[str, Any]]
    json: Path
    files: list[tuple[Path, str]]
    ensemble: Evaluation | str | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.items[number]

    def __repr__(self) -> str:
        return f"Predictions({len(self)} of them, {str(self.json)!r})"

    def _repr_html_(self) -> str:
        """The first pictures, and what was written."""
        pictures = [item["picture"] for item in self.items if "picture" in item][:NUM_SHOWN]
        images = " ".join(map(_image, pictures))
        files = "".join(
            f"<br>{html.escape(what)}: <code>{html.escape(str(file))}</code>" for file, what in self.files
        )
        shown = f", {len(pictures)} shown" if len(pictures) < len(self) else ""
        return f"{images}<br>{len(self)} predictions{shown}: <code>{html.escape(str(self.json))}</code>{files}"


def _image(path: str) -> str:
    kind = Path(path).suffix.lstrip(".").replace("jpg", "jpeg")
    content = base64.b64encode(Path(path).read_bytes()).decode()
    name = html.escape(Path(path).name, quote=True)
    return f'<img alt="{name}" title="{name}" style="max-width:300px" src="data:image/{kind};base64,{content}">'


class Model:
    """A trained model, of a checkpoint's folder, loaded when it is first used.

    Args:
        checkpoint: The folder, such as `runs/NAME/best`.
        others: Checkpoints of the same task that decide together with it.
        vote: How several decide: `mean` of their probabilities, or `majority`.
        state: Whose epoch's weights: the `best` by the objective, or that with the `smallest-loss`.

    Raises:
        BalltrainError: When first used: a checkpoint is not there, is damaged, or is of a task that is not here.

    Example:
        >>> model = balltrain.Model("runs/first/best")
        >>> model.evaluate(split="val").items
        6
        >>> model.task, model.hyperparameters["model"]
        ('detect', 'heatmap')
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str],
        others: Sequence[str | os.PathLike[str]] = (),
        vote: str = "mean",
        state: str = "best",
    ):
        self.checkpoint, self.others, self.vote = Path(checkpoint), [Path(other) for other in others], vote
        self.state = state

    @cached_property
    def _members(self) -> list[Loaded]:
        from balltrain.training.evaluation import load_members

        return load_members([self.checkpoint, *self.others], self._device, self.state)

    @cached_property
    def _device(self) -> torch.device:
        from balltrain.training.workers import pick_device

        return pick_device()

    @property
    def task(self) -> str:
        """The name of its task."""
        return self._members[0].task.name

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """All of them, with their values."""
        return dict(self._members[0].hp.model_dump(mode="json"))

    @property
    def network(self) -> Any:
        """The torch module."""
        return self._members[0].model

    @in_python
    @documented(Data)
    def evaluate(self, split: str | None = None, **data: Any) -> Evaluation:
        """Figures on a split of its training data, or on other data.

        Args:
            split: `train`, `val` or `test`; of another source all of it unless given. Look at `test` once.
            **data: Other data, by the options below.

        Returns:
            `metrics` by name, `items` counted, and the `tables` that the task has.

        Raises:
            BalltrainError: The data cannot be had, or the model says nothing of it.
        """
        from balltrain.training.evaluation import check_split, evaluate_members, open_split, vote_of

        check_split(split)
        decide, options = vote_of(self.vote), taken(Data, data)
        refuse_rest(data, "Model.evaluate", Data, more=("split",))
        members = self._members
        dataset, split = open_split(members[0], split, options.request(0), options.folder)
        return evaluate_members(members, decide, dataset, split, self._device)

    @in_python
    def predict(
        self,
        inputs: Paths,
        out: str | os.PathLike[str],
        data_dir: str | os.PathLike[str] | None = None,
        unsure_below: float | None = None,
    ) -> Predictions:
        """Predict from files: pictures to look at, and `predictions.json`.

        Args:
            inputs: Files, or for tasks on pictures also folders and zips.
            out: Folder for what is written.
            data_dir: Where the data that validates several models is looked for.
            unsure_below: A probability: classifiers say of each prediction whether it is `unsure`, which it is where
                its class has a lower one. `balltrain inspect` shows what thresholds give.

        Raises:
            BalltrainError: An input is not there or is none of the task's, or `out` cannot be written.
        """
        from balltrain.tasks.plain import strict
        from balltrain.tasks.protocols import WritesPredictions, predicting, predicting_together
        from balltrain.tasks.user_code import told_as_users
        from balltrain.training.evaluation import validate_members, vote_of
        from balltrain.vision.unsure import check_threshold, mark_unsure

        check_threshold(unsure_below)
        paths = [Path(inputs)] if isinstance(inputs, str | os.PathLike) else [Path(path) for path in inputs]
        decide, members, folder = vote_of(self.vote), self._members, Path(out)
        task, device = members[0].task, self._device
        for path in paths:
            if not (path.exists() if task.predicts_folders else path.is_file()):
                raise BalltrainError(f"{path}: there is no such file")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with told_as_users():  # whose OSError is not of this folder
                if len(members) == 1:
                    found = predicting(task).draw_predictions(members[0].model, members[0].hp, device, paths, folder)
                else:
                    found = predicting_together(task).draw_ensemble(
                        [(m.model, m.hp) for m in members], decide, device, paths, folder
                    )
            if unsure_below is not None:
                mark_unsure(found, unsure_below, task.name)
            found = strict(found)
            (folder / "predictions.json").write_text(json.dumps(found, indent=1, allow_nan=False))
            with told_as_users():
                files = task.export_predictions(found, folder) if isinstance(task, WritesPredictions) else []
        except OSError as error:
            raise BalltrainError(f"cannot write to {folder}: {error.strerror or error}") from error
        where = None if data_dir is None else Path(data_dir)
        ensemble = validate_members(members, decide, where, device) if len(members) > 1 else None
        return Predictions(found, folder / "predictions.json", files, ensemble)

    def __repr__(self) -> str:
        return f"Model({str(self.checkpoint)!r})"
