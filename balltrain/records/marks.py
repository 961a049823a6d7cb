"""What people say of trials: stars and notes, in `marks.json` beside the journal. No driver of a sweep touches it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from balltrain import durable
from balltrain.errors import UsageError
from balltrain.storage import MARKS_FILE, Storage

MAX_NOTE = 2000  # characters
_writing = threading.Lock()


@dataclass(frozen=True)
class Mark:
    """Of one trial."""

    star: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.star, bool) or not isinstance(self.note, str):
            raise UsageError(
                f"a mark is a star, true or false, and a note in words, not {self.star!r}, {self.note!r}"
            )
        if len(self.note) > MAX_NOTE:
            raise UsageError(f"the note has {len(self.note)} characters, but must have at most {MAX_NOTE}")


def read_marks(folder: Path) -> dict[str, Mark]:
    """By trial_id, in their order; empty where there are none, or the file is not what was written."""
    try:
        return _parsed((folder / MARKS_FILE).read_bytes())
    except OSError:
        return {}


def set_mark(place: Storage, name: str, trial_id: str, mark: Mark) -> dict[str, Mark]:
    """Write one trial's mark; an empty one removes it. All marks, then.

    Raises UsageError for a note that is too long, StorageError where it cannot be written.
    """
    with _writing:
        marks = {**_parsed(place.read_file(name, MARKS_FILE) or b""), trial_id: mark}
        marks = {key: marks[key] for key in sorted(marks) if marks[key] != Mark()}
        content = json.dumps({"trials": {key: asdict(each) for key, each in marks.items()}}, indent=1).encode()
        place.write_file(name, MARKS_FILE, content)
        if place.remote is not None:
            durable.replace(place.root / name / MARKS_FILE, content)
    return marks


def _parsed(content: bytes) -> dict[str, Mark]:
    try:
        trials: Mapping[str, Any] = json.loads(content)["trials"]
        return {key: Mark(**each) for key, each in trials.items()}
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        return {}
