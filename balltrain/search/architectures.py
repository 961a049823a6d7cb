"""Spaces of architectures: what a configuration has in parameters, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any


def num_params(task: str, values: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> int:
    """Parameters of the model that a task builds of these hyperparameters; counted without making any.

    `facts` are those of the data, for a model that depends on it. Raises UsageError for values that the task refuses.
    """
    import torch

    from balltrain.tasks import task_ref
    from balltrain.tasks.base import resolve

    found = task_ref(task).load()
    hp = resolve(found, values)
    with torch.device("meta"):  # without memory or random numbers
        model = found.build_model(hp, dict(facts or {}))
    return sum(parameter.numel() for parameter in model.parameters())


def shapes_under(
    cap: int,
    task: str,
    fixed: Mapping[str, Any],
    options: Mapping[str, Sequence[Any]],
    size: str,
    lowest: int,
    highest: int,
) -> list[tuple[dict[str, Any], int]]:
    """Each combination of `options`, and the largest size, from `lowest` to `highest`, with `cap` parameters at most.

    `size` is the hyperparameter of which a larger one has more parameters, `fixed` are values that all have. What
    has more at its lowest size is left out.
    """
    found = []
    for values in product(*options.values()):
        shape = dict(zip(options, values, strict=True))
        counted = partial(_num_params_at, task, {**fixed, **shape}, size)
        if (largest := largest_under(cap, counted, highest)) >= lowest:
            found.append((shape, largest))
    return found


def _num_params_at(task: str, values: Mapping[str, Any], size: str, value: int) -> int:
    return num_params(task, {**values, size: value})


def largest_under(cap: int, count: Callable[[int], int], high: int) -> int:
    """The largest size from 1 to `high` whose `count` is at most `cap`, where larger ones have more; else 0.

    A sweep file ends a range there, so that no trial, and no proposal, is spent on what is over the cap.
    """
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        if count(middle) <= cap:
            low = middle
        else:
            high = middle - 1
    return low
