"""`make chaos`: a sweep killed with everything it started, at random moments, and resumed each time."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from killing import kill_session
from toy import TOY_FILE

from balltrain.data.cache import load_data
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.records.columns import Status
from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState
from balltrain.search.controller import Controller
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest
from balltrain.training.checkpoint import load_checkpoint
from balltrain.training.outputs import evaluate

TRIALS, EPOCHS, KILLS = 20, 60, 10


def slow_toy(folder):
    """The toy task, with epochs of a twentieth of a second: a sweep of a minute to kill."""
    slow = 'import time; time.sleep(0.05)\n        return {"y"'
    (folder / "slow_toy.py").write_text(Path(TOY_FILE).read_text().replace('return {"y"', slow))
    return folder / "slow_toy.py"


def start(root, resume, storage=None):
    command = [sys.executable, "-m", "balltrain.cli", "sweep", str(root / "slow_toy.py"), "--name", "chaos"]
    command += ["--storage", storage or str(root), "--data-dir", str(root / "data"), "--wandb", "off", "--json"]
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
        kill_session(process)
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
    assert {trial.status for trial in state.trials.values()} <= {Status.COMPLETED, Status.STOPPED}
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


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_node_that_is_lost_costs_its_trials_no_retry(tmp_path):
    """Two nodes of one Ray cluster on this machine; one is removed while its trial trains."""
    import threading

    from ray.cluster_utils import Cluster

    sweep, ref = find_sweep(str(slow_toy(tmp_path)))
    options = {"trials": 4, "epochs": 60, "scheduler": "none"}
    plan = make_plan(override(sweep, **options), ref, name="nodes", request=DataRequest())
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)

    def remove():
        wait_for_lines(tmp_path / "nodes" / "journal.jsonl", 40)
        cluster.remove_node(second)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        resources = Resources(num_gpus=0, cpus_per_trial=1, address=cluster.address)
        result = run_sweep(plan, tmp_path / "nodes", resources, data_dir=tmp_path / "data", resume=False)
    finally:
        thread.join()
        cluster.shutdown()
    trials = result.state.trials.values()
    assert [trial.status for trial in trials] == [Status.COMPLETED] * 4
    assert sum(trial.lost_attempts for trial in trials) >= 1
    assert sum(trial.attempts for trial in trials) == 4 + sum(trial.lost_attempts for trial in trials)
    assert all([row["epoch"] for row in trial.rows] == list(range(1, 61)) for trial in trials)


@pytest.mark.chaos
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_ends_the_sweep_with_a_reason_and_it_resumes(tmp_path):
    slow_toy(tmp_path)
    (tmp_path / "chaos").mkdir()
    # the whole sweep takes 290 kB
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(tmp_path / "chaos")]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        process = start(tmp_path, resume=False)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "No space left" in err
        assert len(err.strip().splitlines()) == 1
        subprocess.run(["mount", "-o", "remount,size=100m", str(tmp_path / "chaos")], check=True)
        process = start(tmp_path, resume=True)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        state = SweepState.replay(read_journal(tmp_path / "chaos"))
        assert len(state.trials) == TRIALS
        assert all([row["epoch"] for row in t.rows] == list(range(1, t.epochs + 1)) for t in state.trials.values())
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "chaos")], check=True)


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_killed_worker_of_two_is_tried_again_from_the_checkpoint(tmp_path):
    die = (
        "import os, pathlib, torch.distributed as dist\n"
        "        mark = pathlib.Path(__file__).with_suffix('.died')\n"
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        if self.calls == 25 and dist.get_rank() == 1 and not mark.exists():\n"
        "            mark.touch()\n            os._exit(1)\n        return (model"
    )
    file = tmp_path / "dying.py"
    file.write_text(Path(TOY_FILE).read_text().replace("return (model", die, 1))
    sweep, ref = find_sweep(str(file))
    sweep = override(sweep, trials=1, epochs=8, scheduler="none", space={}, searcher="random")
    sweep = override(sweep, hyperparameters={"lr": 0.01, "batch_size": 8})
    plan = make_plan(sweep, ref, name="workers", request=DataRequest())
    resources = Resources(num_gpus=0, workers_per_trial=2, cpus_per_trial=2)
    folder = tmp_path / "workers"
    result = run_sweep(plan, folder, resources, data_dir=tmp_path / "data", resume=False)
    assert (tmp_path / "dying.died").exists()
    trial = result.state.trials[0]
    assert (trial.status, trial.attempts) == (Status.COMPLETED, 2)
    assert [row["epoch"] for row in trial.rows] == list(range(1, 9))
    causes = [line["cause"] for line in read_journal(folder) if line["type"] == "end" and line.get("cause")]
    assert causes == ["killed"]


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_object_storage_that_is_away_for_20_s_fails_no_trial(tmp_path, monkeypatch):
    """A real S3 server, stopped in the middle of a sweep and started again; then another machine reads the sweep."""
    import boto3
    from moto.server import ThreadedMotoServer

    from balltrain.storage import Storage

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("XDG_CACHE_HOME", str(tmp_path / "cache")),
    ):
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="sweeps")
    storage = Storage("s3://sweeps/all")
    slow_toy(tmp_path)
    process = start(tmp_path, resume=False, storage="s3://sweeps/all")
    wait_for_lines(storage.root / "chaos" / "journal.jsonl", 40)
    server.stop()
    print("the server is away")
    time.sleep(20)
    assert process.poll() is None, process.stderr.read()
    server = ThreadedMotoServer(port=port)
    server.start()
    try:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert json.loads(out)["failed"] == 0
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
        folder = Storage("s3://sweeps/all").open("chaos")
        state = SweepState.replay(read_journal(folder))
        assert len(state.trials) == TRIALS
        for trial in state.trials.values():
            assert trial.attempts == 1
            assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
        assert len(pd.read_parquet(folder / "trials.parquet")) == TRIALS
    finally:
        server.stop()
