"""What a task is: one object that says what is learned. Everything else in balltrain is the same for all."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from typing_extensions import TypeVar

from balltrain.errors import UsageError
from balltrain.tasks.hyperparameters import Hyperparameters as Hyperparameters

Batch = Mapping[str, Tensor]
Vote = Literal["mean", "majority"]  # how several models decide: their mean probability, or one vote each
NUM_EXAMPLES = 12  # of each group that `inspect` shows unless told
MAX_EXAMPLES = 500  # of each group that it can show


HP = TypeVar("HP", bound=Hyperparameters, default=Any)


@dataclass(frozen=True)
class DataRequest:
    """Which data a user asked for: that of `source`, or built-in; the first `size` items; with this seed.

    `options` are values of the task's `DataOptions`, as typed: `options_of` checks them.

    Example:
        >>> balltrain.DataRequest(size=100).seed
        0
    """

    source: str | None = None
    size: int | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Without options where there are none, as it was before tasks had any."""
        values = asdict(self)
        return values if self.options else {name: value for name, value in values.items() if name != "options"}


class DataOptions(BaseModel):
    """What a task's data depends on beside a request's source, size and seed: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Download:
    """A public file that `balltrain data build` fetches into the cache, where a task's data is not generated."""

    url: str
    sha256: str
    num_bytes: int

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]


class Arrays(Protocol):
    """Where `Task.prepare` puts its arrays, one item a row. They live on disk, not in memory.

    Example:
        >>> class Ramp(Sum):
        ...     name = "ramp"
        ...     def prepare(self, request, arrays):
        ...         arrays["number"] = np.arange(100)
        ...         x = arrays.create("x", (100, 4), np.float32)
        ...         x[:] = np.linspace(0, 1, 400).reshape(100, 4)
        ...         return {}
        >>> balltrain.train(Ramp, epochs=1, progress=False).evaluate().items
        10
    """

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        """Write a whole array."""

    def create(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array on disk to fill in place. Raises BalltrainError where the disk has no room for it."""


@dataclass(frozen=True)
class Table:
    """Figures in two dimensions: `values[i][j]` belongs to `rows[i]` and `columns[j]`."""

    title: str
    rows: list[str]
    columns: list[str]
    values: list[list[float]]


@dataclass(frozen=True)
class Certainty:
    """How sure a classifier is of a split, an item a row: the names of the true `classes`, the `confidence`, which is
    the probability of the class that it predicts, and whether that class is `right`.
    """

    classes: list[str]
    confidence: list[float]
    right: list[bool]


@dataclass(frozen=True)
class Examples:
    """Items of a split that are worth a look, and how their kind is distributed.

    `groups` has, by title, numbers of items, counted within the split, with a line on each. `histogram` has values
    by name; `axis` says what they are. Items are shown as the task draws its predictions, or else as they are. Of
    each group `inspect` shows the first so many; with `certainty` also the confidence by class, and what a threshold
    on it gives.
    """

    groups: dict[str, list[tuple[int, str]]]
    axis: str
    histogram: dict[str, list[float]]
    drawn: bool = True
    certainty: Certainty | None = None


class Trainable(Protocol):
    """What a sweep needs to know of what it trains: a `Task`, or a program (`balltrain.programs`)."""

    @property
    def name(self) -> str: ...
    @property
    def objective(self) -> str: ...
    @property
    def mode(self) -> Literal["min", "max"]: ...
    @property
    def metric_names(self) -> tuple[str, ...]: ...
    @property
    def Hyperparameters(self) -> type[Any]: ...  # noqa: N802 - a class


class Task(Generic[HP]):
    """One thing that can be learned: `class Moons(Task[MoonsHyperparameters])`.

    An instance holds no state: its methods are functions of their arguments, and run in many processes.

    Every subclass sets

    - `name`: an identifier, which no built-in task has.
    - `metric_names`: what `metrics` returns beside `loss`, once an epoch: columns of the results.

    and defines five methods: `prepare`, `build_model`, `loss`, `predict` and `metrics`. The hyperparameters in the
    brackets become the attribute `Hyperparameters`, which can be set in their place: `Hyperparameters = …`.

    Some set

    - `objective` and `mode`: what a sweep optimises, `val_loss`, `train_loss` or one of `metric_names`, and whether
      it is minimised (`"min"`) or maximised (`"max"`).
    - `inputs`: names of large arrays that only the model reads: `metrics` is not given them.
    - `DataOptions`: what `prepare` can be told beside its request; `options_of(task, request)` has the values.
    - `default_size`: how many items are generated unless told. `download`: a public file that is the source where
      none was given.
    - `data_version`: raised when `prepare` writes something else than before. The text of a user's file counts by
      itself.
    - `keeps_smallest_loss`: whether a checkpoint also keeps the epoch with the smallest validation loss, for
      `--state smallest-loss`, where the objective is another.
    - `evaluation_batch`: items at a time in evaluation, a multiple of any usual number of workers.
    - `predicts_from`: which of the files that `export` writes `draw_predictions` reads, a pattern.
      `predicts_folders`: whether it takes folders and archives too. `export_formats`: those of `export_as`.

    and define `source_files`, `augment` or `predict_thorough`. What serves other commands (`predict`, `data export`,
    `inspect`, `--with`, files of weights) is a method of a protocol in `balltrain.tasks.protocols`: a task that has
    it, can it.

    Example:
        >>> import numpy as np
        >>> from torch import nn
        >>> class Sum(balltrain.Task):
        ...     '''The sum of four numbers.'''
        ...
        ...     name = "sum"
        ...
        ...     def prepare(self, request, arrays):
        ...         rng = np.random.default_rng(request.seed)
        ...         arrays["x"] = rng.standard_normal((request.size or 100, 4)).astype(np.float32)
        ...         return {}
        ...
        ...     def build_model(self, hp, facts):
        ...         return nn.Linear(4, 1)
        ...
        ...     def loss(self, model, batch, hp):
        ...         return (model(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()
        ...
        ...     def predict(self, model, batch, hp):
        ...         return {"y": model(batch["x"])}
        ...
        ...     def metrics(self, outputs, targets, hp, *, thorough):
        ...         error = outputs["y"] - targets["x"].sum(1, keepdim=True)
        ...         return {"loss": float(error.square().mean())}
        >>> balltrain.train(Sum, epochs=1, progress=False).task
        'sum'
    """

    name: ClassVar[str]
    Hyperparameters: ClassVar[type[Hyperparameters]] = Hyperparameters
    DataOptions: ClassVar[type[DataOptions]] = DataOptions
    objective: ClassVar[str] = "val_loss"
    mode: ClassVar[Literal["min", "max"]] = "min"
    metric_names: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ()
    data_version: ClassVar[int] = 1
    predicts_from: ClassVar[str] = "*"
    predicts_folders: ClassVar[bool] = False
    default_size: ClassVar[int | None] = None
    keeps_smallest_loss: ClassVar[bool] = False
    download: ClassVar[Download | None] = None
    evaluation_batch: ClassVar[int] = 256
    export_formats: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """`Hyperparameters` is what the subclass has in its brackets, unless it sets it itself."""
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin, arguments = get_origin(base), get_args(base)
            if not (isinstance(origin, type) and issubclass(origin, Task)) or "Hyperparameters" in cls.__dict__:
                continue
            if arguments[0] is not Any and not isinstance(arguments[0], TypeVar):
                cls.Hyperparameters = arguments[0]

    def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
        """Write the data's arrays to disk. Called once a machine; all trials map what was written.

        Args:
            request: What the user asked for: `source` (a path, or None), `size` (number of items, or None), `seed`.
            arrays: Takes the arrays, one item a row, all with the same number of rows: `arrays["x"] = x` for one of
                shape (items, …), or `arrays.create(name, shape, dtype)` to fill in place. Names with a meaning:
                `split` (items,), 0 train, 1 val, 2 test, fixes the splits, which are drawn 80/10/10 without it.
                `group` (items,): items of equal values stay in one split. `bucket` (items,): training batches are
                made of items of equal values, as far as they fill batches; in the others all items have the bitwise
                or of their values.

        Returns:
            The data's facts, such as the number of classes, as JSON: `build_model` is given them.

        Raises:
            BalltrainError: The source is not there, or is none of the task's; the message says what is wrong and
                where.
        """
        raise NotImplementedError

    def source_files(self, request: DataRequest) -> Iterable[Path | str]:
        """Files and folders that `prepare` reads beside those of `request.source`: other data where they change.

        Called before the data is looked up in the cache, so it should take no more than a look at names. What is
        in the source, and the text of the task's file and of those beside it that it imports, counts by itself.

        Args:
            request: What the user asked for, as `prepare` is given it.

        Returns:
            Paths; those of folders stand for all that is in them. Unless defined, none.
        """
        return ()

    def build_model(self, hp: HP, facts: dict[str, Any]) -> nn.Module:
        """A new network, initialised from torch's random state, on the CPU.

        Args:
            hp: The trial's hyperparameters.
            facts: What `prepare` returned.

        Returns:
            A module, called by `loss` and `predict` alone, with what they give it.
        """
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch, hp: HP) -> Tensor:
        """What is minimised: the mean training loss of a batch.

        Args:
            model: In training mode; with several workers wrapped by torch's DistributedDataParallel. Call it itself,
                and once, so that gradients are shared.
            batch: The arrays by name, each (batch, …) with its dtype on disk, on the device, as `augment` left them.
                With several workers the worker's share of the batch.
            hp: The trial's hyperparameters.

        Returns:
            A scalar, of shape (), to differentiate: the mean over the batch.
        """
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch, hp: HP) -> dict[str, Tensor]:
        """What the model says of a batch, each item by itself.

        Args:
            model: In eval mode, under `torch.inference_mode()`.
            batch: The arrays by name, each (batch, …), not augmented. At most `evaluation_batch` items.
            hp: The trial's hyperparameters.

        Returns:
            Outputs by name, each (batch, …). They are put together, as float32 on the CPU, for `metrics`.
        """
        raise NotImplementedError

    def metrics(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: HP, *, thorough: bool
    ) -> dict[str, float]:
        """Figures of a whole split.

        Args:
            outputs: What `predict` returned for all items, each (items, …), float32, on the CPU.
            targets: The split's arrays by name, each (items, …), row by row as in `outputs`; without those in
                `inputs`.
            hp: The trial's hyperparameters.
            thorough: True in `balltrain evaluate`, false after each epoch: figures too slow for that are computed
                then, and may have names that `metric_names` lacks.

        Returns:
            Numbers by name: `loss`, which becomes the column `val_loss`, and those of `metric_names`.
        """
        raise NotImplementedError

    def augment(self, batch: Batch, hp: HP) -> Batch:
        """A training batch, changed at random on its device, by torch's random state.

        Args:
            batch: The arrays by name, each (batch, …).
            hp: The trial's hyperparameters.

        Returns:
            What `loss` is given: the same names, with as many items. Unless defined, the batch as it is.
        """
        return batch

    def predict_thorough(self, model: nn.Module, batch: Batch, hp: HP) -> dict[str, Tensor]:
        """As `predict`, for `metrics(…, thorough=True)`: with what is too slow for every epoch.

        Unless defined, what `predict` returns.
        """
        return self.predict(model, batch, hp)


def examples_of_losses(loss: Sequence[float]) -> Examples:
    """The items with the largest and those with the smallest loss; `loss` has that of each item."""
    order = [row for row in np.argsort(loss) if np.isfinite(loss[row])]
    groups = {"The largest losses": order[::-1], "The smallest losses": order}
    shown = {title: [(int(row), f"{loss[row]:.4g}") for row in rows[:MAX_EXAMPLES]] for title, rows in groups.items()}
    return Examples(shown, "loss of an item", {"items": [loss[row] for row in order]})


def resolve(task: Trainable, values: Mapping[str, Any]) -> Any:
    """Its hyperparameters with `values` in place of its defaults.

    Raises UsageError that quotes the value and the rule.
    """
    values = task.Hyperparameters.renewed(values)
    known = task.Hyperparameters.model_fields
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
            raise UsageError(f"{task.name} has no hyperparameter {name!r}: {hint}")
    return _validated(task.Hyperparameters, values, "hyperparameter")


def options_of(task: Task, request: DataRequest) -> Any:
    """The request's options as the task's `DataOptions`. Raises UsageError that quotes the value and the rule."""
    known = list(task.DataOptions.model_fields)
    for name in request.options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean --data {near[0]}?" if near else f"leave out --data {name}"
            of_these = f" (it has {', '.join(known)})" if known and not near else ""
            raise UsageError(f"the data of {task.name} has no {name}: {hint}{of_these}")
    return _validated(task.DataOptions, request.options, "--data")


def _validated(model: type[BaseModel], values: Mapping[str, Any], what: str) -> Any:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        rule = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        # only the top-level name is what the user typed; `loc` may lead into a union
        given = values.get(str(first["loc"][0]), first["input"]) if first["loc"] else dict(values)
        raise UsageError(f"{what} {name or 'combination'} = {json.dumps(given, default=str)}: {rule}") from None
