"""What ends a run early, without Ray: which signal does what, and that handlers are put back."""

import contextlib
import io
import os
import signal
import threading
import time

import pytest

from balltrain.execution import interrupts as module
from balltrain.execution.interrupts import GRACE_S, HURRY_S, interruptible


@pytest.fixture
def said():
    return []


@pytest.fixture
def running(said):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests under nohup ignore it
    try:
        with interruptible(lambda: said.append("how to go on")) as interrupts:
            yield interrupts
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with interruptible(lambda: None):
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(lambda: None):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_before_anything_can_be_resumed_the_first_ctrl_c_raises(running, said):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert running.asked
    assert said == []


def test_where_it_is_heard_the_first_ctrl_c_asks_and_the_second_ends(running, said):
    with running.heard():
        signal.raise_signal(signal.SIGINT)
        assert (running.asked, running.at_once, running.overdue) == (True, False, False)
        signal.raise_signal(signal.SIGINT)
        assert running.at_once
    assert said == ["how to go on"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_leave_epochs_a_moment_and_are_no_second_ctrl_c(running, said, number, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with running.heard():
        signal.raise_signal(number)
        assert (running.asked, running.overdue) == (True, False)
        assert running.patience(600.0) == HURRY_S
        now += GRACE_S + 0.01
        assert running.overdue
        signal.raise_signal(number)  # some systems send it again
        assert not running.at_once
    signal.raise_signal(number)  # while the tables are written: they are
    assert said == ["how to go on"]


def test_what_cannot_look_is_interrupted_when_overdue(running, monkeypatch):
    """`balltrain train`: an epoch that takes longer than the system waits."""
    monkeypatch.setattr(module, "GRACE_S", 0.2)
    start = time.monotonic()

    def long_epoch():
        with running.heard(raises_when_overdue=True):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)

    with pytest.raises(KeyboardInterrupt):
        long_epoch()
    assert time.monotonic() - start < 10
    assert running.overdue
    assert not running.at_once


def test_what_must_not_be_cut_off_is_interrupted_at_its_end(running):
    done = []

    def start_processes():
        with running.deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("all of them")

    with pytest.raises(KeyboardInterrupt):
        start_processes()
    assert done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_python_ignored_is_asked_for_later(running):
    """An exception in a destructor, or a callback of a weak reference, is printed and forgotten."""
    running.check()

    class Destroyed:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    with contextlib.redirect_stderr(io.StringIO()):
        Destroyed()
    with pytest.raises(KeyboardInterrupt):
        running.check()


def test_another_thread_hears_nothing_and_changes_nothing():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def run():
        with interruptible(lambda: None) as interrupts, interrupts.deferred():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [before]
