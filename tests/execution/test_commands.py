"""A sweep of a command, on Ray."""

import os
import time

import pytest

from balltrain import UsageError, load, sweep
from balltrain.programs.commands import Command
from balltrain.programs.processes import TRIAL_DIR

SCRIPT = """\
#!/bin/sh
lr=$1 epochs=$2
[ "$BALLTRAIN_RESUME" = true ] && echo resumed
trap 'echo asked to end; exit 0' TERM
[ "$lr" = 0.3 ] && { echo no such luck; exit 3; }
for epoch in $(seq $epochs); do
    echo "epoch $epoch/$epochs val_loss: $(echo $lr $epoch | awk '{print ($1 - 0.1) ^ 2 + 1 / $2}')"
    sleep 0.1
done
sleep 60 & setsid sleep 60 &
echo kept > "$BALLTRAIN_TRIAL_DIR/model"
"""


def processes_of(folder):
    """Numbers of processes that have a folder below this one in their environment."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if f"{TRIAL_DIR}={folder}".encode() in file.read():
                    found.append(int(name))
        except OSError:
            continue
    return found


def test_a_command_is_stopped_fails_and_completes_as_a_task_does_and_leaves_nothing(tmp_path, monkeypatch):
    from ray import tune

    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.sh").write_text(SCRIPT)
    (tmp_path / "train.sh").chmod(0o755)
    options = {"objective": "val_loss", "searcher": "grid", "trials": 5, "epochs": 4, "grace": 2, "name": "shell"}
    space = {"lr": tune.grid_search([0.1, 0.9, 0.3, 0.8, 0.2])}
    command = Command("./train.sh {lr} {epochs}")
    results = sweep(command, space, **options, wandb="off", progress=False)

    trials = results.trials.set_index("config.lr")
    assert trials.loc[0.1, "status"] == "completed"
    assert trials.loc[[0.9, 0.8], "status"].isin(["stopped", "completed"]).all()
    assert trials.loc[0.3, "error"].startswith("the command failed with exit code 3: ")
    assert trials.loc[0.3, "error"].endswith("no such luck")
    assert results.best.config["lr"] == 0.1
    assert results.best.objective == pytest.approx(0.25)
    assert (results.best.checkpoint / "files" / "model").read_text() == "kept\n"
    failed = (tmp_path / "runs" / "shell" / "logs" / f"{trials.loc[0.3, 'trial_id']}.log").read_text()
    assert failed.count("--- attempt") == 3  # it may have been chance
    assert failed.count("\nresumed\n") == 2
    assert failed.endswith("error: the command failed with exit code 3: resumed | no such luck\n")
    deadline = time.monotonic() + 10
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(tmp_path) == []
    assert len(load("shell").epochs) == len(results.epochs)


def test_what_is_wrong_with_a_command_is_said_before_ray_starts(tmp_path, monkeypatch):
    from ray import tune

    monkeypatch.chdir(tmp_path)
    space = {"lr": tune.loguniform(1e-4, 1e-1)}
    for command, options, message in (
        ("echo {lrr}", {"objective": "acc"}, r"the space has no 'lrr': did you mean \{lr\}\?"),
        ("echo", {"objective": "acc"}, "never sees 'lr'"),
        ("echo {lr}", {}, "needs an objective"),
        ("./train.sh {lr}", {"objective": "acc"}, "was not found"),
        ("echo {lr}", {"objective": "acc", "workers_per_trial": 2}, "starts its workers itself"),
    ):
        with pytest.raises(UsageError, match=message):
            sweep(Command(command), space, epochs=2, progress=False, **options)
