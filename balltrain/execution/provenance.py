"""Where a sweep was run, and with what."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from typing import Any


def provenance() -> dict[str, Any]:
    """Versions, commit and machine, for who has to reproduce the sweep."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": sys.version.split()[0]}
    for package in ("balltrain", "torch", "ray", "hyperopt", "numpy", "pandas", "pyarrow", "wandb"):
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"], capture_output=True, text=True, check=False
    )
    commit = git.stdout.strip() or None
    return {"versions": versions, "git_commit": commit, "host": socket.gethostname(), "created_at": utc_now()}


def utc_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
