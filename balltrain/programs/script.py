"""What a script that a sweep runs as a command can call: `balltrain.report`. Imports nothing heavy."""

from __future__ import annotations

import json
import os
from typing import Any

from balltrain.errors import UsageError

REPORT_FILE = "BALLTRAIN_REPORT_FILE"  # environment variable that names the file of reports
RANK = "RANK"  # of torchrun and its like; a sweep starts commands without it


def report(**figures: Any) -> None:
    """Report figures from a script that `balltrain sweep --command` runs; one call an epoch.

    Outside a sweep it does nothing, so that the script runs as before. Of several workers the first one's count.

    Args:
        **figures: Numbers by name, of any library; one of them is the sweep's objective. With `epoch`, calls for the
            same epoch are put together.

    Raises:
        UsageError: A figure is no number.

    Example:
        >>> for epoch in range(3):
        ...     balltrain.report(epoch=epoch, val_acc=0.9)
    """
    file = os.environ.get(REPORT_FILE)
    if not file or os.environ.get(RANK, "0") != "0":
        return
    line = json.dumps({name: _number(name, value) for name, value in figures.items()}) + "\n"
    # one write of one line: processes of the script that report at once do not mix
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, str | bytes | bool):
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            pass
    elif isinstance(value, bool):
        return float(value)
    raise UsageError(f"balltrain.report: {name} is {str(value)[:60]!r}, but figures are numbers: report a number")
