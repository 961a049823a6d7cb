"""Sweeps on three nodes of one Ray cluster: nodes on this machine, each with a cache folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from toy import TOY_FILE

from balltrain.errors import BalltrainError
from balltrain.execution import node_checks, ray_internals
from balltrain.execution.joining import make_token, token_file
from balltrain.execution.nodes import nodes_expected
from balltrain.execution.placement import place
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.records.columns import Status
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

TRIALS, EPOCHS = 9, 40


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path_factory):
    """A token of this test's own, that Ray's processes find too."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    ray_internals.read_environment_again()  # a test before this one may have been on a Ray with a token
    yield
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray_internals.read_environment_again()


@pytest.fixture
def start_cluster(tmp_path, monkeypatch):
    """Start a cluster of nodes with so many CPUs, each with its own cache; ended after the test."""
    from ray.cluster_utils import Cluster

    started = []

    def start(*nodes, **more):
        def environment(number):
            return {"XDG_CACHE_HOME": str(tmp_path / f"node{number}")}

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node0"))
        head, *workers = [node if isinstance(node, dict) else {"num_cpus": node} for node in nodes]
        cluster = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False, **more})
        started.append(cluster)
        cluster.workers = [
            cluster.add_node(**node, env_vars=environment(number)) for number, node in enumerate(workers, 1)
        ]
        cluster.environment = environment
        return cluster

    yield start
    for cluster in started:
        cluster.shutdown()


def counting_toy(folder):
    """The toy task, that notes where its data is built, with epochs of half a second until that is on 4 nodes."""
    text = Path(TOY_FILE).read_text()
    slow = f"import time; time.sleep(0.5 if open({str(folder / 'built')!r}).read().count('node') < 4 else 0)"
    text = text.replace('return {"y"', slow + '\n        return {"y"')
    note = f"open({str(folder / 'built')!r}, 'a').write(str(arrays.folder.parents[2].parent.name) + '\\n')"
    file = folder / "counting.py"
    file.write_text(text.replace("size = request.size", f"{note}\n        size = request.size", 1))
    return file


def run(file, tmp_path, cluster, resources=None, on_phase=lambda phase: None, **options):
    sweep, ref = find_sweep(str(file))
    options = {"trials": TRIALS, "epochs": EPOCHS, "scheduler": "none", "searcher": "random", **options}
    plan = make_plan(override(sweep, **options), ref, name="nodes", request=DataRequest())
    resources = resources or Resources(num_gpus=0, cpus_per_trial=1, address=cluster.address)
    folder, more = tmp_path / "nodes", {"data_dir": None, "on_phase": on_phase}
    return run_sweep(plan, folder, resources, resume=False, **more)


def wait_until(condition, what):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, f"not within 90 s: {what}"
        time.sleep(0.02)


@pytest.mark.chaos
def test_a_node_is_lost_another_joins_and_each_builds_its_data_once(start_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("balltrain.execution.runner.LOOK_AT_NODES_EVERY_S", 0.5)
    cluster = start_cluster(1, 1, 1)
    journal = tmp_path / "nodes" / "journal.jsonl"

    with ThreadPoolExecutor() as executor:  # Ray adds nodes in the main thread alone
        running = executor.submit(run, counting_toy(tmp_path), tmp_path, cluster)
        wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 20, "the sweep reports")
        cluster.remove_node(cluster.workers[0])
        cluster.add_node(num_cpus=2, env_vars=cluster.environment(3))
        result = running.result()
    trials = result.state.trials.values()
    assert [trial.status for trial in trials] == [Status.COMPLETED] * TRIALS
    assert all([row["epoch"] for row in trial.rows] == list(range(1, EPOCHS + 1)) for trial in trials)
    assert sum(trial.lost_attempts for trial in trials) == 1
    assert sum(trial.attempts for trial in trials) == TRIALS + 1
    built = Counter((tmp_path / "built").read_text().split())
    assert built == {"node0": 1, "node1": 1, "node2": 1, "node3": 1}


def test_a_token_does_not_keep_from_a_cluster_without(start_cluster, tmp_path, monkeypatch):
    """Of another Ray: a process that uses it cannot start actors on this one."""
    cluster = start_cluster(1)
    make_token()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert token_file().is_file()
    result = run(TOY_FILE, tmp_path, cluster, trials=1, epochs=1)
    assert [trial.status for trial in result.state.trials.values()] == [Status.COMPLETED]


def test_a_node_with_another_version_is_named(start_cluster, tmp_path):
    other = tmp_path / "other" / "balltrain-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: balltrain\nVersion: 9.9\n")
    path = os.pathsep.join([str(other.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    cluster = start_cluster(1)
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path})
    with pytest.raises(BalltrainError, match=r"\(\S+\).* has balltrain 9\.9 instead of .*: install the same on all"):
        run(TOY_FILE, tmp_path, cluster)
    assert not (tmp_path / "nodes").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a node that sees another folder")
@pytest.mark.slow
def test_a_storage_that_one_node_does_not_share_is_refused(start_cluster, tmp_path):
    cluster = start_cluster(1)
    (tmp_path / "runs").mkdir()
    start = f"{sys.executable} -m ray.scripts.scripts start --address={cluster.address} --num-cpus=1 --block"
    command = ["unshare", "--mount", "bash", "-c", f"mount -t tmpfs none {tmp_path}/runs && exec {start}"]
    node = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(cluster.global_state.node_table()) == 2, "the node joins")
        with pytest.raises(BalltrainError, match=r"the node .* --storage .*runs.*: use a folder that all nodes see"):
            run(TOY_FILE, tmp_path / "runs", cluster)
        assert list((tmp_path / "runs").iterdir()) == []
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(timeout=30)


HEAD = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
print("ADDRESS", cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_that_wants_a_token_is_joined_with_the_token_alone(tmp_path):
    home, other = tmp_path / "home", tmp_path / "other"
    for number, folder in enumerate((home, other)):
        (folder / ".ray").mkdir(parents=True)
        (folder / ".ray" / "auth_token").write_text(f"{number}" * 64)
    with_token = {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token"}
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD], env=with_token, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

    def sweep(folder):
        environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
        command = [sys.executable, "-m", "balltrain.cli", "sweep", TOY_FILE, "--address", address, "--trials", "1"]
        command += ["--epochs", "1", "--storage", str(tmp_path), "--name", folder.name, "--wandb", "off", "--json"]
        return subprocess.run(
            command, env={**environment, "HOME": str(folder)}, capture_output=True, text=True, timeout=60, check=False
        )

    try:
        address = next(line for line in head.stdout if line.startswith("ADDRESS")).split()[1]
        with ThreadPoolExecutor() as executor:
            found, refused, without = executor.map(sweep, (home, other, tmp_path))
        assert found.returncode == 0, found.stderr
        assert refused.returncode == 1
        assert "wants its token, this machine has another" in refused.stderr
        assert "wants its token, this machine has none" in without.stderr
        assert without.stderr.count("\n") == 1
    finally:
        head.communicate("\n", timeout=60)


@pytest.mark.parametrize("before", [None, 0o644])
def test_the_token_of_a_ray_of_our_own_is_its_owners_alone(before, tmp_path):
    file = tmp_path / ".ray" / "auth_token"
    if before:
        file.parent.mkdir()
        file.write_text("0" * 64)
        file.chmod(before)
    code = "from balltrain.execution.joining import make_token; make_token(); print('made')"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("RAY_AUTH_MODE", None)
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "made\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text()) == 64
    assert [path.name for path in file.parent.iterdir()] == ["auth_token"]


def test_keys_travel_with_the_trials_and_are_shown_nowhere(monkeypatch):
    from balltrain.execution.trial import TrialContext

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdef")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")  # the sweep's own process logs in
    passed = node_checks.environment()
    assert passed["AWS_SECRET_ACCESS_KEY"] == "abcdef"
    assert "WANDB_API_KEY" not in passed
    fields = dict.fromkeys(TrialContext.__dataclass_fields__)
    assert "abcdef" not in repr(TrialContext(**{**fields, "environment": passed}))


@pytest.mark.slow
def test_gpus_that_an_autoscaler_may_start_are_waited_for_and_more_are_refused(start_cluster, tmp_path, monkeypatch):
    """The autoscaler is the test: it adds a node when the sweep says for what it waits."""
    cluster = start_cluster(1)
    phases = []
    with pytest.raises(BalltrainError, match="1 GPUs were asked for, but there are 0 GPUs and 1 CPUs"):
        run(TOY_FILE, tmp_path, cluster, Resources(num_gpus=1, address=cluster.address))
    types = {
        "head": {"resources": {"CPU": 1}},
        "worker": {"resources": {"CPU": 2, "GPU": 1}, "max_workers": 8},
    }
    launched = {"max_workers": 2, "head_node_type": "head", "available_node_types": types}
    (Path(os.environ["HOME"]) / "ray_bootstrap_config.yaml").write_text(json.dumps(launched))
    with pytest.raises(
        BalltrainError, match=r"there are 2 GPUs .*--num-gpus 2 \(the autoscaler's maximum, max_workers"
    ):
        run(TOY_FILE, tmp_path, cluster, Resources(num_gpus=3, address=cluster.address))
    with ThreadPoolExecutor() as executor:
        resources = Resources(num_gpus=2, address=cluster.address)
        more = {"on_phase": phases.append, "trials": 2, "epochs": 1}
        running = executor.submit(run, TOY_FILE, tmp_path, cluster, resources, **more)
        wait_until(lambda: any("waiting" in phase for phase in phases) or running.done(), "the sweep waits")
        cluster.add_node(num_cpus=2, num_gpus=1)
        result = running.result()
    waiting = next(phase for phase in phases if "waiting" in phase)
    assert waiting.startswith("waiting for a node with 2 CPU and 1 GPU: the cluster has 1 CPU and 0 GPU and may grow")
    assert result.state.sweep["placement"]["concurrency"] == 2
    assert [trial.status for trial in result.state.trials.values()] == [Status.COMPLETED] * 2


def test_workers_of_a_trial_are_on_one_node_where_they_fit(start_cluster):
    """Nodes with 1, 2 and 1 GPUs: Ray's own packing takes the first that has room for one worker."""
    import ray
    from ray.util.placement_group import placement_group, placement_group_table

    gpus = [{"num_cpus": 2, "num_gpus": count} for count in (1, 2, 1)]
    cluster = start_cluster(*gpus)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        options = {"num_gpus": None, "workers_per_trial": None, "cpus_per_trial": None}
        two = place(nodes_expected(), gpus_per_trial=2, **options)
        assert (two.workers, two.strategy, two.concurrency) == (2, "STRICT_PACK", 1)
        group = placement_group([two.worker_resources] * 2, strategy=two.strategy)
        assert group.wait(10)
        placed = placement_group_table(group)["bundles_to_node_id"]
        assert set(placed.values()) == {cluster.workers[0].node_id}
        three = place(nodes_expected(), gpus_per_trial=3, **options)
        assert (three.strategy, three.concurrency) == ("PACK", 1)
    finally:
        ray.shutdown()
