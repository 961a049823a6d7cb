"""Checkpoint folders: `model.safetensors` (the best epoch's weights), `config.json`, `state.pt` (the last epoch); of
some tasks also `smallest_loss.safetensors`, the weights of the epoch with the smallest validation loss.

Every file is written beside its place, synced and renamed, so that a kill at any moment leaves the old or the
new one whole. Nothing that is read back is a pickle: `state.pt` is loaded with `weights_only=True`.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from balltrain import durable
from balltrain.errors import BalltrainError, StorageError, UsageError
from balltrain.tasks import TaskRef, task_ref
from balltrain.tasks.base import DataRequest, Task, resolve
from balltrain.tasks.decoding import read_source
from balltrain.tasks.protocols import ChecksRecorded
from balltrain.tasks.user_code import told_as_users

FORMAT = 1
MODEL, CONFIG, STATE = "model.safetensors", "config.json", "state.pt"
SMALLEST_LOSS = "smallest_loss.safetensors"
WEIGHTS = {"best": MODEL, "smallest-loss": SMALLEST_LOSS}  # by the state of --state


@dataclass(frozen=True)
class CheckpointConfig:
    """What `config.json` holds: all that is needed to build the model and run it again."""

    ref: TaskRef
    hyperparameters: dict[str, Any]
    seed: int
    request: DataRequest
    facts: dict[str, Any]
    data_fingerprint: str
    fold: tuple[int, int] | None = None  # number and count, where the trial was one of a cross-validation

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "task": self.ref.name,
            "task_file": self.ref.file,
            "task_source": self.ref.source,  # of a user's task: its file may be of another machine, or none at all
            **({"task_beside": dict(self.ref.beside)} if self.ref.beside else {}),
            "hyperparameters": self.hyperparameters,
            "seed": self.seed,
            "data": {
                "request": self.request.to_dict(),
                "facts": self.facts,
                "fingerprint": self.data_fingerprint,
                "fold": self.fold,
            },
        }


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, ready to use."""

    folder: Path
    task: Task
    ref: TaskRef
    hp: Any
    model: nn.Module
    config: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of the data that it was trained on."""
        return str(self.config["data"]["fingerprint"])

    @property
    def request(self) -> DataRequest:
        return DataRequest(**self.config["data"]["request"])

    @property
    def fold(self) -> tuple[int, int] | None:
        found = self.config["data"].get("fold")
        return (found[0], found[1]) if found else None


def save_config(folder: Path, config: CheckpointConfig) -> None:
    try:
        durable.make_folder(folder)
        durable.sync_names(folder, 2)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror or error}") from error
    _write_atomically(folder / CONFIG, json.dumps(config.to_json(), indent=1).encode())


def save_best(folder: Path, model: nn.Module, epoch: int, objective: float) -> None:
    """The weights of the best epoch; the file itself says which epoch and value they belong to."""
    _save_weights(folder / MODEL, model.state_dict(), {"epoch": str(epoch), "objective": repr(objective)})


def save_smallest_loss(folder: Path, model: nn.Module, epoch: int, loss: float) -> None:
    """The weights of the epoch with the smallest validation loss."""
    _save_weights(folder / SMALLEST_LOSS, model.state_dict(), {"epoch": str(epoch), "val_loss": repr(loss)})


def best_of(folder: Path) -> tuple[int, float] | None:
    """Epoch and objective of the weights in a checkpoint; None where no epoch has been saved yet."""
    if not (folder / MODEL).exists():
        return None
    with _readable(folder / MODEL), safe_open(folder / MODEL, "pt") as file:
        metadata = file.metadata()
        return int(metadata["epoch"]), float(metadata["objective"])


def save_state(folder: Path, state: dict[str, Any], name: str = STATE) -> None:
    """All that is needed to go on after the last epoch, in one file: it is never of two epochs."""
    content = io.BytesIO()
    torch.save(state, content)
    _write_atomically(folder / name, content.getvalue())


def load_state(folder: Path) -> dict[str, Any] | None:
    """What `save_state` wrote; None where no epoch has been saved. Raises BalltrainError where it is damaged."""
    path = folder / STATE
    if not path.exists():
        return None
    with _readable(path):
        if not zipfile.is_zipfile(path):
            raise ValueError("truncated, or not written by balltrain")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def copy_last(folder: Path, copy: Path) -> int | None:
    """Make `copy` a checkpoint of the weights that the last epoch in `folder` has, and say which epoch that is.

    None, and no copy, where there is no state: of what a program has left, or where it was deleted.
    """
    state = load_state(folder)
    if state is None:
        return None
    last = state["progress"]["rows"][-1]
    metadata = {"epoch": str(last["epoch"]), "objective": repr(last["objective"])}
    _save_weights(copy / MODEL, state["model"], metadata)
    _write_atomically(copy / CONFIG, (folder / CONFIG).read_bytes())
    return int(last["epoch"])


def load_checkpoint(folder: Path | str, device: torch.device | str = "cpu", state: str = "best") -> Loaded:
    """The task, hyperparameters and model of a checkpoint folder, in eval mode; `state` says of which epoch.

    Raises BalltrainError where a file is missing, truncated, a pickle, or made by another model; UsageError where
    there is no such state.
    """
    if state not in WEIGHTS:
        raise UsageError(f"unknown --state {state!r}: choose {' or '.join(WEIGHTS)}")
    folder, weights_file = Path(folder), WEIGHTS[state]
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise BalltrainError(f"{folder} is {what}: a checkpoint is a folder with {MODEL} and {CONFIG}")
    _refuse_program(folder)
    for name in (CONFIG, MODEL):
        if not (folder / name).is_file():
            raise BalltrainError(f"{folder} has no {name}: give the folder of a checkpoint, such as runs/NAME/best")
    if not (folder / weights_file).is_file():
        raise BalltrainError(
            f"{folder} has no {weights_file}: it was trained by an earlier version, or its task keeps the best epoch "
            "alone; leave out --state"
        )
    with _readable(folder / CONFIG):
        config = json.loads((folder / CONFIG).read_text())
        if config["format"] != FORMAT:
            raise ValueError(f"format {config['format']}, this version of balltrain reads {FORMAT}")
        refs = list(_refs(folder, config))
    with _readable(folder / weights_file):
        weights = load_file(folder / weights_file)
    task, ref, hp, model = _first_that_fits(folder / weights_file, refs, config, weights)
    model.eval()
    # torch's types know `memory_format` beside a tensor alone
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Loaded(folder, task, ref, hp, model, config)


def _refuse_program(folder: Path) -> None:
    """Raises BalltrainError for what a function or a command has left: only it knows how to use that."""
    with contextlib.suppress(OSError, ValueError):
        program = json.loads((folder / CONFIG).read_text()).get("program")
        if program:
            raise BalltrainError(
                f"{folder} is of the {program['kind']} {program['name']}, whose models balltrain cannot run: what it "
                "has kept is in that folder"
            )


def _first_that_fits(
    weights_file: Path, refs: list[TaskRef], config: dict[str, Any], weights: dict[str, torch.Tensor]
) -> tuple[Task, TaskRef, Any, nn.Module]:
    """The task and the model of the first reference that makes one which takes the weights.

    Raises the first one's BalltrainError where none does.
    """
    first: BalltrainError | None = None
    for ref in refs:
        try:
            with told_as_users():
                return _model_of(weights_file, ref, config, weights)
        except BalltrainError as error:
            first = first or error
    assert first is not None  # there is a reference at least
    raise first


def _model_of(
    weights_file: Path, ref: TaskRef, config: dict[str, Any], weights: dict[str, torch.Tensor]
) -> tuple[Task, TaskRef, Any, nn.Module]:
    values = config["hyperparameters"]
    try:
        if ref.source is None:
            ref = task_ref(ref.name)
        task = ref.load()
        if isinstance(task, ChecksRecorded):
            task.check_recorded(values)
        hp = resolve(task, values)
    except BalltrainError as error:
        where = weights_file.parent / CONFIG
        raise BalltrainError(f"{where} is of a task that is not here, or has changed: {error}") from error
    model = task.build_model(hp, config["data"]["facts"])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BalltrainError(f"{weights_file} is not of the model that {CONFIG} describes: {reason}") from error
    return task, ref, hp, model


def _refs(folder: Path, config: dict[str, Any]) -> Iterator[TaskRef]:
    """How to load a checkpoint's task, what is to be tried first at the front.

    That of a user is loaded from its file, as it is by now, or else from the text that the checkpoint has. One of
    an early version has no text: a file of that name is looked for where the checkpoint has gone.
    """
    name, file, source = config["task"], config["task_file"], config.get("task_source")
    if file is None and source is None:
        yield TaskRef(name)
        return
    if file and Path(file).is_file():
        yield TaskRef.of_file(name, Path(file), read_source(Path(file)))
    if source is not None:
        yield TaskRef(name, file, source, tuple(sorted(config.get("task_beside", {}).items())))
        return
    for place in (Path.cwd(), *folder.resolve().parents):
        if (place / Path(file).name).is_file():
            yield TaskRef.of_file(name, place / Path(file).name, read_source(place / Path(file).name))
    yield TaskRef(file)  # says that it is not there


def _save_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _write_atomically(path, save(weights, metadata))


class _readable:  # noqa: N801 - used as a context manager only
    """Turns whatever a damaged file raises into one line that names it."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError)) or (
            kind is not None and kind.__name__ == "UnpicklingError"
        ):
            reason = " ".join(str(error).split())[:200]
            raise BalltrainError(f"{self.path} cannot be read (truncated, or not a checkpoint): {reason}") from error


def _write_atomically(path: Path, content: bytes) -> None:
    """Raises StorageError where the disk is full or cannot be written."""
    try:
        durable.replace(path, content)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
