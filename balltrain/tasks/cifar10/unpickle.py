"""Reading a batch of CIFAR-10, which is a pickle, without running what a pickle may hold."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from balltrain.errors import BalltrainError


def unpickle(content: bytes, name: str) -> Any:
    """Numpy arrays and plain containers, as Python 2 or 3 has pickled them; strings of Python 2 become bytes.

    Raises BalltrainError naming the pickle `name`, and the class or function where it wants another one.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except BalltrainError as error:
        raise BalltrainError(f"{name} {error}") from error
    except Exception as error:  # a damaged pickle fails in any way
        raise BalltrainError(
            f"{name} is no pickle of arrays, or is damaged: {type(error).__name__}: {error}"
        ) from error


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, by which Python 3 writes bytes in the protocols of Python 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes as {encoding!r}")
    return text.encode("latin1")


def _numpy(module: str, function: str) -> Callable[..., Any]:
    """A function of numpy that lies in `numpy.core` before numpy 2, and in `numpy._core` since."""
    core = getattr(np, "_core", None) or np.core
    found: Callable[..., Any] = getattr(getattr(core, module), function)
    return found


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    **{
        (f"numpy.{core}.multiarray", "_reconstruct"): _numpy("multiarray", "_reconstruct")
        for core in ("core", "_core")
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _numpy("numeric", "_frombuffer") for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise BalltrainError(f"is refused: it holds {module}.{name}, where only arrays and containers are read")
        return _ALLOWED[module, name]
