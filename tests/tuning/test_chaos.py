"""`make chaos`: a sweep killed with everything it started, at random moments, and resumed each time."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from toy import TOY_FILE

from balltrain.data.cache import load_data
from balltrain.tasks.base import DataRequest
from balltrain.training.checkpoint import load_checkpoint
from balltrain.training.loop import evaluate
from balltrain.tuning import columns as c
from balltrain.tuning.controller import Controller
from balltrain.tuning.journal import read_journal
from balltrain.tuning.state import SweepState
from balltrain.tuning.sweep import find_sweep, make_plan, override

TRIALS, EPOCHS, KILLS = 20, 60, 10


def slow_toy(folder):
    """The toy task, with epochs of a twentieth of a second: a sweep of a minute to kill."""
    slow = 'import time; time.sleep(0.05)\n        return {"y"'
    (folder / "slow_toy.py").write_text(Path(TOY_FILE).read_text().replace('return {"y"', slow))
    return folder / "slow_toy.py"


def start(root, resume):
    command = [sys.executable, "-m", "balltrain.cli", "sweep", str(root / "slow_toy.py"), "--name", "chaos"]
    command += ["--storage", str(root), "--data-dir", str(root / "data"), "--wandb", "off", "--json"]
    command += ["--trials", str(TRIALS), "--epochs", str(EPOCHS), *(["--resume"] if resume else [])]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_lines(journal, count):
    """Wait until so many more lines are in the journal."""

    def lines():
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    end, deadline = lines() + count, time.monotonic() + 90
    while lines() < end:
        assert time.monotonic() < deadline, "the sweep makes no progress"
        time.sleep(0.01)


def kill_all(process):
    """The driver and whatever it started: Ray's own processes leave its process group, not its session."""
    session = os.getsid(process.pid)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getsid(int(name)) == session:
                    os.kill(int(name), signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
    process.wait()


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_ten_kills_lose_nothing_and_run_nothing_twice(tmp_path):
    file = slow_toy(tmp_path)
    moments = random.Random(0)
    reported_before = 0
    for kill in range(KILLS):
        process = start(tmp_path, resume=(tmp_path / "chaos" / "journal.jsonl").exists())
        if kill % 4 == 0:  # before Ray is up, or the first report
            time.sleep(moments.uniform(1, 6))
        else:
            wait_for_lines(tmp_path / "chaos" / "journal.jsonl", moments.randrange(10, 60))
        assert process.poll() is None, process.stderr.read()
        kill_all(process)
        if (tmp_path / "chaos" / "journal.jsonl").exists():
            state = SweepState.replay(read_journal(tmp_path / "chaos"))
            reported = sum(len(trial.rows) for trial in state.trials.values())
            assert reported >= reported_before
            reported_before = reported
            print(f"kill {kill + 1}: {len(state.trials)} trials, {reported} epochs")
    process = start(tmp_path, resume=(tmp_path / "chaos" / "journal.jsonl").exists())
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert json.loads(out)["trials"] == TRIALS

    state = SweepState.replay(read_journal(tmp_path / "chaos"))
    assert len(state.trials) == TRIALS
    assert {trial.status for trial in state.trials.values()} <= {c.COMPLETED, c.STOPPED}
    for trial in state.trials.values():
        assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
    epochs = pd.read_parquet(tmp_path / "chaos" / "epochs.parquet")
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
    assert len(epochs) == sum(trial.epochs for trial in state.trials.values())

    # rungs are those that the rows alone make
    sweep, ref = find_sweep(str(file))
    plan = make_plan(override(sweep, trials=TRIALS, epochs=EPOCHS), ref, name="chaos", request=DataRequest())
    rungs = Controller(plan, state, journal=None, concurrency=1).rungs()
    for epoch, recorded in rungs.items():
        reached = {t.trial_id: t.rows[epoch - 1]["objective"] for t in state.trials.values() if t.epochs >= epoch}
        assert recorded == reached

    best = state.best
    loaded = load_checkpoint(tmp_path / "chaos" / "best")
    dataset = load_data(ref, loaded.task, DataRequest(), tmp_path / "data")
    figures = evaluate(loaded.task, loaded.hp, loaded.model, dataset, "val", torch.device("cpu"))
    assert figures["loss"] == pytest.approx(best.objective, rel=1e-5)
