"""The text of a Python file, as Python itself reads it."""

from __future__ import annotations

import tokenize
from pathlib import Path

from balltrain.errors import UsageError


def read_source(path: Path) -> str:
    """The text of a Python file, decoded as Python does. Raises UsageError where there is none."""
    try:
        with tokenize.open(path) as file:  # of a byte order mark, or an encoding that the file names
            return file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError):
        raise UsageError(
            f"cannot read {path}: not a text file in UTF-8, or in the encoding that it names: save it as UTF-8"
        ) from None
