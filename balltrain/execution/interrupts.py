"""Ctrl-C: the first ends a sweep after its epochs, the second at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from balltrain.errors import EXIT_INTERRUPTED
from balltrain.search.controller import Controller


@contextlib.contextmanager
def interruptible(controller: Controller, on_interrupt: Callable[[], None]) -> Iterator[None]:
    """First Ctrl-C: trials end after their epoch. Second: now. Nothing is lost either way."""

    def handle(signum: int, frame: Any) -> None:
        if controller.interrupted:
            _end_now()
        controller.interrupted = True
        on_interrupt()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_now() -> None:
    """The journal is on disk. Ray's own processes would outlive their driver, some of them for minutes."""
    worker = sys.modules.get("ray._private.worker")
    if worker is not None and worker._global_node is not None:
        worker._global_node.kill_all_processes(check_alive=False, allow_graceful=True)
    os._exit(EXIT_INTERRUPTED)
