"""`balltrain logs`: what trials have printed, also while they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from balltrain.errors import UsageError
from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.output import FOLDER, output_file
from balltrain.records.results import Results
from balltrain.reporting.watch import ENDED_AT
from balltrain.storage import Storage

POLL_S, POLL_REMOTE_S = 0.5, 5.0
TRIALS_EVERY_S = 2.0  # that it is looked whether they have ended
NUM_LINES = 10  # of each trial, where all are shown


def trial_named(results: Results, folder: Path, text: str) -> str:
    """The id of the trial that is meant by its number or its id. Raises UsageError where there is none."""
    trials = results.trials
    numbers = {
        str(trial_id): int(number) for trial_id, number in zip(trials[c.TRIAL_ID], trials[c.NUMBER], strict=True)
    }
    for trial_id in (text, f"{int(text):05d}") if text.isdecimal() else (text,):
        # a trial that has just begun is not in the tables yet
        if trial_id in numbers or output_file(folder, trial_id).exists():
            return trial_id
    there = f"it has {min(numbers.values())} to {max(numbers.values())}" if numbers else "it has none yet"
    raise UsageError(f"{results.name} has no trial {text!r}: {there}")


@dataclass
class _Reader:
    """The output of one file, each part once."""

    path: Path
    offset: int = 0
    rest: bytes = b""
    first: bytes = field(default=b"", repr=False)  # its first line, which changes where it was shortened

    def lines(self, *, ended: bool = False) -> list[str]:
        """Whole lines that have come; with `ended` also the last one."""
        try:
            with self.path.open("rb") as file:
                first = file.readline(200)
                if first != self.first:
                    self.offset = 0 if not self.first else max(0, self.path.stat().st_size - 4096)
                    self.first, self.rest = first, b""
                file.seek(self.offset)
                new = file.read()
        except OSError:  # nothing printed yet
            return []
        self.offset += len(new)
        *whole, self.rest = (self.rest + new).split(b"\n")
        if ended and self.rest:
            whole, self.rest = [*whole, self.rest], b""
        return [line.decode(errors="replace").rstrip("\r").rpartition("\r")[2] for line in whole]


class Outputs:
    """What the trials of a sweep have printed. Files in object storage are fetched."""

    def __init__(self, storage: Storage, results: Results, trial_id: str | None):
        self.storage, self.results, self.trial_id = storage, results, trial_id
        self.folder = storage.root / results.name
        self._readers: dict[Path, _Reader] = {}
        self.fetch()

    def fetch(self) -> None:
        remote = self.storage.remote
        if remote is None:
            return
        if self.trial_id is None:
            remote.pull(self.folder / FOLDER, f"{self.results.name}/{FOLDER}")
        else:
            path = output_file(self.folder, self.trial_id)
            remote.pull_file(path, f"{self.results.name}/{FOLDER}/{path.name}")

    def new(self, *, ended: bool = False) -> Iterator[tuple[str, list[str]]]:
        """Of each file with new lines: its name, a trial's id, and these lines."""
        names = f"{self.trial_id}.log" if self.trial_id else "*.log"
        more = [f"{self.trial_id}.rank*.log"] if self.trial_id else []
        for path in sorted(path for pattern in (names, *more) for path in (self.folder / FOLDER).glob(pattern)):
            reader = self._readers.setdefault(path, _Reader(path))
            if lines := reader.lines(ended=ended):
                yield path.stem, lines


def show(outputs: Outputs, print_line: Callable[[str], None], num_lines: int | None) -> None:
    """All that one trial has printed, or the last lines of each. Raises UsageError where nothing is recorded."""
    found = list(outputs.new(ended=True))
    if not found:
        whose = outputs.trial_id or outputs.results.name
        raise UsageError(f"no output of {whose} is recorded: its trials printed nothing, or ran in another version")
    last = NUM_LINES if outputs.trial_id is None and num_lines is None else num_lines
    for number, (name, lines) in enumerate(found):
        if len(found) > 1:
            print_line(f"{chr(10) * (number > 0)}== {name}{_status(outputs.results, name)}")
        for line in _last(lines, last):
            print_line(line)


def follow(
    outputs: Outputs, print_line: Callable[[str], None], num_lines: int | None, load: Callable[[], Results]
) -> None:
    """As `show`, and what comes later, until the trial, or the sweep, has ended."""
    for name, lines in outputs.new():
        for line in _last(lines, NUM_LINES if num_lines is None else num_lines):
            print_line(_named(outputs, name, line))
    looked = time.monotonic()
    ended = _ended(outputs)
    while True:
        for name, lines in outputs.new(ended=ended):
            for line in lines:
                print_line(_named(outputs, name, line))
        if ended:
            return
        time.sleep(POLL_S if outputs.storage.remote is None else POLL_REMOTE_S)
        outputs.fetch()
        if time.monotonic() - looked >= TRIALS_EVERY_S:
            outputs.results, looked = load(), time.monotonic()
            ended = _ended(outputs)


def _ended(outputs: Outputs) -> bool:
    results = outputs.results
    if ENDED_AT in results.sweep:
        return True
    if outputs.trial_id is None:
        return False
    status = results.trials.loc[results.trials[c.TRIAL_ID] == outputs.trial_id, c.STATUS]
    return len(status) > 0 and Status(status.iloc[0]).has_ended


def _last(lines: list[str], count: int | None) -> Iterable[str]:
    return lines if count is None else lines[max(0, len(lines) - count) :]


def _named(outputs: Outputs, name: str, line: str) -> str:
    return line if outputs.trial_id is not None else f"{name} | {line}"


def _status(results: Results, name: str) -> str:
    trials = results.trials
    status = trials.loc[trials[c.TRIAL_ID] == name.partition(".")[0], c.STATUS]
    return f", {status.iloc[0]}" if len(status) else ""
