import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from balltrain import durable
from balltrain.errors import BalltrainError, StorageError
from balltrain.records.columns import Decision, Status
from balltrain.records.journal import FILE, VERSION, Journal, Kind, encoded, first_line, read_journal, tail_journal
from balltrain.records.state import SweepState
from balltrain.search.policy import Cause

HEADER = {"type": "sweep", "version": VERSION, "sweep": {"name": "s"}}


@pytest.fixture
def folder(tmp_path):
    journal = Journal(tmp_path)
    journal.append(HEADER)
    journal.append({"type": "start", "number": 0})
    journal.close()
    return tmp_path


def test_lines_are_read_back(folder):
    assert list(read_journal(folder)) == [HEADER, {"type": "start", "number": 0}]


def test_a_torn_last_line_is_dropped_and_written_over(folder):
    with open(folder / FILE, "ab") as file:
        file.write(b'{"type":"rep')
    assert len(list(read_journal(folder))) == 2
    journal = Journal(folder)
    journal.append({"type": "end", "number": 0})
    journal.close()
    assert [line["type"] for line in read_journal(folder)] == ["sweep", "start", "end"]


LAST = encoded({"type": "end", "number": 0, "status": "failed", "error": "x" * 5000})  # over two pages


@pytest.mark.parametrize(
    "torn",
    [
        LAST[:-1],  # without its newline alone
        b"\0" * len(LAST),  # its size without its content
        LAST[:100] + b"\0" * (len(LAST) - 100),
        b"\0" * 4096 + LAST[4096:],  # its second page alone, with a newline
        LAST[:4000] + b"\0" * 500 + LAST[4500:],  # a hole
        LAST.replace(b"xx", b"xy"),  # plain text, and not what was written
        LAST.replace(b',"crc"', b',"CRC"'),
        b"\n",
        b"{}\n",
        LAST[:50] + b"\n" + b"\0" * 100,
    ],
)
def test_a_last_line_that_is_not_what_was_written_is_dropped(folder, torn):
    sound = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(sound + torn)
    assert len(list(read_journal(folder))) == 2
    assert [len(lines) for lines in (next(tail_journal(folder)),)] == [2]
    Journal(folder).close()
    assert (folder / FILE).read_bytes() == sound


@pytest.mark.parametrize(
    "damage", [LAST.replace(b"xx", b"xy"), b"\0" * len(LAST) + b"\n", b"\0" * 4096 + LAST[4096:]]
)
def test_a_hole_anywhere_else_names_its_line(folder, damage):
    """That line had been promised: others were written after it."""
    (folder / FILE).write_bytes((folder / FILE).read_bytes() + damage + LAST)
    with pytest.raises(BalltrainError, match="line 3 is damaged"):
        list(read_journal(folder))


@pytest.mark.parametrize("torn", [b'{"type":"rep', LAST[:-1], b"\0" * 4096 + LAST[4096:]])
def test_the_line_before_a_torn_one_is_not_dropped_with_it(folder, torn):
    damaged = (folder / FILE).read_bytes().replace(b"start", b"stArt") + torn
    (folder / FILE).write_bytes(damaged)
    for read in (lambda: list(read_journal(folder)), lambda: Journal(folder)):
        with pytest.raises(BalltrainError, match="line 2 is damaged"):
            read()
    assert (folder / FILE).read_bytes() == damaged


def test_who_follows_a_journal_reads_a_line_once_it_is_whole(folder):
    lines = tail_journal(folder)
    assert len(next(lines)) == 2
    for part in (LAST[:10], LAST[10:4500], LAST[4500:-1]):
        with open(folder / FILE, "ab") as file:
            file.write(part)
        assert next(lines) == []
    with open(folder / FILE, "ab") as file:
        file.write(LAST[-1:] + LAST[:5])
    assert [line["type"] for line in next(lines)] == ["end"]


def test_a_journal_of_which_nothing_is_left_is_none(tmp_path):
    (tmp_path / FILE).write_bytes(encoded(HEADER)[:-20])
    assert list(read_journal(tmp_path)) == []
    with pytest.raises(BalltrainError, match="is empty, as no trial had begun"):
        first_line(tmp_path)


class Failing(durable.Disk):
    """A disk whose next sync fails, once: after that the system has forgotten it."""

    fails = False

    def sync(self, file):
        if self.fails:
            self.fails = False
            raise OSError(errno.EIO, "Input/output error")
        super().sync(file)


def test_after_a_sync_that_failed_no_line_is_taken_for_written(folder, monkeypatch):
    monkeypatch.setattr(durable, "disk", disk := Failing())
    journal, disk.fails = Journal(folder), True
    for reason in ("Input/output error", "an earlier write failed"):  # a second sync would succeed, and mean nothing
        with pytest.raises(StorageError, match=f"{reason}; what is there is kept, and --resume goes on with it"):
            journal.append({"type": "end", "number": 0})
    journal.close()
    text = (folder / FILE).read_bytes()
    assert text.count(b"\n") <= 3  # what the system says is there, which may be gone after a power loss


def test_the_last_line_is_written_again_when_a_sweep_goes_on(folder, monkeypatch):
    """It may be in the system's memory alone, which takes it for written."""
    written = []

    class Watched(durable.Disk):
        def write(self, file, content, offset):
            written.append((bytes(content), offset))
            return super().write(file, content, offset)

    before = (folder / FILE).read_bytes()
    monkeypatch.setattr(durable, "disk", Watched())
    Journal(folder).close()
    last = encoded({"type": "start", "number": 0})
    assert written == [(last, len(before) - len(last))]
    assert (folder / FILE).read_bytes() == before


@pytest.mark.parametrize("damage", [b"garbage\n", b"[]\n", b'{"no": "type"}\n', b"\n"])
def test_any_other_damage_names_its_line(folder, damage):
    text = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(text + damage + text)
    with pytest.raises(BalltrainError, match="line 3 is damaged"):
        list(read_journal(folder))


def test_a_journal_without_its_beginning_is_damaged(folder):
    (folder / FILE).write_bytes((folder / FILE).read_bytes().split(b"\n", 1)[1])
    with pytest.raises(BalltrainError, match="line 1 is damaged"):
        list(read_journal(folder))


def test_a_newer_version_is_refused(folder):
    (folder / FILE).write_bytes(encoded({**HEADER, "version": 99}))
    with pytest.raises(BalltrainError, match="version 99"):
        list(read_journal(folder))


def test_a_second_process_is_locked_out(folder):
    journal = Journal(folder)
    code = f"from pathlib import Path; from balltrain.records.journal import Journal; Journal(Path({str(folder)!r}))"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is running in another process" in second.stderr
    journal.close()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_journal_is_no_sweep(tmp_path):
    with pytest.raises(BalltrainError, match="no sweep of that name"):
        list(read_journal(tmp_path))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BalltrainError, match="cannot write to"):
        Journal(tmp_path / "file" / "sweep")


def test_a_journal_of_version_1_is_still_read(tmp_path):
    """A file as the first version wrote it. It is never made anew: a later version has to read it as it is."""
    shutil.copy(Path(__file__).parent / "fixtures" / "journal-v1.jsonl", tmp_path / FILE)
    state = SweepState.replay(read_journal(tmp_path))
    found = [(trial.status, trial.epochs, trial.attempts) for trial in state.trials.values()]
    assert found == [("completed", 4, 1), ("completed", 4, 1), ("stopped", 1, 1), ("interrupted", 0, 1)]
    assert state.best.objective == pytest.approx(0.9590810627515625)


def test_a_journal_of_version_2_is_still_read(tmp_path):
    """The first with trials that repeat others. Never made anew either."""
    shutil.copy(Path(__file__).parent / "fixtures" / "journal-v2.jsonl", tmp_path / FILE)
    state = SweepState.replay(read_journal(tmp_path))
    assert [(trial.status, trial.confirms) for trial in state.trials.values()] == [
        ("completed", None), ("completed", None), ("stopped", None), ("completed", 1), ("running", 1),
    ]  # fmt: skip
    assert [trial.number for trial in state.searched] == [0, 1, 2]
    (entry,), winner = state.confirmations()
    assert (entry.trial_id, len(entry.objectives), winner) == ("00001", 1, None)


def test_a_journal_of_version_3_is_still_read(tmp_path):
    """The first with trials that go on after the search. Never made anew either."""
    shutil.copy(Path(__file__).parent / "fixtures" / "journal-v3.jsonl", tmp_path / FILE)
    state = SweepState.replay(read_journal(tmp_path))
    found = [(trial.status, trial.epochs, trial.continued_after) for trial in state.trials.values()]
    assert found == [("running", 3, 2), ("completed", 4, 2), ("stopped", 1, None)]
    assert (state.sweep["continue_best"], state.to_continue(2)) == (2, [])


def test_a_journal_of_version_4_is_still_read_and_goes_on(tmp_path):
    """The first with trials that pause, the last without checksums. Never made anew either."""
    shutil.copy(Path(__file__).parent / "fixtures" / "journal-v4.jsonl", tmp_path / FILE)
    state = SweepState.replay(read_journal(tmp_path))
    found = [(trial.status, trial.epochs, trial.attempts) for trial in state.trials.values()]
    assert found == [("running", 1, 2), *[("paused", 1, 1)] * 8]
    journal = Journal(tmp_path)
    journal.append({"type": "resume", "version": VERSION, "sweep": state.sweep, "time": 0.0})
    journal.append({"type": "end", "number": 0, "status": "stopped", "time": 1.0})
    journal.close()
    assert SweepState.replay(read_journal(tmp_path)).trials[0].status == "stopped"
    # from there on a line needs its checksum
    with open(tmp_path / FILE, "ab") as file:
        file.write(b'{"type":"thaw","number":1}\n' + encoded({"type": "thaw", "number": 2}))
    with pytest.raises(BalltrainError, match="line 33 is damaged"):
        list(read_journal(tmp_path))


@pytest.mark.parametrize("torn", [b'{"type":"rep', b"\0\0\n"], ids=["cut off", "a hole"])
def test_of_version_4_too_a_torn_last_line_is_dropped_and_the_one_before_kept(tmp_path, torn):
    shutil.copy(Path(__file__).parent / "fixtures" / "journal-v4.jsonl", tmp_path / FILE)
    lines = list(read_journal(tmp_path))
    with open(tmp_path / FILE, "ab") as file:
        file.write(torn)
    journal = Journal(tmp_path)
    journal.append({"type": "limit", "reason": "enough"})
    journal.close()
    assert list(read_journal(tmp_path)) == [*lines, {"type": "limit", "reason": "enough"}]


def test_what_json_does_not_know_is_written_as_plain_values(folder):
    class Color(BaseModel):
        hue: float = 0.5

    journal = Journal(folder)
    config = {"number": np.float32(0.5), "path": Path("a/b"), "model": Color()}
    journal.append({"type": "trial", "config": config})
    journal.close()
    assert list(read_journal(folder))[-1]["config"] == {"number": 0.5, "path": "a/b", "model": {"hue": 0.5}}


def test_lines_are_plain_text_whatever_words_are_enumerations(tmp_path):
    """What an earlier version wrote and reads: the words alone."""
    journal = Journal(tmp_path)
    journal.append({"type": Kind.REPORT, "number": 0, "row": {"decision": Decision.FAIL}})
    journal.append({"type": Kind.END, "number": 0, "status": Status.FAILED, "cause": Cause.NODE_LOST})
    journal.close()
    assert (tmp_path / FILE).read_text().splitlines() == [
        '{"type":"report","number":0,"row":{"decision":"fail"},"crc":"fd9c510a"}',
        '{"type":"end","number":0,"status":"failed","cause":"node-lost","crc":"f9bed35e"}',
    ]


def test_every_kind_of_line_is_understood():
    """A kind that is written and not read would damage every sweep that has it."""
    written = {
        Kind.SWEEP: {"sweep": {"name": "s", "mode": "min", "epochs": 2}},
        Kind.TRIAL: {"config": {}, "point": {}, "seed": 0},
        Kind.START: {},
        Kind.STOP: {"reason": "balltrain stop, ada@here"},
        Kind.REPORT: {"row": {"epoch": 1, "objective": 1.0, "decision": "stop"}},
        Kind.THAW: {},
        Kind.LIMIT: {"reason": "its time budget is used up"},
        Kind.CONTINUE: {"epochs": 2},
        Kind.END: {"status": "failed", "error": "boom"},
        Kind.RESUME: {"sweep": {"name": "s", "mode": "min", "epochs": 2}},
    }
    assert set(written) == set(Kind)
    state = SweepState.replay({"type": kind, "number": 0, "time": 0.0, **line} for kind, line in written.items())
    assert state.trials[0].status == Status.FAILED


@pytest.mark.parametrize("line", [{"type": "pause"}, {"type": "end", "number": 0, "status": "asleep", "time": 0}])
def test_a_word_that_nobody_knows_names_its_line(line):
    trial = {"type": "trial", "number": 0, "config": {}, "point": {}, "seed": 0}
    with pytest.raises(BalltrainError, match="line 2 of the journal is damaged"):
        SweepState.replay([trial, line])
