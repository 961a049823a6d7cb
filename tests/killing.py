"""Kills as a machine dies: no process has a last word."""

import os
import signal


def kill_session(process):
    """A process that has a session of its own, and all that are in it: Ray's leave its group, and not its session."""
    session = os.getsid(process.pid)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getsid(int(name)) == session:
                    os.kill(int(name), signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
    process.wait()
