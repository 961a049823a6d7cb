"""URLs of webhooks, which are passwords, in what was typed: not shown, and not in the list of processes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from balltrain.tracking.hooks import hidden

OPTION = "--notify"


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """What was typed, with of each webhook no more than its host."""
    found = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        if option == OPTION and equals:
            found.append(f"{OPTION}={hidden(value)}")
        else:
            found.append(hidden(argument) if before == OPTION else argument)
    return found


def hide_secrets(arguments: Sequence[str]) -> None:
    """Take them out of this process's own arguments: `ps` shows these to everybody, Ray and W&B may keep them."""
    pairs = zip(arguments, without_secrets(arguments), strict=True)
    changed = {typed: shown for typed, shown in pairs if typed != shown}
    if not changed:
        return
    for listed in (sys.argv, sys.orig_argv):
        listed[:] = [changed.get(argument, argument) for argument in listed]
    with contextlib.suppress(OSError, ValueError, IndexError):
        _overwrite(changed)


def _overwrite(changed: dict[str, str]) -> None:
    """Where Linux keeps the arguments of a process: in its own memory, which it may write."""
    import ctypes

    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(stat[45]), int(stat[46])  # arg_start and arg_end, see proc(5): fields 48 and 49
    if not 0 < start < end:
        return
    content = ctypes.string_at(start, end - start)
    for typed, shown in changed.items():
        old = typed.encode()
        new = shown.encode()[: len(old)].ljust(len(old))
        content = content.replace(b"\0" + old + b"\0", b"\0" + new + b"\0")
    ctypes.memmove(start, content, len(content))
