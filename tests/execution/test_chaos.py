"""`make chaos`: sweeps of each kind killed in each way, on lost nodes, full disks and without their storage."""

import os
import random
import subprocess
import time

import pandas as pd
import pytest
import torch
from chaos_sweeps import WAYS, ChaosSweep, kill_all

from balltrain.data.cache import load_data
from balltrain.records.columns import Status
from balltrain.records.journal import read_journal
from balltrain.search.controller import Controller
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest
from balltrain.training.checkpoint import load_checkpoint
from balltrain.training.outputs import evaluate

TRIALS, EPOCHS = 12, 30


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ChaosSweep.KINDS)
def test_kills_of_seven_kinds_lose_nothing_run_nothing_twice_and_leave_nothing(tmp_path, kind):
    sweep, moments = ChaosSweep(tmp_path, kind), random.Random(0)
    process = sweep.start()
    time.sleep(moments.uniform(1, 6))  # before Ray is up, or the first report
    kill_all(sweep, process)
    process = None
    for way in [*WAYS, "all processes"]:
        process = process or sweep.start()
        sweep.wait_for_lines(process, moments.randrange(4, 10))
        assert process.poll() is None, process.stderr.read()
        began = time.monotonic()
        WAYS[way](sweep, process)
        sweep.check_nothing_lost()
        print(f"{kind}, {way}: {len(sweep.reported)} epochs, {time.monotonic() - began:.1f} s")
        process = process if process.poll() is None else None
    state = sweep.finish(process)
    assert sum(trial.attempts - trial.lost_attempts for trial in state.trials.values()) <= TRIALS + 1  # the trial
    if kind == "task":
        check_rungs_and_best(tmp_path, sweep, state)


def check_rungs_and_best(tmp_path, chaos, state):
    """Rungs are those that the rows alone make, and the best's checkpoint has its figures."""
    sweep, ref = find_sweep(str(tmp_path / "slow_toy.py"))
    plan = make_plan(override(sweep, trials=TRIALS, epochs=EPOCHS), ref, name="chaos", request=DataRequest())
    for epoch, recorded in Controller(plan, state, journal=None, concurrency=1).rungs().items():
        reached = {t.trial_id: t.rows[epoch - 1]["objective"] for t in state.trials.values() if t.epochs >= epoch}
        assert recorded == reached
    loaded = load_checkpoint(chaos.sweep_folder / "best")
    dataset = load_data(ref, loaded.task, DataRequest(), tmp_path / "data")
    figures = evaluate(loaded.task, loaded.hp, loaded.model, dataset, "val", torch.device("cpu"))
    assert figures["loss"] == pytest.approx(state.best.objective, rel=1e-5)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ChaosSweep.KINDS)
def test_a_node_that_is_lost_costs_its_trials_no_retry(tmp_path, kind):
    """Two nodes of one Ray cluster on this machine; one is removed while its trial trains."""
    from ray.cluster_utils import Cluster

    sweep = ChaosSweep(tmp_path, kind)
    sweep.trials, sweep.epochs = 4, 2 * sweep.epochs
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    try:
        process = sweep.start("--address", cluster.address, "--cpus-per-trial", "1", "--scheduler", "none")
        sweep.wait_for_lines(process, 20)
        cluster.remove_node(second)
        state = sweep.finish(process)
    finally:
        cluster.shutdown()
    trials = state.trials.values()
    assert [trial.status for trial in trials] == [Status.COMPLETED] * 4
    assert sum(trial.lost_attempts for trial in trials) >= 1
    assert sum(trial.attempts for trial in trials) == 4 + sum(trial.lost_attempts for trial in trials)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
@pytest.mark.parametrize("kind", ChaosSweep.KINDS)
def test_a_full_disk_ends_the_sweep_with_a_reason_and_it_resumes(tmp_path, kind):
    sweep = ChaosSweep(tmp_path, kind)
    sweep.sweep_folder.mkdir(parents=True)
    # the whole sweep takes several times as much
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(sweep.sweep_folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        process = sweep.start()
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "No space left" in err
        assert len(err.strip().splitlines()) == 2, err  # and the command that goes on
        sweep.check_nothing_lost()
        subprocess.run(["mount", "-o", "remount,size=100m", str(sweep.sweep_folder)], check=True)
        sweep.finish()
    finally:
        subprocess.run(["umount", "-l", str(sweep.sweep_folder)], check=True)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["task", "function"])
def test_a_killed_worker_of_two_is_tried_again_from_the_checkpoint(tmp_path, kind):
    sweep = ChaosSweep(tmp_path, kind)
    sweep.trials, sweep.epochs = 1, 8
    file = tmp_path / ("slow_toy.py" if kind == "task" else "job.py")
    before = "return (model" if kind == "task" else "loss = ("
    die = (
        "import os, pathlib, torch.distributed as dist\n"
        "        mark = pathlib.Path(__file__).with_suffix('.died')\n"
        "        calls = globals()['CALLS'] = globals().get('CALLS', 0) + 1\n"
        f"        if calls == {25 if kind == 'task' else 4} and dist.get_rank() == 1 and not mark.exists():\n"
        f"            mark.touch()\n            os._exit(1)\n        {before}"
    )
    file.write_text(file.read_text().replace(before, die, 1))
    process = sweep.start("--workers-per-trial", "2", "--cpus-per-trial", "2", "--scheduler", "none")
    state = sweep.finish(process)
    assert file.with_suffix(".died").exists()
    trial = state.trials[0]
    assert (trial.status, trial.attempts, trial.epochs) == (Status.COMPLETED, 2, 8)
    causes = [
        line["cause"] for line in read_journal(sweep.sweep_folder) if line["type"] == "end" and line.get("cause")
    ]
    assert causes == ["killed"]


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ChaosSweep.KINDS)
def test_object_storage_that_is_away_for_20_s_fails_no_trial(tmp_path, monkeypatch, kind):
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
    sweep = ChaosSweep(tmp_path, kind, storage="s3://sweeps/all")
    sweep.sweep_folder = Storage("s3://sweeps/all").root / "chaos"
    process = sweep.start()
    sweep.wait_for_lines(process, 30)
    server.stop()
    print("the server is away")
    time.sleep(20)
    assert process.poll() is None, process.stderr.read()
    server = ThreadedMotoServer(port=port)
    server.start()
    try:
        sweep.finish(process)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
        sweep.sweep_folder = Storage("s3://sweeps/all").open("chaos")
        state = sweep.checked_state()
        assert {trial.attempts for trial in state.trials.values()} == {1}
        assert len(pd.read_parquet(sweep.sweep_folder / "trials.parquet")) == TRIALS
    finally:
        server.stop()
