"""Runs a shell command and leaves no process of it behind. A script of its own, which imports nothing of balltrain.

    python -I -S supervisor.py STATUS_FD KILL_AFTER_S COMMAND

Its standard input is a pipe that nobody writes to: when the other end is closed, as it is when whoever started this
dies, the command is ended: SIGTERM to all its processes, and SIGKILL to those left after so many seconds. As Linux's
"subreaper" it inherits processes whose parent has ended, also those in sessions of their own. The command's exit code
is written to the file descriptor STATUS_FD: 128 + N for one that signal N ended.

It is no child of whoever started it: Ray kills the children of a process that ends, which would leave theirs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LINUX = sys.platform == "linux"
LOOK_EVERY_S = 0.02  # for processes that end


def main(status_fd: int, kill_after_s: float, command: str) -> None:
    if os.fork():
        os._exit(0)
    libc = ctypes.CDLL(None)
    if LINUX:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def in_child() -> None:
        if LINUX:  # should this process itself be killed
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # whatever was ignored above
            signal.signal(number, signal.SIG_DFL)

    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the byte in `heard` says which
    child = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=in_child
    )
    os.closerange(1, 3)  # whoever reads the output waits for its end
    while child.poll() is None:
        ready, _, _ = select.select([0, heard], [], [], 5.0)
        if 0 in ready or (heard in ready and set(os.read(heard, 512)) - {signal.SIGCHLD}):
            break
    end_all(child, kill_after_s)
    code = child.returncode
    with contextlib.suppress(OSError):  # nobody is there to be told
        os.write(status_fd, str(128 - code if code < 0 else code).encode())
    os._exit(0)


def end_all(child: subprocess.Popen[bytes], kill_after_s: float) -> None:
    """End the command where it runs, and all that it has left."""
    deadline, number = time.monotonic() + kill_after_s, signal.SIGTERM
    told: set[int] = set()
    while there := still_there(child):
        if number == signal.SIGTERM and time.monotonic() >= deadline:
            number = signal.SIGKILL
        for pid in there - told if number == signal.SIGTERM else there:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # one that is stopped would not hear it
        told |= there
        time.sleep(LOOK_EVERY_S)


def still_there(child: subprocess.Popen[bytes]) -> set[int]:
    """Processes of the command that have not ended; the ends of those inherited are taken."""
    child.poll()
    if not LINUX:  # its group has what did not leave it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, 0)
            return {-child.pid}
        return set()
    parents, ended = {}, set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                parents[int(name)] = int(parent)
                if state == b"Z":
                    ended.add(int(name))
    found, level = set(), {os.getpid()}
    while level := {pid for pid, parent in parents.items() if parent in level}:
        found |= level
    for pid in ended & found:
        if pid != child.pid:
            with contextlib.suppress(ChildProcessError):  # another's, which ends before long
                os.waitpid(pid, os.WNOHANG)
    return found - ended


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
