"""Hyperparameter sweeps of small vision and physics models on Ray.

`Task`, `Hyperparameters` and `Sweep` are all that a file with a user's own task imports. They are loaded on
first use, because torch takes a second and `balltrain --help` has half of one.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balltrain.search.sweep import Sweep
    from balltrain.tasks.base import Arrays, DataRequest, Hyperparameters, Task

__version__ = "0.1.0"
__all__ = ["Arrays", "DataRequest", "Hyperparameters", "Sweep", "Task"]


def __getattr__(name: str) -> Any:
    if name == "Sweep":
        from balltrain.search.sweep import Sweep

        return Sweep
    if name in __all__:
        from balltrain.tasks import base

        return getattr(base, name)
    raise AttributeError(f"module 'balltrain' has no attribute {name!r}")
