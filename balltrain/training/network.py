"""What a network is made of, layer by layer, read off one item that goes through it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Task, resolve
from balltrain.tasks.protocols import HasBlankItem

NUM_GENERATED = 12  # items, where data is generated: enough for one in each split


@dataclass(frozen=True)
class NetworkLayer:
    """A module without parts, or with parameters of its own. `shapes` are of its outputs for one item."""

    name: str
    kind: str
    shapes: list[list[int]]
    num_params: int
    num_bytes: int  # of parameters and buffers
    mflop: float  # of convolutions and matrix products, of one item; a multiplication and an addition are two


@dataclass(frozen=True)
class Network:
    """The layers in the order in which one item passes them, and what they have together."""

    task: str
    hyperparameters: dict[str, Any]
    layers: list[NetworkLayer]
    num_params: int
    num_bytes: int
    mflop: float


def describe_network(
    ref: TaskRef, hyperparameters: Mapping[str, Any], request: DataRequest, data_dir: Path | None
) -> Network:
    """The network that these hyperparameters make, for an item of the data.

    Raises UsageError for hyperparameters that the task does not have, BalltrainError where its data, which the
    network depends on, is not there.
    """
    task = ref.load()
    hp = resolve(task, hyperparameters)
    facts, item = _item(ref, task, request, data_dir)
    torch.manual_seed(0)
    model = task.build_model(hp, facts).eval()
    shapes, calls = _Shapes(model), [0]

    def count(module: nn.Module, arguments: Any, output: Any) -> None:
        calls[0] += 1

    hooks = [*shapes.hooks, model.register_forward_hook(count)]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        task.predict(model, item, hp)
    for hook in hooks:
        hook.remove()
    passes = 1e6 * max(1, calls[0])  # a prediction may be the mean of several
    flop = {name: sum(of_kind.values()) / passes for name, of_kind in counter.get_flop_counts().items()}
    modules = dict(model.named_modules())
    unseen = [name for name, module in modules.items() if _own(module) and name not in shapes.found]
    layers = [
        NetworkLayer(
            name or type(model).__name__,
            type(modules[name]).__name__,
            shapes.found.get(name, []),
            sum(parameter.numel() for parameter in modules[name].parameters(recurse=False)),
            sum(tensor.nbytes for tensor in _own(modules[name])),
            flop.get(f"{type(model).__name__}.{name}", 0.0) if not list(modules[name].children()) else 0.0,
        )
        for name in [*shapes.found, *unseen]
    ]
    num_params = sum(parameter.numel() for parameter in model.parameters())
    num_bytes = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return Network(task.name, hp.model_dump(mode="json"), layers, num_params, num_bytes, flop.get("Global", 0.0))


class _Shapes:
    """The outputs' shapes of each layer's first call, in the order of these."""

    def __init__(self, model: nn.Module):
        self.found: dict[str, list[list[int]]] = {}
        self.hooks = [
            module.register_forward_hook(lambda module, _, output, name=name: self._note(name, output))
            for name, module in model.named_modules()
            if not list(module.children()) or _own(module)
        ]

    def _note(self, name: str, output: Any) -> None:
        self.found.setdefault(name, [list(tensor.shape[1:]) for tensor in _tensors(output)])


def _own(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers of a module itself, not of its parts."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    return [tensor for part in output for tensor in _tensors(part)] if isinstance(output, list | tuple) else []


def _item(
    ref: TaskRef, task: Task, request: DataRequest, data_dir: Path | None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The data's facts and its first item: of a blank one where no source was given, else of a few generated ones."""
    if request.source is None and isinstance(task, HasBlankItem):
        facts, arrays = task.blank_item()
        return facts, {name: torch.tensor(array) for name, array in arrays.items()}
    with tempfile.TemporaryDirectory(prefix="balltrain-model-") as temporary:
        generated = request.source is None and task.download is None
        if generated:
            request, data_dir = replace(request, size=request.size or NUM_GENERATED), Path(temporary)
        dataset = load_data(ref, task, request, data_dir)
        return dataset.facts, {name: torch.tensor(array[:1]) for name, array in dataset.arrays.items()}
