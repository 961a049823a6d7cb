"""`make chaos`: a sweep of a command killed with everything that is in its session, and resumed each time."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from killing import kill_session

from balltrain.programs.processes import TRIAL_DIR
from balltrain.records.columns import Status
from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState

TRIALS, EPOCHS, KILLS = 12, 15, 6
KINDS = {
    "goes on": '[ -f "$BALLTRAIN_TRIAL_DIR/epoch" ] && begun=$(cat "$BALLTRAIN_TRIAL_DIR/epoch")',
    "starts anew": "",
}
SCRIPT = """\
#!/bin/sh
# ignores SIGTERM, and leaves processes in the background and in another session
trap '' TERM
sleep 100 & setsid sleep 100 &
begun=0
{begin}
for epoch in $(seq $((begun + 1)) $2); do
    sleep 0.3  # several times what an fsync takes on a busy disk: what is printed is kept by one
    echo $epoch > "$BALLTRAIN_TRIAL_DIR/epoch"
    echo "epoch $epoch val_loss: $(echo $1 $epoch | awk '{{print ($1 - 0.1) ^ 2 + 1 / $2}}')"
done
"""


def start(root, resume):
    command = [sys.executable, "-m", "balltrain.cli", "sweep", "--command", "./train.sh {lr} {epochs}"]
    command += [
        "--space",
        "space.toml",
        "--objective",
        "val_loss",
        "--scheduler",
        "none",
        "--name",
        "chaos",
        "--wandb",
        "off",
        "--json",
    ]
    command += ["--trials", str(TRIALS), "--epochs", str(EPOCHS), *(["--resume"] if resume else [])]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_lines(process, journal, count):
    """Wait until so many more lines are in the journal."""

    def lines():
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    end, deadline = lines() + count, time.monotonic() + 120
    while lines() < end and process.poll() is None:
        assert time.monotonic() < deadline, "the sweep makes no progress"
        time.sleep(0.01)


def left(root):
    found = []
    for name in os.listdir("/proc"):
        try:
            if f"{TRIAL_DIR}={root}".encode() in Path(f"/proc/{name}/environ").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return found


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_kills_of_a_command_lose_nothing_and_leave_no_process(tmp_path, kind):
    (tmp_path / "train.sh").write_text(SCRIPT.format(begin=KINDS[kind]))
    (tmp_path / "train.sh").chmod(0o755)
    (tmp_path / "space.toml").write_text("lr = {log = [1e-3, 1.0]}\n")
    journal, moments, reported = tmp_path / "runs" / "chaos" / "journal.jsonl", random.Random(0), 0
    for kill in range(KILLS):
        process = start(tmp_path, resume=journal.exists())
        if kill % 4 == 0:  # before Ray is up, or the first report
            time.sleep(moments.uniform(1, 6))
        else:
            wait_for_lines(process, journal, moments.randrange(5, 30))
        assert process.poll() is None, process.stderr.read()
        kill_session(process)
        deadline = time.monotonic() + 12  # SIGKILL comes 10 s after SIGTERM, which the command ignores
        while left(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left(tmp_path) == []
        if journal.exists():
            state = SweepState.replay(read_journal(journal.parent))
            now = sum(len(trial.rows) for trial in state.trials.values())
            assert now >= reported
            reported = now
            print(f"{kind}, kill {kill + 1}: {len(state.trials)} trials, {reported} epochs")
    process = start(tmp_path, resume=journal.exists())
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert json.loads(out)["trials"] == TRIALS
    state = SweepState.replay(read_journal(journal.parent))
    assert {trial.status for trial in state.trials.values()} <= {Status.COMPLETED, Status.STOPPED}
    for trial in state.trials.values():
        assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
        empty = [row for row in trial.rows if row["val_loss"] is None]
        # killed after it was saved, and before it was printed
        assert len(empty) <= KILLS if kind == "goes on" else not empty, trial.trial_id
        for row in [row for row in trial.rows if row not in empty]:
            assert row["val_loss"] == pytest.approx((trial.config["lr"] - 0.1) ** 2 + 1 / row["epoch"], abs=1e-5)
    epochs = pd.read_parquet(journal.parent / "epochs.parquet")
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
