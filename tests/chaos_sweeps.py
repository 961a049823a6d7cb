"""Sweeps to be killed: of a task, a function, commands that go on and that start anew; and ways to kill them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from killing import kill_session
from toy import TOY_FILE

from balltrain.records.columns import Status
from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState

MARK = "BALLTRAIN_TESTS_CHAOS"  # in the environment of all processes of a sweep that is killed
SPACE = "lr = {log = [1e-3, 1.0]}\n"
FUNCTION = """\
import os
import time

import torch


def train(trial):
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=trial.config["lr"], momentum=0.5)
    holder = torch.nn.ParameterDict({"weight": weight})
    trial.restore(model=holder, optimizer=optimizer)
    for epoch in trial.epochs():
        time.sleep(0.1)
        loss = (weight - 1).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(loss=float(loss))
"""
# ignores SIGTERM, and leaves processes in the background and in another session
COMMAND = """\
#!/bin/sh
trap '' TERM
sleep 100 & setsid sleep 100 &
begun=0
{begin}
for epoch in $(seq $((begun + 1)) $2); do
    sleep 0.3  # several times what an fsync takes on a busy disk: what is printed is kept by one
    echo $epoch > "$BALLTRAIN_TRIAL_DIR/epoch"
    echo "epoch $epoch loss: $(echo $1 $epoch | awk '{{print ($1 - 0.1) ^ 2 + 1 / $2}}')"
done
"""
GOES_ON = '[ -f "$BALLTRAIN_TRIAL_DIR/epoch" ] && begun=$(cat "$BALLTRAIN_TRIAL_DIR/epoch")'


def slow_toy(folder):
    """The toy task, with epochs of a twentieth of a second: a sweep of a minute to kill."""
    slow = 'import time; time.sleep(0.05)\n        return {"y"'
    (folder / "slow_toy.py").write_text(Path(TOY_FILE).read_text().replace('return {"y"', slow))
    return folder / "slow_toy.py"


class ChaosSweep:
    """A sweep of 12 trials in a folder, of one of KINDS, that can be killed and resumed."""

    KINDS = ("task", "function", "command", "command that starts anew")
    TRIALS = 12

    def __init__(self, folder, kind, storage=None):
        self.folder, self.kind, self.trials, self.storage = folder, kind, self.TRIALS, storage or str(folder / "runs")
        self.sweep_folder, self.epochs, self.reported = folder / "runs" / "chaos", 30, []
        (folder / "space.toml").write_text(SPACE)
        program = ["--space", str(folder / "space.toml"), "--objective", "loss"]
        if kind == "task":
            self.arguments = [str(slow_toy(folder)), "--data-dir", str(folder / "data")]
        elif kind == "function":
            (folder / "job.py").write_text(FUNCTION)
            self.arguments = [f"{folder / 'job.py'}:train", *program]
        else:
            self.epochs = 12
            (folder / "train.sh").write_text(COMMAND.format(begin=GOES_ON if kind == "command" else ""))
            (folder / "train.sh").chmod(0o755)
            self.arguments = ["--command", "./train.sh {lr} {epochs}", *program, "--scheduler", "none"]

    @property
    def journal(self):
        return self.sweep_folder / "journal.jsonl"

    def start(self, *more):
        """The command in a session of its own; it resumes what has a journal."""
        command = [sys.executable, "-m", "balltrain.cli", "sweep", *self.arguments, "--name=chaos", "--wandb=off"]
        command += [f"--storage={self.storage}", f"--trials={self.trials}", f"--epochs={self.epochs}", "--json"]
        return subprocess.Popen(
            [*command, *more, *(["--resume"] if self.journal.exists() else [])],
            cwd=self.folder,
            env=os.environ | {MARK: str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for_lines(self, process, count):
        """Until so many more lines are in the journal."""

        def lines():
            return self.journal.read_bytes().count(b"\n") if self.journal.exists() else 0

        end, deadline = lines() + count, time.monotonic() + 120
        while lines() < end:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, f"the sweep makes no progress: {self.processes()}"
            time.sleep(0.01)

    def processes(self):
        """{pid: command line} of all that is there of it."""
        found, entry = {}, f"{MARK}={self.folder}".encode()
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if entry in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found[int(name)] = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def check_nothing_runs(self, within_s=15):
        """SIGKILL comes 10 s after SIGTERM, which the command ignores."""
        deadline = time.monotonic() + within_s
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.processes() == {}, self.processes()

    def check_nothing_lost(self):
        """What was reported is reported still, in its order, and nothing twice."""
        if self.journal.exists():
            lines = read_journal(self.sweep_folder)
            found = [(line["number"], line["row"]["epoch"]) for line in lines if line["type"] == "report"]
            assert found[: len(self.reported)] == self.reported
            assert len(found) == len(set(found))
            self.reported = found

    def finish(self, process=None):
        """Resumed to its end, where it does not run; its state, once all that was recorded has been looked at."""
        process = process or self.start()
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert json.loads(out)["trials"] == self.trials
        self.check_nothing_lost()
        self.check_nothing_runs()
        return self.checked_state()

    def checked_state(self):
        state = SweepState.replay(read_journal(self.sweep_folder))
        assert len(state.trials) == self.trials
        assert {trial.status for trial in state.trials.values()} <= {Status.COMPLETED, Status.STOPPED}
        for trial in state.trials.values():
            assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
            self.check_figures(trial)
        epochs = pd.read_parquet(self.sweep_folder / "epochs.parquet")
        assert not epochs.duplicated(["trial_id", "epoch"]).any()
        assert len(epochs) == sum(trial.epochs for trial in state.trials.values())
        return state

    def check_figures(self, trial):
        """Those of a training that nobody disturbed."""
        rows, lr = trial.rows, trial.config["lr"]
        if self.kind == "function":
            weight, velocity = 0.0, 0.0
            for row in rows:
                assert row["objective"] == pytest.approx((weight - 1) ** 2, rel=1e-9)
                velocity = 0.5 * velocity + 2 * (weight - 1)
                weight -= lr * velocity
        elif self.kind != "task":
            empty = [row for row in rows if row["objective"] is None]
            # killed after the epoch was saved, and before it was printed
            assert len(empty) <= 8 if self.kind == "command" else not empty, trial.trial_id
            for row in [row for row in rows if row not in empty]:
                assert row["objective"] == pytest.approx((lr - 0.1) ** 2 + 1 / row["epoch"], abs=1e-5)


def kill_all(sweep, process):
    """As a machine dies."""
    kill_session(process)
    sweep.check_nothing_runs()


def kill_driver(sweep, process):
    process.kill()
    process.wait()
    sweep.check_nothing_runs()


def kill_trial(sweep, process):
    """The sweep goes on: the trial's next attempt begins where the last one was."""
    trials = [
        pid for pid, line in sweep.processes().items() if line.startswith("ray::ImplicitFunc")
    ]  # what Ray Tune runs
    assert trials, sweep.processes()
    os.kill(trials[0], signal.SIGKILL)


def kill_part_of_ray(name):
    def kill(sweep, process):
        os.kill(next(pid for pid, line in sweep.processes().items() if f"/{name} " in line), signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 1, err
        *how, error = err.strip().splitlines()
        assert [line[:26] for line in how] == ["to go on: balltrain sweep "], err
        assert error == f"error: Ray has ended: its {name} is gone; the sweep has stopped and can be resumed"
        sweep.check_nothing_runs()

    return kill


def end_by_sigterm(sweep, process):
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
    sweep.check_nothing_runs()


def stop_all_for_15_s(sweep, process):
    """A laptop that sleeps: the sweep goes on."""
    pids = list(sweep.processes())
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if number == signal.SIGSTOP:
            time.sleep(15)


WAYS = {
    "all processes": kill_all,
    "the driver": kill_driver,
    "a trial": kill_trial,
    "the raylet": kill_part_of_ray("raylet"),
    "GCS": kill_part_of_ray("gcs_server"),
    "SIGTERM": end_by_sigterm,
    "stopped for 15 s": stop_all_for_15_s,
}
