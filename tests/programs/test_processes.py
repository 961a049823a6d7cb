"""What is left of a command: nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from balltrain.programs.processes import TRIAL_DIR, Killed, Running, kill_marked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def environment(folder, **more):
    return {**os.environ, TRIAL_DIR: str(folder), **more}


def ran(command, folder, **more):
    """Exit code and output of a command that ends by itself."""
    output = b""
    with Running(command, folder, environment(folder, **more)) as running:
        while running.exit_code is None:
            output += running.read(5)
    return running.exit_code, output.decode()


def alive(folder):
    """Processes that have the folder in their environment."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if f"{TRIAL_DIR}={folder}\0".encode() in file.read():
                    found.append(int(name))
        except OSError:
            pass
    return found


def wait_for(path, seconds=10):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def gone(folder, seconds=10):
    deadline = time.monotonic() + seconds
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(folder)


def test_output_and_errors_come_in_their_order_with_the_exit_code(tmp_path):
    assert ran("echo out; echo err >&2; pwd; exit 3", tmp_path) == (3, f"out\nerr\n{tmp_path}\n")


def test_a_signals_end_is_told_as_a_shell_does(tmp_path):
    assert ran("kill -SEGV $$", tmp_path)[0] == 128 + signal.SIGSEGV


def test_a_command_is_asked_to_end_before_it_is_killed(tmp_path):
    command = "trap 'echo saved > saved; exit 0' TERM; touch began; while :; do sleep 0.01; done"
    with Running(command, tmp_path, environment(tmp_path)):
        wait_for(tmp_path / "began")
    assert (tmp_path / "saved").read_text() == "saved\n"
    assert not alive(tmp_path)


def test_what_does_not_listen_is_killed_with_all_its_processes_also_in_other_sessions(tmp_path):
    command = "trap '' TERM; setsid sh -c \"trap '' TERM; touch began; while :; do sleep 1; done\" & wait; sleep 60"
    with Running(command, tmp_path, environment(tmp_path), kill_after_s=0.2):
        wait_for(tmp_path / "began")
        assert len(alive(tmp_path)) >= 3
    assert not alive(tmp_path)


def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path):
    code, _ = ran("setsid sleep 60 & sleep 60 & exit 0", tmp_path)
    assert code == 0
    assert not alive(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_who_runs_it_dies(tmp_path, how):
    code = (
        "import os, pathlib, sys, time; from balltrain.programs.processes import Running; "
        "folder = pathlib.Path(sys.argv[1]); "
        "running = Running('sh -c \"touch began; sleep 60\" & setsid sleep 60 & wait', folder, "
        f"{{**os.environ, '{TRIAL_DIR}': str(folder)}}); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    wait_for(tmp_path / "began")
    parent.send_signal(how)
    parent.wait()
    assert gone(tmp_path)


def test_nothing_is_left_when_its_supervisor_is_killed(tmp_path):
    with Running("setsid sleep 60 & touch began; wait", tmp_path, environment(tmp_path)) as running:
        wait_for(tmp_path / "began")
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive(tmp_path)}
        (supervisor,) = [pid for pid, line in lines.items() if b"supervisor.py" in line]
        os.kill(supervisor, signal.SIGKILL)
        with pytest.raises(Killed):
            running.read(5)
        assert not alive(tmp_path)


def test_what_an_earlier_attempt_has_left_is_killed_by_its_folder(tmp_path):
    left = subprocess.Popen(["sleep", "60"], env=environment(tmp_path))
    other = subprocess.Popen(["sleep", "60"], env=environment(tmp_path / "other"))
    try:
        time.sleep(0.05)
        kill_marked(str(tmp_path))
        assert left.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_much_output_is_all_read(tmp_path):
    code, output = ran("yes 0123456789 | head -c 1000000", tmp_path)
    assert (code, len(output)) == (0, 1_000_000)
