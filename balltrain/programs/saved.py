"""What a function keeps of a trial: states of models and optimisers, and plain values; never objects."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from balltrain.errors import ReportError

ARRAY = "__numpy__"  # key of a tensor that was a NumPy array


def state_of(name: str, value: Any) -> Any:
    """What is saved of a value: its `state_dict()`, or the value where it is plain.

    Raises ReportError that names what is neither.
    """
    found = getattr(value, "state_dict", None)
    return _plain(value if found is None or isinstance(value, Mapping) else found(), name)


def put_back(name: str, into: Any, state: Any) -> None:
    """Load a saved state into an object, or into a dict. Raises ReportError where it does not fit."""
    try:
        if hasattr(into, "load_state_dict"):
            into.load_state_dict(state)
        elif isinstance(into, dict):
            into.clear()
            into.update(state)
        else:
            raise TypeError(f"it is a {type(into).__name__}, without load_state_dict, and no dict")
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ReportError(f"trial.restore: {name} cannot be restored: {reason}") from error


def read_back(value: Any) -> Any:
    """A saved value as it was: arrays are NumPy's again."""
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return value[ARRAY].numpy()
        return value if isinstance(value, Counter) else {key: read_back(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(read_back(item) for item in value)
    return value


def _plain(value: Any, where: str) -> Any:
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if value is None or isinstance(value, bool | int | float | str | bytes):
        if type(value).__module__ == "numpy":
            return value.item()  # type: ignore[union-attr]  # a scalar of NumPy's is a float of Python's too
        return value
    if torch is not None and isinstance(value, torch.Tensor | torch.dtype | torch.device | torch.Size):
        return value.detach() if isinstance(value, torch.Tensor) else value
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.dtype.kind not in "fiubc":
            raise ReportError(f"trial.save: {where} is an array of {value.dtype}, but must be one of numbers")
        import torch as there

        return {ARRAY: there.from_numpy(value.copy())}
    if isinstance(value, Counter):  # torch's MultiStepLR has one, and asks it for what it does not have
        return Counter({_key(key, where): int(count) for key, count in value.items()})
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_plain(item, f"{where}[{number}]") for number, item in enumerate(value))
    raise ReportError(
        f"trial.save: {where} is an object ({type(value).__name__}), which is not kept: save its state_dict(), "
        "tensors and numbers, or write a file to trial.folder"
    )


def _key(key: Any, where: str) -> Any:
    if isinstance(key, str | int | float | bool):
        return key
    raise ReportError(f"trial.save: {where} has the key {key!r}, but keys are texts or numbers")
