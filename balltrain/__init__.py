"""Hyperparameter sweeps on Ray that lose nothing.

All names of `__all__` are loaded on first use, because torch takes a second and `balltrain --help` has half of one.
"""

import importlib
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balltrain.api.model import Model
    from balltrain.api.results import Results, load
    from balltrain.api.sweeping import forecast, sweep
    from balltrain.api.training import train
    from balltrain.errors import BalltrainError, UsageError
    from balltrain.programs.commands import Command
    from balltrain.programs.handle import Trial
    from balltrain.programs.script import report
    from balltrain.search.published import Published
    from balltrain.search.sweep import Sweep
    from balltrain.tasks.base import Arrays, DataRequest, Hyperparameters, Task

__version__ = "0.1.0"

_HOMES = {
    "balltrain.api.model": ("Model",),
    "balltrain.api.results": ("Results", "load"),
    "balltrain.api.sweeping": ("forecast", "sweep"),
    "balltrain.api.training": ("train",),
    "balltrain.errors": ("BalltrainError", "UsageError"),
    "balltrain.programs.handle": ("Trial",),
    "balltrain.programs.commands": ("Command",),
    "balltrain.programs.script": ("report",),
    "balltrain.search.published": ("Published",),
    "balltrain.search.sweep": ("Sweep",),
    "balltrain.tasks.base": ("Arrays", "DataRequest", "Hyperparameters", "Task"),
}
__all__ = [
    "Arrays",
    "BalltrainError",
    "Command",
    "DataRequest",
    "Hyperparameters",
    "Model",
    "Published",
    "Results",
    "Sweep",
    "Task",
    "Trial",
    "UsageError",
    "forecast",
    "load",
    "report",
    "sweep",
    "train",
]

if "ipykernel" in sys.modules:  # Ray and tqdm complain that ipywidgets is not there, which nothing here needs
    logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="IProgress not found")


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'balltrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
