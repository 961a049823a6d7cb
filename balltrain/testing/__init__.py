"""What tests and benchmarks of searches share, and what a plug-in's own tests inherit.

Problems have learning curves that are known without training; sweeps of them run under a virtual clock. Every
searcher passes `SearcherConformance`, every stopping rule `StoppingConformance`: docs/plugins.md.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balltrain.testing.searchers import SearcherConformance
    from balltrain.testing.stopping_rules import StoppingConformance

_HOMES = {"SearcherConformance": "searchers", "StoppingConformance": "stopping_rules"}
__all__ = ["SearcherConformance", "StoppingConformance"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'balltrain.testing' has no attribute {name!r}")
    module = f"balltrain.testing.{_HOMES[name]}"
    if (pytest := sys.modules.get("pytest")) is not None and module not in sys.modules:
        pytest.register_assert_rewrite(module)  # an assertion that fails shows its values
    return getattr(importlib.import_module(module), name)
