"""What a task's data is made of: files and code, told apart by names, sizes and times, without reading data."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balltrain.errors import UsageError
from balltrain.folders import files_below
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Task, options_of

FORMAT = 1

Stamp = tuple[str | int | None, ...]


@dataclass(frozen=True)
class Made:
    """Of what data is made, as hashes: `key` of all, `files` of names, sizes and times.

    `changed` differs where a file was changed and kept its size and time, and where its rights were changed.
    """

    key: str
    files: str
    changed: str


def made_of(ref: TaskRef, task: Task, request: DataRequest) -> Made:
    """The task and its code's version, the source's files and those that the task names, size, seed, options.

    Raises UsageError where the task's data has no such options.
    """
    options = options_of(task, request).model_dump(mode="json", exclude_defaults=True)
    of_source = [] if request.source is None else _stamped([Path(request.source).resolve()])
    of_named = _named_files(task, request, {stamp[0] for stamp, _ in of_source})
    source, named = ([stamp for stamp, _ in each] for each in (of_source, of_named))
    identity: dict[str, Any] = {
        "format": FORMAT,
        "task": task.name,
        "code": ref.code_id,
        "version": task.data_version,
        "source": source,
        "size": request.size,
        "seed": request.seed,
        # of a request without any, the keys of data that was built before there were options still hold
        **({"options": options} if options else {}),
        **({"files": named} if named else {}),
        **({"imports": imports} if (imports := _imports(ref)) else {}),
    }
    changed = [changed_at for _, changed_at in (*of_source, *of_named)]
    return Made(_hash(identity), _hash([*source, *named]), _hash(changed))


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _named_files(task: Task, request: DataRequest, known: set[str | int | None]) -> list[tuple[Stamp, int | None]]:
    """What the task says that its data depends on, beside files that are `known`."""
    named = task.source_files(request)
    if isinstance(named, str | bytes | os.PathLike) or not isinstance(named, Iterable):
        raise UsageError(f"source_files of {task.name} returns {named!r}, but must return a list of paths")
    paths = list(named)
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"source_files of {task.name} returns {path!r} among its paths: make it a path")
    return [each for each in _stamped([Path(path).absolute() for path in paths]) if each[0][0] not in known]


def _stamped(roots: Iterable[Path]) -> list[tuple[Stamp, int | None]]:
    """Name, size and time of each file, which tell in milliseconds whether a source has changed.

    And where it is behind a link: the link may lead elsewhere by now. What is not there may come to be. Beside each
    the time at which its content or name last changed, which no program can set.
    """
    paths: dict[Path, None] = {}
    for root in roots:
        paths.update(dict.fromkeys(sorted(files_below(root)) if root.is_dir() else [root]))
    real_folder = functools.cache(os.path.realpath)
    found: list[tuple[Stamp, int | None]] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found.append(((str(path), None), None))
            continue
        stamp: Stamp = (str(path), stat.st_size, stat.st_mtime_ns)
        real = os.path.realpath(path) if path.is_symlink() else os.path.join(real_folder(path.parent), path.name)
        found.append((stamp if real == str(path) else (*stamp, real), stat.st_ctime_ns))
    return found


def _imports(ref: TaskRef) -> list[tuple[str, str]]:
    """Name and hash of each file beside a user's task file that it imports."""
    return [(name, hashlib.sha256(text.encode()).hexdigest()) for name, text in ref.beside]
