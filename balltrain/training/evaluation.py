"""Figures of checkpoints on a split: of one, or of several and of what they decide together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import get_args

import torch

from balltrain.data.cache import Dataset, find_data, has_changed, load_data, task_folder
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import known_tasks, task_ref
from balltrain.tasks.base import DataRequest, Table, Task, Vote
from balltrain.tasks.protocols import ChecksFacts, CombinesModels, ScoresResults
from balltrain.tasks.splits import SPLITS
from balltrain.training.checkpoint import CONFIG, Loaded, load_checkpoint
from balltrain.training.outputs import figures_of, outputs_of, tables_of

log = logging.getLogger(__name__)

FREE_OPTIONS = ("skip_bad",)  # of the data: how another source is read, which no model depends on


@dataclass(frozen=True)
class Evaluation:
    """`members` has folder and figures of each checkpoint where there are several; the others are of all together."""

    task: Task
    split: str
    items: int
    metrics: dict[str, float]
    tables: dict[str, Table]
    members: list[tuple[Path, dict[str, float]]]
    vote: Vote

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        of = f", {len(self.members)} models by {self.vote}" if self.members else ""
        return f"Evaluation({self.task.name}, {self.split}, {self.items} items{of}: {figures})"

    def _repr_html_(self) -> str:
        head = f"<b>{self.task.name}</b>: {self.split}, {self.items} items"
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{value:.4g}</td></tr>" for name, value in self.metrics.items()
        )
        return f"{head}<table>{rows}</table>{''.join(map(_as_html, self.tables.values()))}"


def _as_html(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in ["", *table.columns])
    rows = "".join(
        f"<tr><th>{escape(row)}</th>{''.join(f'<td>{value:.4g}</td>' for value in values)}</tr>"
        for row, values in zip(table.rows, table.values, strict=True)
    )
    return f"{escape(table.title)}<table><tr>{head}</tr>{rows}</table>"


def vote_of(text: str) -> Vote:
    """Raises UsageError where there is no such way to decide."""
    votes: tuple[Vote, ...] = get_args(Vote)
    for vote in votes:
        if text == vote:
            return vote
    raise UsageError(f"unknown --vote {text!r}: choose {' or '.join(get_args(Vote))}")


def load_members(folders: list[Path], device: torch.device, state: str = "best") -> list[Loaded]:
    """Checkpoints that decide together. Raises UsageError where they are not of one task."""
    first, *others = members = [load_checkpoint(folder, device, state) for folder in folders]
    for member in others:
        if (member.task.name, member.ref.code_id) != (first.task.name, first.ref.code_id):
            names = f"{member.folder} is of {member.task.name}, {first.folder} of {first.task.name}"
            raise UsageError(f"{names}: checkpoints that decide together must be of one task")
    return members


def check_split(split: str | None) -> None:
    """Raises UsageError where it is none to be evaluated."""
    if split not in (None, *SPLITS):
        raise UsageError(f"unknown --split {split!r}: choose {', '.join(SPLITS[:-1])} or {SPLITS[-1]}")


def open_split(
    loaded: Loaded, split: str | None, other: DataRequest | None, data_dir: Path | None
) -> tuple[Dataset, str]:
    """The data that a checkpoint was trained on, and a split of it, val unless told; or all of `other` data.

    Raises BalltrainError where the model says nothing of the other data, UsageError where it has options.
    """
    free = {} if other is None else {name: value for name, value in other.options.items() if name in FREE_OPTIONS}
    if other is not None and len(free) < len(other.options):
        given = ", ".join(f"--data {name}" for name in other.options if name not in free)
        raise UsageError(f"{given}: a checkpoint keeps the data's options that it was trained with; leave it out")
    is_its_own = True
    if other is None or other.source is None:
        dataset = trained_on(loaded, data_dir)
    elif other.source == loaded.request.source:
        dataset = _as_it_is_now(loaded, data_dir)
    else:
        request = replace(other, seed=loaded.request.seed, options={**loaded.request.options, **free})
        dataset = _moved(loaded, request, data_dir) or load_data(loaded.ref, loaded.task, request, data_dir)
        is_its_own = dataset.fingerprint == loaded.fingerprint
    if not is_its_own:
        split = split or "all"  # nothing of it was trained on
    elif loaded.fold is not None:
        dataset = dataset.fold(*loaded.fold)
    if isinstance(loaded.task, ChecksFacts):
        loaded.task.check_facts(loaded.config["data"]["facts"], dataset.facts)
    return dataset, split or "val"


def trained_on(loaded: Loaded, data_dir: Path | None) -> Dataset:
    """The data that a checkpoint was trained on, found in the cache by what it holds, else built.

    Raises BalltrainError where it is not in the cache, and its source is no more where it was.
    """
    found, source = cached(loaded, data_dir), loaded.request.source
    is_there = source is not None and Path(source).exists()
    if found is not None:
        if is_there and has_changed(found, loaded.ref, loaded.task, loaded.request):
            log.warning(
                f"{source} has changed since the model was trained: figures are of the data that it was trained on, "
                "of the cache"
            )
        return found
    if source is not None and not is_there:
        raise BalltrainError(
            f"{source}, which the model was trained on, is not there any more, nor is its data in "
            f"{task_folder(loaded.task, data_dir)}: name its new place by --source, or the cache by --data-dir"
        )
    return _as_it_is_now(loaded, data_dir)


def _as_it_is_now(loaded: Loaded, data_dir: Path | None) -> Dataset:
    """The data of the source that a checkpoint was trained on, which may be other data by now."""
    dataset, source = load_data(loaded.ref, loaded.task, loaded.request, data_dir), loaded.request.source
    if source is not None and dataset.fingerprint != loaded.fingerprint:
        log.warning(
            f"{source} has changed since the model was trained: figures are of the data as it is now, of which some "
            "may have been trained on"
        )
    return dataset


def cached(loaded: Loaded, data_dir: Path | None) -> Dataset | None:
    """The data that a checkpoint was trained on, where the cache has it. Its source may have moved or changed."""
    found = find_data(task_folder(loaded.task, data_dir), loaded.fingerprint)
    return None if found is None else replace(found, request=loaded.request)


def _moved(loaded: Loaded, request: DataRequest, data_dir: Path | None) -> Dataset | None:
    """The data that a checkpoint was trained on, where it was a part of a source that lies elsewhere by now."""
    trained = loaded.request
    if trained.size is None or request.size is not None or trained.source is None or Path(trained.source).exists():
        return None
    try:
        dataset = load_data(loaded.ref, loaded.task, replace(request, size=trained.size), data_dir)
    except BalltrainError:  # another source, with fewer items
        return None
    return dataset if dataset.fingerprint == loaded.fingerprint else None


def evaluate_results(
    path: Path, checkpoint: Path, split: str | None, other: DataRequest, data_dir: Path | None
) -> Evaluation:
    """Figures of a file of predictions for a split, whoever made them: of `checkpoint`'s data, or of `other` data.

    `checkpoint` may be a task's name: the split is val then, or all of a single file. Raises BalltrainError where
    the task has no format of predictions, or the file is not in it.
    """
    name = str(checkpoint)
    if name in known_tasks() and not (checkpoint / CONFIG).exists():
        task, request = task_ref(name).load(), other
        scores = _scoring(task)  # before its data is made
        dataset = load_data(task_ref(name), task, request, data_dir)
        is_file = request.source is not None and Path(request.source).is_file()
        split = split or ("all" if is_file else "val")
    else:
        loaded = load_checkpoint(checkpoint)
        task, scores, request = loaded.task, _scoring(loaded.task), replace(other, options=loaded.request.options)
        dataset, split = open_split(loaded, split, other, data_dir)
    rows = dataset.splits[split]
    if len(rows) == 0:
        raise BalltrainError(f"the {split} split of these {len(dataset)} items is empty")
    arrays = {name: array[rows] for name, array in dataset.arrays.items() if name not in task.inputs}
    metrics, tables = scores.score_results(path, request, dataset.facts, arrays)
    return Evaluation(task, split, len(rows), metrics, tables, [], "mean")


def evaluate_members(
    members: list[Loaded], vote: Vote, dataset: Dataset, split: str, device: torch.device
) -> Evaluation:
    """Figures of `split`, of each member and of what they decide together.

    Raises BalltrainError where it is what some were trained on and others, by data or fold, were not: what validates
    the one may have trained the other.
    """
    first = members[0]
    trained_on = {(member.fingerprint, member.fold) for member in members}
    if len(trained_on) > 1 and dataset.fingerprint in {fingerprint for fingerprint, _ in trained_on}:
        other = next(m for m in members if (m.fingerprint, m.fold) != (first.fingerprint, first.fold))
        what = "data" if other.fingerprint != first.fingerprint else "folds"
        raise BalltrainError(
            f"{other.folder} and {first.folder} were trained on different {what}: "
            "what validates one may have trained the other; choose checkpoints of the same training data"
        )
    outputs = []
    for member in members:
        of_member, targets = outputs_of(member.task, member.hp, member.model, dataset, split, device)
        outputs.append(of_member)
    figures = [figures_of(m.task, m.hp, o, targets) for m, o in zip(members, outputs, strict=True)]
    if len(members) == 1:
        together, metrics, by_member = outputs[0], figures[0], []
    else:
        together = _combining(first.task).combine(outputs, vote)
        metrics = figures_of(first.task, first.hp, together, targets)
        by_member = [(member.folder, each) for member, each in zip(members, figures, strict=True)]
    tables = tables_of(first.task, together, targets, dataset.facts)
    return Evaluation(first.task, split, len(dataset.splits[split]), metrics, tables, by_member, vote)


def validate_members(
    members: list[Loaded], vote: Vote, data_dir: Path | None, device: torch.device
) -> Evaluation | str:
    """Figures of the validation split; where its data is not at hand or not common to all, the reason."""
    try:
        dataset, split = open_split(members[0], "val", None, data_dir)
        return evaluate_members(members, vote, dataset, split, device)
    except BalltrainError as error:
        return str(error)


def _scoring(task: Task) -> ScoresResults:
    if not isinstance(task, ScoresResults):
        raise BalltrainError(f"{task.name} has no format of results")
    return task


def _combining(task: Task) -> CombinesModels:
    if not isinstance(task, CombinesModels):
        raise BalltrainError(f"{task.name} cannot combine several checkpoints: give one")
    return task
