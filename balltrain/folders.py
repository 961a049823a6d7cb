"""What lies below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below by its name there, hidden ones and those of linked folders too; folders are not.

    A link to a folder that it lies in is not entered: it would not end. Nor is what may not be listed.
    """
    return _below(folder, frozenset())


def _below(folder: Path, around: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        stat = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    here = (stat.st_dev, stat.st_ino)
    if here in around:
        return
    for entry in entries:
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link that leads to itself
            continue
        if is_folder:
            yield from _below(folder / entry.name, around | {here})
        elif is_file:
            yield folder / entry.name
