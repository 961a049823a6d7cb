from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from balltrain import doctor
from balltrain.doctor import Check, examine, print_checks, services

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster and no key of this machine's user."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "ray-tmp"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def port() -> Iterator[int]:
    """Of something that listens here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_machine_can_train(tmp_path: Path):
    checks = by_name(examine(tmp_path / "runs", tmp_path / "data"))
    for name in (
        "Python",
        "torch",
        "CPUs",
        "memory",
        "shared memory",
        "Ray",
        "Ray cluster",
        "Ray token",
        "W&B",
        "storage",
        "data",
    ):
        assert checks[name].status in ("ok", "warn"), checks[name]
    assert sys.version.split()[0] in checks["Python"].detail
    assert not (tmp_path / "runs").exists()  # looks, and leaves nothing


def test_it_answers_in_seconds(tmp_path: Path):
    code = "from balltrain.doctor import examine; from pathlib import Path; examine(Path('a'), Path('b'))"
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert time.monotonic() - start < 15


def test_checks_become_json(tmp_path: Path):
    checks = examine(tmp_path, tmp_path)
    read = json.loads(json.dumps([dataclasses.asdict(check) for check in checks]))
    assert [set(check) for check in read] == [{"name", "status", "detail", "advice"}] * len(checks)


def test_whatever_is_not_ok_has_advice(tmp_path: Path):
    (tmp_path / "file").write_text("")
    checks = examine(tmp_path / "file" / "runs", tmp_path)
    assert any(check.status == "fail" for check in checks)
    assert all(bool(check.advice) == (check.status != "ok") for check in checks)


def test_a_check_that_breaks_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken() -> Check:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "check_memory", broken)
    checks = by_name(examine(tmp_path, tmp_path))
    assert checks["memory"] == Check(
        "memory", "fail", "RuntimeError: no such thing", "report this as a bug of balltrain"
    )
    assert checks["storage"].status != "fail"


def test_print_shows_the_advice_and_brackets_as_they_are():
    console = Console(file=StringIO(), width=100)
    print_checks([Check("storage", "fail", "/data [/] is full", "make room"), Check("Ray", "ok", "2.60.0")], console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "/data [/] is full" in text
    assert "→ make room" in text
    assert "2.60.0" in text


@pytest.mark.parametrize(("minor", "status"), [(10, "fail"), (11, "ok"), (13, "ok"), (14, "fail")])
def test_python_must_be_of_a_supported_version(minor: int, status: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "version_info", (3, minor, 1))
    assert doctor.check_python().status == status


@pytest.mark.parametrize(("gib", "status"), [(100, "ok"), (4, "warn"), (0.2, "fail")])
def test_a_full_disk_is_told(gib: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 0, int(gib * 2**30)))
    check = doctor.check_folder("storage", tmp_path)
    assert check.status == status
    assert f"{gib:.1f} GiB free" in check.detail


def test_a_folder_that_is_not_there_is_judged_by_the_nearest_that_is(tmp_path: Path):
    check = doctor.check_folder("storage", tmp_path / "a" / "b")
    assert check.status != "fail"
    assert f"to be made in {tmp_path}" in check.detail
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    check = doctor.check_folder("data", tmp_path / "file")
    assert (check.status, "--data-dir" in check.advice) == ("fail", True)


def test_a_folder_that_cannot_be_written_fails():
    check = doctor.check_folder("storage", Path("/proc/balltrain"))  # not even by root
    assert check.status == "fail"
    assert "cannot be written" in check.detail


def test_little_shared_memory_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**26, 0, 2**26))  # what docker gives
    check = doctor.check_shared_memory(tmp_path)
    assert (check.status, "--shm-size" in check.advice) == ("warn", True)
    assert doctor.check_shared_memory(tmp_path / "none").status == "ok"


def test_no_cluster_is_fine():
    assert doctor.check_cluster().detail.startswith("none")


def test_an_address_that_does_not_answer_fails(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    check = doctor.check_cluster()
    assert check.status == "fail"
    assert "unset RAY_ADDRESS" in check.advice
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    assert "host:port" in doctor.check_cluster().advice


def test_the_address_that_ray_start_leaves_is_found(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "ray-tmp" / "ray" / "ray_current_cluster"
    file.parent.mkdir(parents=True)
    file.write_text(f"127.0.0.1:{port}")
    monkeypatch.setattr(services, "_dashboard", lambda address: "127.0.0.1:8265")
    check = doctor.check_cluster()
    assert check.status == "ok"
    assert f"127.0.0.1:{port}" in check.detail
    assert "http://127.0.0.1:8265" in check.detail
    file.write_text("127.0.0.1:1")  # of a cluster that was killed
    assert doctor.check_cluster().status == "ok"


@pytest.mark.parametrize(
    ("dashboard", "status"),
    [
        ("127.0.0.1:8265", "ok"),
        ("localhost:8265", "ok"),
        ("[::1]:8265", "ok"),
        ("10.0.0.7:8265", "warn"),
        ("0.0.0.0:1", "warn"),
    ],
)
def test_a_dashboard_that_others_reach_is_a_warning(
    dashboard: str, status: str, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setattr(services, "_dashboard", lambda address: dashboard)
    check = doctor.check_cluster()
    assert check.status == status
    assert ("--dashboard-host=127.0.0.1" in check.advice) == (status == "warn")


def test_a_token_that_others_read_and_a_ray_without_token_are_warnings(monkeypatch: pytest.MonkeyPatch):
    from balltrain.execution import ray_internals

    file = Path(os.environ["HOME"]) / ".ray" / "auth_token"
    assert doctor.check_token().detail.startswith("none yet")
    file.parent.mkdir(parents=True)
    file.write_text("0" * 64)
    file.chmod(0o644)
    check = doctor.check_token()
    assert (check.status, check.advice) == ("warn", f"chmod 600 {file}")
    assert "0" * 64 not in check.detail
    file.chmod(0o600)
    assert doctor.check_token().status == "ok"
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    for answer, status in ((ray_internals.ANSWERS, "warn"), (ray_internals.REFUSES, "ok"), ("nobody is there", "ok")):
        monkeypatch.setattr(ray_internals, "ask", lambda address, token, answer=answer: answer)
        check = doctor.check_token()
        assert check.status == status
        assert ("RAY_AUTH_MODE=token" in check.advice) == (status == "warn")


def test_wandb_login_is_looked_up_without_a_server(monkeypatch: pytest.MonkeyPatch):
    assert "no key" in doctor.check_wandb().detail
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    check = doctor.check_wandb()
    assert "logged in" in check.detail
    assert "0" * 40 not in check.detail


SMI = """#!/bin/sh
echo 'NVIDIA H200, 512, 143771, 570.86.15'
"""


def test_gpus_that_torch_cannot_use_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check = doctor.check_cuda()
    assert check.status == "warn"
    assert "1 GPU" in check.detail
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check = doctor.check_cuda()
    assert check.status == "ok"
    for fact in ("NVIDIA H200", "512 of 143771 MiB", "driver 570.86.15"):
        assert fact in check.detail


@pytest.mark.parametrize(
    ("load", "environment", "status"),
    [(0.3, {}, "ok"), (1.4, {}, "warn"), (1.4, {"OMP_WAIT_POLICY": "passive"}, "ok")],
)
def test_where_others_keep_the_processors_busy_it_says_how_threads_should_wait(
    load, environment, status, monkeypatch
):
    for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    check = doctor.check_cpus()
    assert check.status == status
    assert ("OMP_WAIT_POLICY=passive" in check.advice) == (status == "warn")
