"""What ends a run early: Ctrl-C, and the signals by which a machine or a terminal ends it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

GRACE_S = 4.0  # for the epochs that run, after SIGTERM: batch systems kill 30 s later, some 10 s
HURRY_S = 2.0  # for a server, after SIGTERM or a second Ctrl-C
CTRL_C = signal.SIGINT
ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """What has been asked for so far; `interruptible` makes one, which hears the signals.

    A block that looks at `asked`, `at_once` and `overdue` from time to time is put into `heard()`. Elsewhere a
    signal raises KeyboardInterrupt.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None):
        self.asked = False  # to end after the epochs that run
        self.at_once = False  # by a second Ctrl-C
        self._deadline = math.inf
        self._on_first = on_first
        self._raises = True  # while nothing looks at what was asked
        self._raises_when_overdue = False
        self._can_be_resumed = False
        self._block_ends = threading.Lock()
        self._listens_to: set[int] = set()

    @property
    def overdue(self) -> bool:
        """Whether epochs are to be waited for no longer: SIGTERM and SIGHUP leave them a moment."""
        return time.monotonic() > self._deadline

    def patience(self, usual_s: float) -> float:
        """How long a server is waited for."""
        return min(usual_s, HURRY_S) if self.at_once or self._deadline < math.inf else usual_s

    @contextlib.contextmanager
    def heard(self, *, raises_when_overdue: bool = False) -> Iterator[None]:
        """A block that looks at what was asked; or that, at a second Ctrl-C or when overdue, is interrupted."""
        self._raises, self._raises_when_overdue, self._can_be_resumed = False, raises_when_overdue, True
        try:
            yield
        finally:
            with self._block_ends:
                self._raises, self._raises_when_overdue, self._can_be_resumed = True, False, False

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that would leave processes behind if it were interrupted: KeyboardInterrupt comes at its end."""
        before = self.asked, self.at_once
        raises, self._raises = self._raises, False
        try:
            yield
        finally:
            self._raises = raises
            for number in self._listens_to:  # Ray's C++ puts a handler before them, which prints stacks
                signal.signal(number, self.hear)
        if raises and (self.asked, self.at_once) != before:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raises KeyboardInterrupt where one was raised before, which Python ignores in some places."""
        if self.asked:
            raise KeyboardInterrupt

    def hear(self, signum: int = CTRL_C, frame: FrameType | None = None) -> None:
        """The handler of the signals."""
        first, self.asked = not self.asked, True
        if signum == CTRL_C:
            self.at_once = not first
        else:
            # Ray's own handler, which calls this one, has set an alarm that aborts the process after 3 s
            signal.alarm(0)
            _leave_dead_terminals()
            # a second one, which some systems send, is no second Ctrl-C
            self._deadline = min(self._deadline, time.monotonic() + (GRACE_S if first else 0.0))
        if self._raises and (first or signum == CTRL_C):
            raise KeyboardInterrupt
        if self._raises_when_overdue:
            if self.at_once or self.overdue:
                raise KeyboardInterrupt
            if first and signum != CTRL_C:
                self._hear_again_when_overdue(signum)
        if first and self._can_be_resumed:
            self.say()

    def ask(self, *, at_once: bool = False) -> None:
        """As Ctrl-C, or a second one, but from another thread. A block that cannot look is interrupted."""
        self.asked, self.at_once = True, self.at_once or at_once
        self.say()
        with self._block_ends:
            if at_once and self._raises_when_overdue and self._listens_to:
                os.kill(os.getpid(), CTRL_C)

    def say(self) -> None:
        """Tell the user how to go on; once."""
        on_first, self._on_first = self._on_first, lambda: None
        with contextlib.suppress(OSError):  # a terminal that has closed
            on_first()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """The handlers that were there before are put back at the end."""
        ignored = {number for number in ENDINGS if signal.getsignal(number) is signal.SIG_IGN}  # nohup: SIGHUP
        _remember_terminals()
        before = {number: signal.signal(number, self.hear) for number in {CTRL_C, *ENDINGS} - ignored}
        self._listens_to = set(before)
        try:
            yield
        finally:
            self._listens_to = set()
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _hear_again_when_overdue(self, signum: int) -> None:
        def again() -> None:
            with self._block_ends:  # after it, the signal would end the process
                if self._raises_when_overdue:
                    os.kill(os.getpid(), signum)

        timer = threading.Timer(GRACE_S + 0.1, again)
        timer.daemon = True
        timer.start()


@contextlib.contextmanager
def interruptible(on_first: Callable[[], None]) -> Iterator[Interrupts]:
    """Hear signals until the block ends. In a thread that is not the main one none come, as Python has it.

    `on_first` tells the user how to go on, once something that can be resumed is asked to end.
    """
    interrupts = Interrupts(on_first)
    main = threading.current_thread() is threading.main_thread()
    with interrupts.listening() if main else contextlib.nullcontext():
        yield interrupts


_terminals: set[int] = set()  # of standard output and error, those that were terminals


def _remember_terminals() -> None:
    _terminals.update(number for number in (1, 2) if os.isatty(number))


def _leave_dead_terminals() -> None:
    """What is written to a terminal that has closed raises; what comes now is written to nowhere instead."""
    for number in _terminals:
        if not os.isatty(number):
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
