"""`balltrain doctor`: what this machine has, what is wrong with it, and what to do. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from balltrain.doctor.check import FAIL, Check
from balltrain.doctor.check import print_checks as print_checks
from balltrain.doctor.hardware import SHARED_MEMORY, check_cpus, check_cuda, check_memory, check_shared_memory
from balltrain.doctor.services import check_cluster, check_page, check_ray, check_token, check_wandb
from balltrain.doctor.system import (
    check_folder,
    check_home,
    check_open_files,
    check_output,
    check_python,
    check_temporary,
    check_torch,
)


def examine(storage: Path, data_dir: Path) -> list[Check]:
    """All checks, in the order in which they are shown. A check that breaks is a failed one."""
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("Python", check_python),
        ("torch", check_torch),
        ("CUDA", check_cuda),
        ("CPUs", check_cpus),
        ("memory", check_memory),
        ("shared memory", lambda: check_shared_memory(SHARED_MEMORY)),
        ("open files", check_open_files),
        ("temporary files", check_temporary),
        ("home", lambda: check_home(Path(os.path.expanduser("~")))),
        ("output", check_output),
        ("Ray", check_ray),
        ("Ray cluster", check_cluster),
        ("Ray token", check_token),
        ("live page", check_page),
        ("W&B", check_wandb),
        ("storage", lambda: check_folder("storage", storage)),
        ("data", lambda: check_folder("data", data_dir)),
    ]
    found: list[Check] = []
    for name, check in checks:
        try:
            found.append(check())
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            found.append(Check(name, FAIL, reason, "report this as a bug of balltrain"))
    return found
