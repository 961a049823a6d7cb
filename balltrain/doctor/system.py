"""Python and its libraries, and what the system allows: files, folders, the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from balltrain.doctor.check import FAIL, GIB, OK, WARN, Check, in_gib
from balltrain.execution import machine

PYTHON_FROM, PYTHON_BEFORE = (3, 11), (3, 14)  # as in pyproject.toml
DISK_WARN_BYTES, DISK_FAIL_BYTES = 5 * GIB, GIB // 2


def check_python() -> Check:
    detail = f"{sys.version.split()[0]}, {sys.executable}"
    if PYTHON_FROM <= sys.version_info[:2] < PYTHON_BEFORE:
        return Check("Python", OK, detail)
    return Check("Python", FAIL, detail, "use Python 3.11, 3.12 or 3.13")


def check_torch() -> Check:
    try:
        import torch
    except Exception as error:  # a broken build raises OSError, ImportError or RuntimeError
        reason = " ".join(str(error).split())[:200]
        return Check("torch", FAIL, f"does not import: {reason}", "install it again: pip install 'torch>=2.10'")
    built_for = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs"
    return Check("torch", OK, f"{torch.__version__}, {built_for}, {torch.get_num_threads()} threads")


def check_open_files() -> Check:
    """How many files a process may have open: Ray's have dozens, and one for each connection."""
    limits = machine.open_files()
    if limits is None:
        return Check("open files", OK, "no limit is known on this system")
    soft, hard = limits
    detail = f"{soft} a process" if soft < sys.maxsize else "no limit"
    if hard > soft:
        detail += ", raised by a sweep where it needs more"
    if hard < machine.ENOUGH_FILES:
        status = FAIL if hard < machine.FEWEST_FILES else WARN
        return Check("open files", status, detail, f"`ulimit -n {machine.ENOUGH_FILES}` before a large sweep")
    return Check("open files", OK, detail)


def check_temporary() -> Check:
    """Whether sockets of Ray have room in the names of its temporary folder."""
    name, (folder, variable) = "temporary files", machine.ray_folder()
    detail = f"{folder}" + (f" ({variable})" if variable else "")
    if (wrong := machine.wrong_with(folder)) is None:
        return Check(name, OK, detail)
    if variable == "TMPDIR" and machine.wrong_with(machine.SHORT_FOLDER) is None:
        return Check(name, OK, f"{detail} {wrong}; a sweep takes {machine.SHORT_FOLDER} in its place")
    return Check(name, FAIL, f"{detail} {wrong}", "set RAY_TMPDIR to a short folder that can be written")


def check_home(home: Path) -> Check:
    """Whether Ray's token and decoded data can be kept there."""
    if machine.cannot_write(home) is None:
        return Check("home", OK, str(home))
    detail = f"{home} cannot be written: a sweep makes a token for itself alone"
    if "XDG_CACHE_HOME" in os.environ:
        return Check("home", OK, f"{detail}; data is kept in XDG_CACHE_HOME")
    return Check("home", WARN, detail, "give --data-dir, or set XDG_CACHE_HOME to a folder for decoded data")


def check_output() -> Check:
    """Whether standard output has the letters that tables use."""
    encoding = getattr(sys.stdout, "encoding", None)
    if encoding is None:
        return Check("output", OK, "is closed")
    try:
        "·─±é→".encode(encoding)
    except UnicodeEncodeError:
        return Check("output", WARN, f"{encoding}: what it lacks is shown as ?", "set PYTHONIOENCODING=utf-8")
    return Check("output", OK, encoding)


def check_folder(name: str, folder: Path) -> Check:
    """Whether a file can be written there, and how much room there is."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    where = str(folder) if there == folder.absolute() else f"{folder} (to be made in {there})"
    option = "--storage" if name == "storage" else "--data-dir"
    if not there.is_dir():
        return Check(name, FAIL, f"{where}: {there} is a file", f"choose another folder by {option}")
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".balltrain-doctor-") as file:
            file.write(b"balltrain doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        advice = f"make it writable, or choose another folder by {option}"
        return Check(name, FAIL, f"{where} cannot be written: {error.strerror or error}", advice)
    free = shutil.disk_usage(there).free
    detail = f"{where}: {in_gib(free)} free"
    if free < DISK_WARN_BYTES:
        status = FAIL if free < DISK_FAIL_BYTES else WARN
        return Check(name, status, detail, f"make room, or choose another folder by {option}")
    return Check(name, OK, detail)
