"""What ends a sweep from outside: kills, Ctrl-C, signals of batch systems and terminals, a Ray that dies."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from toy import TOY_FILE

from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.records.columns import Status
from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState

WITHIN_S = 10.0  # of a signal, on a machine that has nothing else to do


def cli(tmp_path, *more, file=TOY_FILE, trials=12, epochs=30):
    command = [sys.executable, "-m", "balltrain.cli", "sweep", str(file), "--name=k", "--storage", str(tmp_path)]
    command += ["--data-dir", str(tmp_path / "data"), "--wandb", "off"]
    return [*command, "--trials", str(trials), "--epochs", str(epochs), *more]


def start_cli(*arguments, **options):
    return subprocess.Popen(
        cli(*arguments, **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_reports(tmp_path, count):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        journal = tmp_path / "k" / "journal.jsonl"
        if journal.exists() and journal.read_text().count('"report"') >= count:
            return
        time.sleep(0.05)
    raise TimeoutError("the sweep reported nothing")


def check_nothing_lost_or_run_twice(tmp_path):
    state = SweepState.replay(read_journal(tmp_path / "k"))
    assert len(state.trials) == 12
    for trial in state.trials.values():
        assert trial.status in (Status.COMPLETED, Status.STOPPED)
        assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
    epochs = pd.read_parquet(tmp_path / "k" / "epochs.parquet")
    assert not epochs.duplicated(["trial_id", "epoch"]).any()


@pytest.mark.slow
def test_a_killed_sweep_resumed_loses_nothing(tmp_path):
    process = start_cli(tmp_path)
    wait_for_reports(tmp_path, 25)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed = SweepState.replay(read_journal(tmp_path / "k"))
    check_it_resumes(tmp_path, killed)


@pytest.mark.slow
def test_interrupted_then_resumed_a_sweep_loses_nothing(tmp_path):
    process = start_cli(tmp_path)
    wait_for_reports(tmp_path, 25)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    command = err.splitlines()[-1].partition("to go on: balltrain ")[2]
    assert command.startswith(f"sweep {TOY_FILE} --name=k ")
    assert command.endswith("--resume")
    assert (tmp_path / "k" / "trials.parquet").exists()
    interrupted = SweepState.replay(read_journal(tmp_path / "k"))
    check_it_resumes(tmp_path, interrupted)


def check_it_resumes(tmp_path, before):
    process = start_cli(tmp_path, "--resume", "--json")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert json.loads(out)["trials"] == 12
    check_nothing_lost_or_run_twice(tmp_path)
    after = SweepState.replay(read_journal(tmp_path / "k"))
    for number, trial in before.trials.items():
        assert after.trials[number].rows[: trial.epochs] == trial.rows


@pytest.mark.chaos
def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(tmp_path, monkeypatch):
    nap = 'import os, time; time.sleep(float(os.environ["NAP"]))\n        return {"y"'
    (tmp_path / "k.py").write_text(Path(TOY_FILE).read_text().replace('return {"y"', nap))
    monkeypatch.setenv("NAP", "8")  # an epoch that nobody would wait for
    process = start_cli(tmp_path, "--scheduler", "none", file=tmp_path / "k.py", trials=3, epochs=2)
    wait_for_reports(tmp_path, 2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=7) == 130  # Ray's processes are given a moment to end; the epochs would take longer
    assert "--resume" in os.read(process.stderr.fileno(), 10_000).decode()
    before = SweepState.replay(read_journal(tmp_path / "k"))
    deadline = time.monotonic() + 60
    while processes_of_session(process.pid):
        assert time.monotonic() < deadline, "Ray's processes outlive their sweep"
        time.sleep(0.2)
    monkeypatch.setenv("NAP", "0")
    process = start_cli(tmp_path, "--scheduler", "none", "--resume", file=tmp_path / "k.py", trials=3, epochs=2)
    process.communicate(timeout=200)
    assert process.returncode == 0
    after = SweepState.replay(read_journal(tmp_path / "k"))
    assert [trial.epochs for trial in after.trials.values()] == [2, 2, 2]
    for number, trial in before.trials.items():
        assert after.trials[number].rows[: trial.epochs] == trial.rows


def processes_of_session(session):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(name)) == session and Path(f"/proc/{name}/stat").read_text().split()[2] != "Z":
                    found.append(int(name))
    return found


def slow_toy(tmp_path, seconds):
    """The toy task, whose epochs take twice so many seconds: as the file `nap` says, while it runs."""
    slow = f'import time; time.sleep(float(open({str(tmp_path / "nap")!r}).read()))\n        return {{"y"'
    (tmp_path / "k.py").write_text(Path(TOY_FILE).read_text().replace('return {"y"', slow))
    (tmp_path / "nap").write_text(str(seconds))
    return tmp_path / "k.py"


def patience():
    """Of tests that share their machine: every process of Ray's takes its time to end."""
    return WITHIN_S * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def descendant(process, name):
    """The id of a process that another one, or one of its own, has started, by its command."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    while children:
        pid = children.pop()
        with contextlib.suppress(OSError):
            if name in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
                return int(pid)
            for task in os.listdir(f"/proc/{pid}/task"):
                children += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    raise AssertionError(f"there is no {name}")


@pytest.mark.slow
def test_sigterm_to_all_processes_ends_in_order_within_seconds(tmp_path):
    """Slurm, systemd: Ray's processes get the signal too, and end at once."""
    file = slow_toy(tmp_path, 0.5)
    process = start_cli(tmp_path, "--scheduler", "none", file=file, trials=2, epochs=50)
    wait_for_reports(tmp_path, 2)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=patience())
    assert process.returncode == 130
    _, how, end = err.splitlines()  # and nothing of Ray's
    assert how.startswith("to go on: ")
    assert end.endswith("--resume")
    assert "interrupted" in out
    trials = pd.read_parquet(tmp_path / "k" / "trials.parquet")
    assert set(trials["status"]) == {Status.INTERRUPTED}
    assert (tmp_path / "k" / "best" / "model.safetensors").exists()


@pytest.mark.slow
def test_sigterm_in_an_epoch_that_takes_longer_than_the_system_waits_ends_in_seconds(tmp_path):
    file = slow_toy(tmp_path, 0.05)
    process = start_cli(tmp_path, "--scheduler", "none", file=file, trials=2, epochs=500)
    wait_for_reports(tmp_path, 4)
    (tmp_path / "nap").write_text("60")
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=patience())
    assert process.returncode == 130
    state = SweepState.replay(read_journal(tmp_path / "k"))
    for trial in state.trials.values():
        assert trial.status == Status.INTERRUPTED
        assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("killed", "gone"),
    [
        ("gcs_server", "gcs_server"),
        ("raylet/raylet", "raylet"),
        ("ray::DashboardAgent", "raylet"),  # which ends with it
        ("ray::RuntimeEnvAgent", "raylet"),
    ],
)
def test_a_ray_that_dies_is_said_within_seconds_and_the_sweep_resumes(tmp_path, killed, gone):
    file = slow_toy(tmp_path, 0.3)
    process = start_cli(tmp_path, "--scheduler", "none", file=file, trials=2, epochs=6)
    wait_for_reports(tmp_path, 2)
    os.kill(descendant(process, killed), signal.SIGKILL)
    _, err = process.communicate(timeout=patience())
    assert process.returncode == 1
    how, end = err.splitlines()
    assert how.startswith("to go on: balltrain sweep ")
    assert end == f"error: Ray has ended: its {gone} is gone; the sweep has stopped and can be resumed"
    assert (tmp_path / "k" / "trials.parquet").exists()
    process = start_cli(tmp_path, "--scheduler", "none", "--resume", file=file, trials=2, epochs=6)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    state = SweepState.replay(read_journal(tmp_path / "k"))
    assert all([row["epoch"] for row in trial.rows] == list(range(1, 7)) for trial in state.trials.values())
    assert all(trial.lost_attempts == 1 for trial in state.trials.values())


@pytest.mark.slow
def test_a_signal_before_ray_is_up_leaves_a_sweep_that_resumes(make_toy_plan, tmp_path):
    plan, said = make_toy_plan(trials=1, epochs=1), []

    def on_phase(phase):
        if phase == "starting Ray":
            threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()

    where = {"data_dir": tmp_path / "data", "on_interrupt": lambda: said.append("how to go on")}
    folder, resources = tmp_path / "toy-sweep", Resources(num_gpus=0)
    result = run_sweep(plan, folder, resources, resume=False, on_phase=on_phase, **where)
    assert result.interrupted
    assert said == ["how to go on"]
    assert len(pd.read_parquet(folder / "trials.parquet")) == 0
    result = run_sweep(plan, folder, resources, resume=True, **where)
    assert not result.interrupted
    assert [trial.status for trial in result.state.trials.values()] == [Status.COMPLETED]


@pytest.mark.chaos
def test_a_terminal_that_closes_ends_the_sweep_in_order(tmp_path):
    """ssh that breaks off: SIGHUP to the foreground, and a terminal that nothing can be written to."""
    file = slow_toy(tmp_path, 0.5)
    command = cli(tmp_path, "--scheduler", "none", file=file, trials=2, epochs=50)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    reader = threading.Thread(target=lambda: read_all(terminal), daemon=True)
    reader.start()
    wait_for_reports(tmp_path, 2)
    os.close(terminal)
    deadline = time.monotonic() + patience()
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < deadline, "the sweep does not end"
        time.sleep(0.1)
    assert os.waitstatus_to_exitcode(ended[1]) == 130
    trials = pd.read_parquet(tmp_path / "k" / "trials.parquet")
    assert set(trials["status"]) == {Status.INTERRUPTED}
    assert (tmp_path / "k" / "best" / "model.safetensors").exists()


def read_all(terminal):
    with contextlib.suppress(OSError):
        while os.read(terminal, 10_000):
            pass


@pytest.mark.chaos
def test_a_training_ends_in_order_too(tmp_path):
    """`balltrain train`, which needs no Ray, in an epoch that takes longer than the system waits."""
    file = slow_toy(tmp_path, 0.1)
    command = [sys.executable, "-m", "balltrain.cli", "train", str(file), "--epochs", "1000", "--out", "k"]
    command += ["--data-dir", "data", "--wandb", "off", "--set", "optimizer=sgd"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path
    )
    wait_for_reports(tmp_path, 2)
    (tmp_path / "nap").write_text("60")
    time.sleep(1)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=patience())
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("--resume")
    assert list(pd.read_parquet(tmp_path / "k" / "trials.parquet")["status"]) == [Status.INTERRUPTED]
    assert (tmp_path / "k" / "best" / "model.safetensors").exists()
