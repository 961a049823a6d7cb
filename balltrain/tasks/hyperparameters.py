"""Hyperparameters that all tasks have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Schedule = Literal["constant", "step", "cosine", "onecycle", "plateau"]


class Hyperparameters(BaseModel):
    """Typed, frozen, with the best known values as defaults. A task's own class adds to these.

    `lr` is the peak of a schedule that moves. `weight_decay` is L2 in Adam and SGD, decoupled in AdamW
    (Loshchilov and Hutter, arXiv 1711.05101). `patience` ends the training after so many epochs without a
    better objective. `precision` is that of the layers for which torch's autocast lowers it: auto is bfloat16 on
    GPUs that have it; bfloat16 is so on CPUs that have it too. `restarts` initialisations train a few batches each,
    and the one with the lowest loss then is trained. With `cudnn_benchmark` equal trainings on a GPU may differ in
    last bits, as one may take other algorithms than another.

    A class with a field `model` may have `recipes`: by its value, the other values that this model is trained with
    where none are given. What is given wins, on the command line, in a sweep's space and in a checkpoint alike.

    Raises:
        pydantic.ValidationError: A value breaks a rule. balltrain's functions make a UsageError of it.

    Example:
        >>> class MoonsHyperparameters(balltrain.Hyperparameters):
        ...     width: int = 16
        ...     lr: float = 0.01
        >>> MoonsHyperparameters(width=4).lr
        0.01
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(64, ge=1)
    drop_last: bool = Field(False, description="leave a smaller last batch out of an epoch")
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    schedule: Schedule = "constant"
    step_size: int = Field(
        40,
        ge=1,
        description="epochs between two steps of the step schedule, without a better objective before one of plateau",
    )
    gamma: float = Field(0.3, gt=0, le=1, description="factor of a step")
    warmup: float = Field(0.25, ge=0, lt=1, description="part of a one-cycle that rises, or of a cosine")
    clip_norm: float | None = Field(None, gt=0, description="gradients are scaled down to this norm")
    patience: int | None = Field(None, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    restarts: int = Field(1, ge=1, description="initialisations to choose from")
    cudnn_benchmark: bool = Field(False, description="on GPUs cuDNN times its algorithms, and takes the fastest")
    sync_batch_norm: bool = Field(False, description="over all workers of a data-parallel trial")

    def in_training_mode(self, epoch: int) -> bool:
        """Whether an epoch, from 1, is trained with dropout, and batch norm takes its statistics from the batch."""
        return True

    @classmethod
    def renewed(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Values as an earlier version may have written them, by the names that they have now."""
        return values

    @model_validator(mode="before")
    @classmethod
    def _with_recipe(cls, values: Any) -> Any:
        if not cls.recipes or not isinstance(values, Mapping):
            return values
        model = values.get("model", cls.model_fields["model"].default)
        return {**cls.recipes.get(model, {}), **values} if isinstance(model, str) else values

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Raises TypeError where `recipes` are not of this class's fields, or it has no `model` to choose one by."""
        if cls.recipes and "model" not in cls.model_fields:
            raise TypeError(f"{cls.__name__} has recipes, but no field `model` that they belong to: add one")
        for model, recipe in cls.recipes.items():
            if unknown := sorted(set(recipe) - (set(cls.model_fields) - {"model"})):
                raise TypeError(
                    f"the recipe of {model} sets {', '.join(unknown)}: set other fields of {cls.__name__}"
                )
