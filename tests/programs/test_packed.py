"""A command's folder on another machine."""

import os
import pickle
import subprocess

import pytest

from balltrain.errors import BalltrainError
from balltrain.programs import packed
from balltrain.programs.command_program import command_ref
from balltrain.programs.commands import Command
from balltrain.programs.packed import PackedFolder
from balltrain.programs.program import ProgramAttempt


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packed._settled.cache_clear()
    folder = tmp_path / "code"
    (folder / "lib").mkdir(parents=True)
    (folder / "train.sh").write_text("#!/bin/sh\necho val_acc: 1\n")
    (folder / "train.sh").chmod(0o755)
    (folder / "lib" / "model.py").write_text("x = 1\n")
    for left_out in (".venv", "__pycache__", "runs"):
        (folder / left_out).mkdir()
        (folder / left_out / "large").write_text("x")
    return folder


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_where_the_machine_has_the_folder_it_is_used(folder):
    assert PackedFolder.of(folder).settled() == folder


def test_elsewhere_a_copy_has_its_files_and_can_be_run(folder):
    sent = PackedFolder.of(folder)
    folder.rename(folder.with_name("moved"))
    copy = sent.settled()
    assert names(copy) == ["lib/model.py", "train.sh"]
    assert subprocess.run([copy / "train.sh"], capture_output=True, text=True).stdout == "val_acc: 1\n"


def test_a_folder_that_is_another_by_now_is_not_taken_for_it(folder):
    sent = PackedFolder.of(folder)
    (folder / "lib" / "model.py").write_text("x = 2\n")
    assert (sent.settled() / "lib" / "model.py").read_text() == "x = 1\n"


def test_what_git_ignores_stays(folder):
    (folder / ".gitignore").write_text("*.bin\n/.venv\n/runs\n__pycache__\n")
    (folder / "data.bin").write_text("x")
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    subprocess.run(["git", "init", "-q", str(folder)], check=True, env=environment)
    sent = PackedFolder.of(folder)
    folder.rename(folder.with_name("moved"))
    assert names(sent.settled()) == [".gitignore", "lib/model.py", "train.sh"]


def test_a_folder_that_is_too_large_is_refused_with_its_largest_files(folder, monkeypatch):
    monkeypatch.setattr(packed, "MAX_BYTES", 100_000)
    (folder / "data.bin").write_bytes(os.urandom(200_000))
    with pytest.raises(BalltrainError, match=r"too large to travel.*data\.bin.*\.gitignore"):
        PackedFolder.of(folder)


def test_the_folder_of_the_results_stays(folder):
    (folder / "out").mkdir()
    (folder / "out" / "journal.jsonl").write_text("x")
    sent = PackedFolder.of(folder, folder / "out")
    folder.rename(folder.with_name("moved"))
    assert names(sent.settled()) == ["lib/model.py", "train.sh"]


def test_a_folder_that_lies_in_that_of_the_results_travels_all_the_same(folder):
    sent = PackedFolder.of(folder, folder.parent)
    folder.rename(folder.with_name("moved"))
    assert names(sent.settled()) == ["lib/model.py", "train.sh"]


def test_a_command_travels_with_its_folder_to_another_process(folder):
    sent = command_ref(Command("./train.sh", folder=str(folder)), "val_acc", "max").travelling(folder / "runs")
    assert pickle.loads(pickle.dumps(sent)).load().folder == folder
    packed._settled.cache_clear()
    folder.rename(folder.with_name("moved"))
    rows = []
    attempt = ProgramAttempt(0, "00000", 1, {"epochs": 3}, 0, 0, folder.with_name("00000"))
    pickle.loads(pickle.dumps(sent)).load().run(attempt, rows.append)
    assert [(row["epoch"], row["objective"]) for row in rows] == [(1, 1.0)]
