"""What Ray needs of a machine is there, or one line says what to set."""

import os
import resource
from pathlib import Path

import pytest

from balltrain import doctor
from balltrain.errors import BalltrainError
from balltrain.execution import joining, machine

LONG = "x" * 60


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back
        monkeypatch.delenv(name)


def test_a_tmpdir_that_is_too_long_for_sockets_is_left_for_tmp(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / LONG))
    machine.make_ray_folder()
    assert (os.environ["RAY_TMPDIR"], os.environ["TMPDIR"]) == ("/tmp", "/tmp")


def test_a_short_tmpdir_stays(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp")
    machine.make_ray_folder()
    assert "RAY_TMPDIR" not in os.environ


def test_a_folder_that_is_meant_for_ray_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / LONG))
    with pytest.raises(BalltrainError, match=r"RAY_TMPDIR=.* is \d+ bytes long.*set RAY_TMPDIR to a short folder"):
        machine.make_ray_folder()
    assert doctor.check_temporary().status == "fail"


def test_open_files_are_raised_to_what_the_machine_allows(monkeypatch):
    found = {}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (128, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: found.update(limits=limits))
    machine.allow_open_files()
    assert found["limits"] == (1024, 1024)
    assert doctor.check_open_files().status == "warn"


def test_too_few_open_files_are_one_line(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (32, 32))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(BalltrainError, match=r"32 files open here.*`ulimit -n 4096`"):
        machine.allow_open_files()
    assert doctor.check_open_files().status == "fail"


def test_a_home_that_cannot_be_written_has_a_token_for_one_sweep(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")  # and put back, whatever the sweep sets
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    joining.make_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert doctor.check_home(Path("/proc/self")).status == "warn"
