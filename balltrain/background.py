"""Work that goes on beside a block of code."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def every(
    seconds: float,
    action: Callable[[], None],
    *,
    ignoring: tuple[type[Exception], ...] = (),
    patience_s: float | None = None,
) -> Iterator[None]:
    """Call `action` in a thread, each `seconds`, until the block ends. What is ignored is tried again next time.

    The end of the block waits for an action that goes on; for `patience_s` at most, where it is given.
    """
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(seconds):
            with contextlib.suppress(*ignoring):
                action()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(patience_s)
