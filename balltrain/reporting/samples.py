"""A page of what a model is trained on: items with their labels, and the same items as they are augmented."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from balltrain.data.batches import Batches
from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError
from balltrain.reporting.page import contents, note, page_html, section, write_page
from balltrain.reporting.shots import figure, shots
from balltrain.tasks.base import Batch, Task
from balltrain.tasks.protocols import DrawsItems

NUM_SAMPLES = 12
NUM_AUGMENTED, NUM_TIMES = 6, 8  # items of these, each so many times
AUGMENTED_PX = 240  # longer side at most
PAGE = "index.html"


def write_samples(task: Task, hp: Any, dataset: Dataset, seed: int, out: Path) -> Path:
    """Write `out`/index.html; its pictures are in it. Items are drawn by the task, from the training split.

    Raises BalltrainError where the task draws no items, or the page cannot be written.
    """
    if not isinstance(task, DrawsItems):
        raise BalltrainError(f"{task.name} does not draw its items: give it the method draw_items")
    if len(dataset.splits["train"]) == 0:
        raise BalltrainError(f"none of these {len(dataset)} items are to train on: give more, by --size or --source")
    batches = Batches(dataset, "train", NUM_SAMPLES, torch.device("cpu"))
    batch, count = next(batches.shuffled(seed, epoch=1))
    drawn = task.draw_items(batch, dataset.facts)
    few = {name: values[:NUM_AUGMENTED] for name, values in batch.items()}
    torch.manual_seed(seed)
    times = [task.draw_items(task.augment(few, hp), dataset.facts) for _ in range(NUM_TIMES)]
    rows = [
        shots(figure(_thumbnail(picture), caption) for picture, caption in row) for row in zip(*times, strict=True)
    ]
    settings = ", ".join(f"{name} {value}" for name, value in _differing(hp).items()) or "the defaults"
    body = section("Samples", shots(figure(*each) for each in drawn), note(f"{count} of the training split."))
    said = f"Each row is an item, {NUM_TIMES} times as training sees it, with {settings}."
    if _same(few, task.augment(few, hp)):
        said += " With these hyperparameters nothing is augmented."
    body += section("As they are trained on", note(said), *rows)
    head = f"<header><p class=kicker>{escape(task.name)}</p><h1>What it is trained on</h1></header>"
    return write_page(page_html(f"{task.name}: samples", head + contents(body) + body), out / PAGE)


def _differing(hp: Any) -> dict[str, Any]:
    """Hyperparameters that are not the task's defaults."""
    defaults = type(hp)().model_dump()
    return {name: value for name, value in hp.model_dump().items() if value != defaults[name]}


def _same(before: Batch, after: Batch) -> bool:
    return all(value is after[name] or torch.equal(value, after[name]) for name, value in before.items())


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((AUGMENTED_PX, AUGMENTED_PX))
    return np.asarray(image)
