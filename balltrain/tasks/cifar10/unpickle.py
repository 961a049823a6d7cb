"""Reading a batch of CIFAR-10, which is a pickle, without running what a pickle may hold."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from balltrain.errors import BalltrainError


def unpickle(content: bytes, name: str) -> Any:
    """Numpy arrays, whole numbers and plain containers, as Python 2 or 3 has pickled them.

    Strings of Python 2 become bytes, and numpy's own numbers those of Python.

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


def _scalar(dtype: np.dtype, content: Any = None) -> int:
    """`numpy.core.multiarray.scalar`, by which numpy writes a number of its own, for whole numbers alone."""
    if dtype.kind not in "iu":
        raise BalltrainError(f"is refused: it holds numpy.core.multiarray.scalar of {dtype}, {_READ}")
    return int(np.frombuffer(content, dtype, 1)[0])


_READ = "where only arrays, whole numbers and containers are read"
# the functions by which arrays are pickled, in the protocols up to 4 and from 5 on: they lie in `numpy.core` before
# numpy 2, and in `numpy._core` since
_RECONSTRUCT, _FROMBUFFER = (np.zeros(1).__reduce_ex__(protocol)[0] for protocol in (2, 5))
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROMBUFFER,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): bytes,  # the empty ones, in the protocols of Python 2
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise BalltrainError(f"is refused: it holds {module}.{name}, {_READ}")
        return _ALLOWED[module, name]
