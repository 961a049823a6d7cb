"""What a Ray of one's own needs of its machine beside CPUs: short paths of sockets, open files, a token."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from balltrain.errors import BalltrainError

MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # bytes, of the system
IN_FOLDER = len("/ray/session_2026-01-31_12-00-00_123456_1234567/sockets/plasma_store")
MAX_FOLDER = MAX_SOCKET_PATH - IN_FOLDER
SHORT_FOLDER = Path("/tmp")
ENOUGH_FILES = 4096  # that a process may have open at once
FEWEST_FILES = 64  # with which Ray starts


def ray_folder() -> tuple[Path, str]:
    """Where Ray keeps its sockets and logs, and the variable that says so, if one does."""
    for variable in ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",):
        if variable in os.environ:
            return Path(os.environ[variable]), variable
    return SHORT_FOLDER, ""


def wrong_with(folder: Path) -> str | None:
    """Why no Ray can have its sockets there, in words; None where it can."""
    length = len(os.fsencode(folder.absolute()))
    if length > MAX_FOLDER:
        return f"is {length} bytes long, but the paths of Ray's sockets leave {MAX_FOLDER}"
    return cannot_write(folder)


def cannot_write(folder: Path) -> str | None:
    """Why no file can be made there, or in the folder that it would be made in, in words; None where one can."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"


def make_ray_folder() -> None:
    """Have Ray use /tmp where TMPDIR, which a batch system may set, will not do.

    Raises BalltrainError where that will not do either, or RAY_TMPDIR, which is meant for Ray.
    """
    folder, variable = ray_folder()
    wrong = wrong_with(folder)
    if wrong is None:
        return
    if variable != "TMPDIR" or wrong_with(SHORT_FOLDER) is not None:
        named = f"{variable}={folder}" if variable else str(folder)
        raise BalltrainError(f"{named} {wrong}: set RAY_TMPDIR to a short folder that can be written")
    # TMPDIR as well: processes of Ray's dashboard have sockets there
    os.environ["RAY_TMPDIR"] = os.environ["TMPDIR"] = str(SHORT_FOLDER)


def open_files() -> tuple[int, int] | None:
    """How many files this process may have open, and how many it may allow itself; None where the system has none."""
    try:
        import resource
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = sys.maxsize
    return (most if soft == resource.RLIM_INFINITY else soft), (most if hard == resource.RLIM_INFINITY else hard)


def allow_open_files() -> None:
    """Allow as many as Ray's processes need, which inherit it. Raises BalltrainError where the machine does not."""
    limits = open_files()
    if limits is None:
        return
    soft, hard = limits
    if soft < ENOUGH_FILES:
        import resource

        with contextlib.suppress(OSError, ValueError):
            own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # of which -1 is no limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, ENOUGH_FILES), own))
            soft = min(hard, ENOUGH_FILES)
    if soft < FEWEST_FILES:
        raise BalltrainError(
            f"a process may have {soft} files open here, but Ray needs {FEWEST_FILES}: `ulimit -n {ENOUGH_FILES}`, "
            "or train without it by balltrain train"
        )
