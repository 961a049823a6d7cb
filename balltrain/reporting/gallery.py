"""Predictions of the best trial to look at, drawn by the task from items that it was not trained on."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError
from balltrain.records.results import Results
from balltrain.reporting.page import note, section
from balltrain.tasks.user_code import described, users_error

if TYPE_CHECKING:
    import numpy as np
    import torch

    from balltrain.data.cache import Dataset
    from balltrain.training.checkpoint import Loaded

NUM_PICTURES = 12
PICTURE_PX = 300
WEBP_QUALITY = 80
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def pictures_of(checkpoint: Path, data_dir: Path | None, folder: Path) -> list[Path]:
    """Pictures of a checkpoint's predictions; none where its task draws none, or its data is not on this machine."""
    if own := own_pictures(checkpoint):
        return own
    try:
        return sample_predictions(checkpoint, data_dir, folder)[0]
    except Exception:  # of a user's task, too: the numbers are worth sending without pictures
        return []


def gallery(results: Results, data_dir: Path | None = None) -> str:
    """Pictures where checkpoint and data can be had on this machine, else the reason why there are none."""
    if results.best is None:
        return ""
    if results.sweep.get("program"):
        return _own_gallery(results.checkpoint)
    title = "Predictions of the best trial"
    if not (results.checkpoint / "model.safetensors").is_file():
        return section(title, note(f"None: the checkpoint {results.checkpoint} is not on this machine."))
    try:
        pictures, source = _pictures(results.checkpoint, data_dir)
    except BalltrainError as error:
        return section(title, note(f"None: {error}."))
    except Exception as error:  # of a user's task, which may do anything: the rest of the report is worth having
        said = users_error(error) or f"the task fails with {described(error)}"
        return section(title, note(f"None: {said}."))
    images = "".join(f'<img alt="prediction" src="data:image/webp;base64,{picture}">' for picture in pictures)
    return section(title, f"<div class=shots>{images}</div>", note(source))


def own_pictures(checkpoint: Path) -> list[Path]:
    """Those that a function or a command has put into its folder, in the order of their names."""
    from balltrain.programs.handle import FILES  # torch, which the rest of a report does without

    folder = checkpoint / FILES / "pictures"
    found = [path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    return sorted(found)[:NUM_PICTURES]


def _own_gallery(checkpoint: Path) -> str:
    images = []
    for path in own_pictures(checkpoint):
        try:
            images.append(f'<img alt="{escape(path.name)}" src="data:image/webp;base64,{encoded(path)}">')
        except OSError as error:
            images.append(note(f"{path.name} cannot be shown: {error}."))
    return section("Pictures of the best trial", f"<div class=shots>{''.join(images)}</div>") if images else ""


def sample_predictions(checkpoint: Path, data_dir: Path | None, folder: Path) -> tuple[list[Path], str]:
    """Pictures, drawn by the task into an empty folder, and a sentence that says what they show.

    Raises BalltrainError where the task draws none, or checkpoint or data cannot be had here.
    """
    import torch

    from balltrain.training.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    dataset, rows, source = _unseen(loaded, data_dir, folder)
    if len(rows) == 0:
        raise BalltrainError("the validation split is empty")
    return draw_rows(loaded, dataset, rows, folder, torch.device("cpu")), source


def draw_rows(loaded: Loaded, dataset: Dataset, rows: Any, folder: Path, device: torch.device) -> list[Path]:
    """Pictures of these items' predictions, drawn by the task into the empty `folder`, in the order of `rows`.

    Each item by itself: a task names its files as it likes, such as by image or by class, and they sort by that.
    What the items really are is drawn by the task too, or else put on the right.

    Raises BalltrainError where the task draws none.
    """
    import torch

    from balltrain.tasks.protocols import DrawsItems, exporting, predicting

    exports, predicts = exporting(loaded.task), predicting(loaded.task)
    pictures = []
    for place, row in enumerate(rows):
        inputs, out = folder / "inputs" / str(place), folder / "out" / str(place)
        out.mkdir(parents=True)
        item = {name: array[[row]] for name, array in dataset.arrays.items()}
        exports.export(dataset.request, inputs, item)
        files = sorted(inputs.rglob(loaded.task.predicts_from))
        found = predicts.draw_predictions(loaded.model, loaded.hp, device, files, out)
        if isinstance(loaded.task, DrawsItems) and not any(map(_has_truth, found)):
            tensors = {name: torch.tensor(values) for name, values in item.items()}
            ((truth, _),) = loaded.task.draw_items(tensors, dataset.facts)
            _put_beside(Path(found[0]["picture"]), truth)
        drawn = Path(found[0]["picture"])
        pictures.append(drawn.rename(folder / f"{place:05d}{drawn.suffix}"))
    return pictures


def _has_truth(entry: Mapping[str, Any]) -> bool:
    """Whether a prediction is drawn with what is known of its item."""
    return any("truth" in each for each in (entry, *entry.get("balls", ())))


def _put_beside(picture: Path, truth: np.ndarray) -> None:
    """On the right of a drawn prediction, as high as that."""
    from PIL import Image

    with Image.open(picture) as image:
        left = image.convert("RGB")
    right = Image.fromarray(truth)
    right = right.resize((max(1, round(right.width * left.height / right.height)), left.height))
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    both.save(picture)


def _pictures(checkpoint: Path, data_dir: Path | None) -> tuple[list[str], str]:
    """As base64, and a sentence that says what they show."""
    with tempfile.TemporaryDirectory(prefix="balltrain-gallery-") as temporary:
        paths, source = sample_predictions(checkpoint, data_dir, Path(temporary))
        return [encoded(path) for path in paths], source


def _unseen(loaded: Loaded, data_dir: Path | None, temporary: Path) -> tuple[Dataset, Any, str]:
    """Items of the validation split where the data is at hand; else, where it is generated, of another seed."""
    from dataclasses import replace

    from balltrain.data.cache import load_data
    from balltrain.training.evaluation import cached

    task, request = loaded.task, loaded.request
    dataset = cached(loaded, data_dir)
    if dataset is not None:
        if loaded.fold is not None:
            dataset = dataset.fold(*loaded.fold)
        return dataset, dataset.splits["val"][:NUM_PICTURES], "Of the validation split, the first ones."
    if request.source is not None:
        raise BalltrainError(f"the data of {request.source} is not in this machine's cache")
    other = replace(request, seed=request.seed + 1, size=NUM_PICTURES)
    dataset = load_data(loaded.ref, task, other, temporary)
    return dataset, dataset.splits["all"], f"Generated with the seed {other.seed}, so that none was trained on."


def encoded(path: Path) -> str:
    """A picture as base64 of a small WebP."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((PICTURE_PX, PICTURE_PX))
        content = io.BytesIO()
        small.save(content, "webp", quality=WEBP_QUALITY)
    return base64.b64encode(content.getvalue()).decode()
