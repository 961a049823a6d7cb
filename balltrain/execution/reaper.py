"""Ends what a killed sweep leaves of its own Ray: agents would look for the GCS for a minute, and trials for a while.

A small process of its own holds the end of a pipe. When the sweep's process is gone without having said that it has
ended Ray in order, whatever carries the sweep's mark in its environment is killed. Linux alone has what it needs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "BALLTRAIN_RAY"  # environment variable that all processes of a sweep's own Ray inherit
IN_ORDER, AT_ONCE = b"ended", b"at once"
GRACE_S = 2.0  # that Ray's processes have to end by themselves

# runs in an interpreter without site-packages, which starts in 20 ms
_REAPER = f"""
import os, signal, sys, time
said = sys.stdin.buffer.read()
if said == {IN_ORDER!r}:
    sys.exit()
if said != {AT_ONCE!r}:
    time.sleep({GRACE_S})
for _ in range(5):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{{name}}/environ", "rb") as file:
                if f"{MARK}={{sys.argv[1]}}".encode() in file.read().split(b"\\0") and int(name) != os.getpid():
                    found.append(int(name))
        except OSError:
            pass
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    time.sleep(0.2)
"""


@dataclass
class Reaping:
    """`in_order` is set to False where what was started may go on, although this process was not killed."""

    in_order: bool = True


@contextlib.contextmanager
def reaped() -> Iterator[Reaping]:
    """In the block, processes that this one starts are marked, and are ended when this one is killed."""
    reaping = Reaping()
    if not Path("/proc/self/environ").exists():
        yield reaping
        return
    before, mark = os.environ.get(MARK), uuid.uuid4().hex
    reaper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _REAPER, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what is sent to the sweep's group is not meant for it
    )
    os.environ[MARK] = mark
    try:
        yield reaping
    finally:
        os.environ.pop(MARK)
        if before is not None:
            os.environ[MARK] = before
        with contextlib.suppress(OSError):
            reaper.communicate(IN_ORDER if reaping.in_order else AT_ONCE, timeout=5)
