"""What a sweep has promised: lines of its journal, and decisions that trials were told."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from simulated.oracle import Reader, Wrong

from balltrain.records.journal import FILE
from balltrain.records.state import SweepState
from balltrain.search.plan import Plan


class Promises:
    """`lines` are those that somebody relies on. Only what is new of the journal is read at each look."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lines: list[dict[str, Any]] = []
        self.closed_at: dict[int, float] = {}  # sessions that were told to end, to lines there were then
        self.told: dict[int, int] = {}  # trials that were told to go on, after which epoch
        self.reader, self.replayed = Reader(plan, self.closed_at), SweepState()
        self._content, self._num_read = b"", 0

    @property
    def session(self) -> int:
        return sum(line["type"] in ("sweep", "resume") for line in self.lines)

    def close(self, *, in_doubt: bool) -> None:
        """The sweep is told to end; `in_doubt` is a line that was being written, and may be there."""
        self.closed_at.setdefault(self.session, len(self.lines) + 0.5 * in_doubt)

    def take_up(self, folder: Path) -> None:
        """What a journal has that is gone on with, one line perhaps which had been promised to nobody."""
        rest = journal_in(folder)[len(self._content) :].splitlines(keepends=True)
        self.lines[self._num_read :] = [line_of(raw) for raw in rest]
        self.check(folder)

    def forget_from(self, content: bytes) -> None:
        """Go on from an earlier journal: the rest is lost with a machine."""
        self.lines = [line_of(raw) for raw in content.splitlines(keepends=True) if raw.endswith(b"\n")]
        for session in [session for session, count in self.closed_at.items() if count > len(self.lines)]:
            del self.closed_at[session]
        self.told.clear()
        self.reader, self.replayed = Reader(self.plan, self.closed_at), SweepState()
        self._content, self._num_read = content, len(self.lines)
        self._read(self.lines)

    def check(self, folder: Path, state: SweepState | None = None) -> None:
        """The journal, and the state of the driver that has just ended; what was read before has to be as it was."""
        content = journal_in(folder)
        if not content.startswith(self._content):
            raise Wrong("lines that were promised are not there, or others")
        raws = content[len(self._content) :].splitlines(keepends=True)
        told = self.lines[self._num_read :]
        lines = [line_of(raw) for raw in raws[: len(told)]]
        if lines != told:
            raise Wrong(f"of {len(told)} lines that were promised, {len(raws)} are there, or they are others")
        if sum(raw.endswith(b"\n") for raw in raws) > len(told) + 1:
            raise Wrong("more lines are there than can be without having been promised")
        self._read(lines)
        self._content += b"".join(raws[: len(told)])
        self._num_read += len(told)
        for number, epoch in self.told.items():
            if number not in self.replayed.trials or self.replayed.trials[number].epochs < epoch:
                raise Wrong(f"trial {number} was told to go on after epoch {epoch}, whose row is not there")
        if state is not None:
            _check_same(state, self.replayed)
            self.reader.check(self.replayed)

    def _read(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            self.reader.read(line)
            self.replayed.apply(line)

    def outcome(self) -> list[Any]:
        """What a sweep comes to: its proposals, their rows and decisions, whatever stood between two of them."""
        found: dict[int, list[Any]] = {}
        for line in self.lines:
            if line["type"] == "trial":
                found[line["number"]] = [{**line, "time": None}, []]
            elif line["type"] == "report":
                row = line["row"]
                was_between = row["decision"] in ("interrupt", "pause")
                decision = "continue" if was_between else row["decision"]
                found[line["number"]][1].append({**row, "decision": decision})
            elif line["type"] == "continue":
                found[line["number"]].append("continue")
        return [*found.items(), [(t.number, t.status) for t in self.replayed.trials.values()]]


def journal_in(folder: Path) -> bytes:
    return (folder / FILE).read_bytes() if (folder / FILE).exists() else b""


def line_of(raw: bytes) -> dict[str, Any]:
    """As it was appended. Raises Wrong where it is not that."""
    body, mark, sum_ = raw.rpartition(b',"crc":"')
    if not mark or sum_ != b'%08x"}\n' % zlib.crc32(body):
        raise Wrong(f"a line is damaged: {raw[:60]!r}")
    line: dict[str, Any] = from_json(body + b"}")
    return line


def _check_same(state: SweepState, replayed: SweepState) -> None:
    """What a sweep knows while it runs is what its journal says."""
    for name in ("trials", "limit", "learned", "sweep"):
        if getattr(state, name) != getattr(replayed, name):
            raise Wrong(f"{name} of the state are not those of the journal")
    for name in ("searched", "ended_in_order"):
        if [t.number for t in getattr(state, name)] != [t.number for t in getattr(replayed, name)]:
            raise Wrong(f"{name} of the state is not that of the journal")
    if not math.isclose(state.usage.at(2e9).cpu, replayed.usage.at(2e9).cpu):
        raise Wrong("what the sweep has used is not what the journal says")
