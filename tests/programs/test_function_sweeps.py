"""Functions swept by Ray: killed and resumed, on two workers, with pictures in the report."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from balltrain.records.journal import read_journal

JOB = """
import time

import balltrain
import torch
from ray import tune


def train(trial):
    model = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.config["lr"])
    trial.restore(model=model, optimizer=optimizer)
    for epoch in trial.epochs():
        time.sleep(0.1)
        loss = (model(torch.ones(1, 1)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        picture = trial.folder / "pictures" / "curve.png"
        if trial.rank == 0:
            picture.parent.mkdir(exist_ok=True)
            from PIL import Image

            Image.new("RGB", (8, 8), (min(255, 20 * epoch), 0, 0)).save(picture)
        trial.report(loss=loss, world=trial.world_size)


if __name__ == "__main__":
    space = {"lr": tune.loguniform(1e-3, 1e-1)}
    options = {"name": "job", "wandb": "off", "progress": False, "searcher": "random"}
    found = balltrain.sweep(train, space, objective="loss", epochs=6, trials=6, resume=RESUME, **options, **MORE)
    found.report()
"""

pytestmark = pytest.mark.slow  # each starts a Ray, or two


def start(folder, resume=False, **more):
    text = JOB.replace("RESUME", repr(resume)).replace("MORE", repr(more))
    (folder / "job.py").write_text(text)
    return subprocess.Popen([sys.executable, "job.py"], cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL)


def reports(folder):
    return [(line["number"], line["row"]["epoch"]) for line in read_journal(folder) if line["type"] == "report"]


@pytest.mark.chaos
def test_all_its_processes_killed_it_is_resumed_and_no_epoch_is_trained_twice(tmp_path):
    sweep = tmp_path / "runs" / "job"
    process = start(tmp_path)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (sweep / "journal.jsonl").exists() and len(reports(sweep)) >= 9:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    known = reports(sweep)
    assert len(known) >= 9
    assert start(tmp_path, resume=True).wait(timeout=200) == 0
    found = reports(sweep)
    assert found[: len(known)] == known
    assert len(found) == len(set(found))
    trials = pd.read_parquet(sweep / "trials.parquet")
    assert set(trials["status"]) <= {"completed", "stopped"}
    config = json.loads((sweep / "best" / "config.json").read_text())
    assert (config["program"]["kind"], config["program"]["name"]) == ("function", "train")
    assert "Pictures of the best trial" in (sweep / "report.html").read_text()


def test_on_two_workers_the_first_ones_report_counts(tmp_path):
    assert start(tmp_path, workers_per_trial=2, scheduler="none").wait(timeout=250) == 0
    epochs = pd.read_parquet(tmp_path / "runs" / "job" / "epochs.parquet")
    assert len(epochs) == 36
    assert set(epochs["metric.world"]) == {2.0}
