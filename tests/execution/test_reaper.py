"""What a killed process has started in the block is ended; what ended in order is left alone."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

STARTS = """
import os, subprocess, sys, time
from balltrain.execution.reaper import reaped
with reaped() as reaping:
    # a session of its own, as Ray's workers have
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    print(child.pid, flush=True)
    {then}
"""


def start(then):
    code = textwrap.dedent(STARTS.format(then=then))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    return process, int(process.stdout.readline())


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs Linux")
@pytest.mark.parametrize("group", [True, False])
def test_of_a_killed_process_nothing_is_left(group):
    process, child = start("time.sleep(60)")
    os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
    process.wait()
    deadline = time.monotonic() + 8
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs(child)


def test_what_ends_in_order_is_left_alone():
    process, child = start("pass")
    assert process.wait(timeout=20) == 0
    time.sleep(0.5)
    assert runs(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs Linux")
def test_what_is_left_of_a_ray_that_died_is_ended_at_once():
    process, child = start("reaping.in_order = False")
    assert process.wait(timeout=20) == 0
    assert not runs(child)
