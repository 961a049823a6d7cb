"""The folder of a command, as it travels to the nodes of a cluster that do not share it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from balltrain.errors import BalltrainError

MAX_BYTES = 20 << 20  # packed
# without git, what is no code; folders whose names begin with a dot aside
NEVER = ("__pycache__", "node_modules", "venv", "env", "runs", "wandb", "lightning_logs", "mlruns")


@dataclass(frozen=True)
class PackedFolder:
    """A folder's files: what git does not ignore, or all but environments, caches and runs."""

    folder: str  # where it lies on the sweep's machine
    digest: str
    content: bytes = field(repr=False)  # a zip file
    leave_out: Path | None = None

    @classmethod
    def of(cls, folder: Path, leave_out: Path | None = None) -> PackedFolder:
        """`leave_out` is a folder below, such as that of the results. Raises BalltrainError where it is too large."""
        files = _files(folder.resolve(), leave_out)
        content, digest = io.BytesIO(), hashlib.sha256()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                name = path.relative_to(folder.resolve()).as_posix()
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # its time is no part of it
                entry.external_attr = path.stat().st_mode << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                data = path.read_bytes()
                digest.update(f"{name}\0{path.stat().st_mode & 0o111}\0{len(data)}\0".encode() + data)
                archive.writestr(entry, data)
                if content.tell() > MAX_BYTES:
                    raise BalltrainError(
                        f"the folder {folder} is too large to travel, over {MAX_BYTES >> 20} MB ({_largest(files)}): "
                        "move data elsewhere, name it in .gitignore, or have all nodes share the folder at this path"
                    )
        return cls(str(folder.resolve()), digest.hexdigest(), content.getvalue(), leave_out)

    def settled(self) -> Path:
        """The folder itself where this machine has the same, else a copy in the user's cache."""
        return _settled(self)


@cache
def _settled(packed: PackedFolder) -> Path:
    here = Path(packed.folder)
    if here.is_dir():
        try:
            if PackedFolder.of(here, packed.leave_out).digest == packed.digest:
                return here
        except (BalltrainError, OSError):  # another folder that has the same path
            pass
    copy = user_cache_path("balltrain") / "commands" / packed.digest[:16]
    if copy.is_dir():
        return copy
    new = copy.with_name(f".{copy.name}.{os.getpid()}")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        for entry in archive.infolist():
            archive.extract(entry, new)
            (new / entry.filename).chmod(entry.external_attr >> 16 & 0o777)
    try:
        new.rename(copy)
    except OSError:  # another trial of this machine was faster
        shutil.rmtree(new, ignore_errors=True)
    return copy


def _files(folder: Path, leave_out: Path | None) -> list[Path]:
    found = _known_to_git(folder)
    if found is None:
        found = []
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name not in NEVER and not name.startswith(".")]
            found += [Path(place) / name for name in names]
    left_out = None if leave_out is None or folder.is_relative_to(leave_out.resolve()) else leave_out.resolve()
    return sorted(
        path for path in found if path.is_file() and not (left_out is not None and path.is_relative_to(left_out))
    )


def _known_to_git(folder: Path) -> list[Path] | None:
    """What git has of the folder, new files too, without those that it ignores; None where it is in no repository."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    names = [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name]
    return [folder / name for name in names] if ran.returncode == 0 and names else None


def _largest(files: list[Path]) -> str:
    sizes = sorted(((path.stat().st_size, path.name) for path in files), reverse=True)[:3]
    return ", ".join(f"{name} {size >> 20} MB" for size, name in sizes)
