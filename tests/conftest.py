import os
import time
from pathlib import Path

import pytest

# never a machine's own key, never the network
os.environ.pop("WANDB_API_KEY", None)
os.environ["NETRC"] = os.devnull
os.environ["WANDB_ERROR_REPORTING"] = "false"


@pytest.fixture(scope="session")
def shared_data_dir(tmp_path_factory) -> Path:
    """One cache of decoded data for all tests that do not test the cache."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder: (exit code, stdout, stderr)."""
    from balltrain.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def reds(tmp_path_factory) -> Path:
    """Checkpoints of the classifier of `reds.py`: a, b and c of the same data, `other` of other; the data in d."""
    import torch
    from reds import REDS_FILE

    from balltrain.data.cache import load_data
    from balltrain.tasks import task_ref
    from balltrain.tasks.base import DataRequest
    from balltrain.training.checkpoint import CheckpointConfig, save_config
    from balltrain.training.loop import fit

    root = tmp_path_factory.mktemp("reds")
    ref = task_ref(REDS_FILE)
    task = ref.load()
    for seed, name in enumerate(("a", "b", "c", "other")):
        request = DataRequest(size=100 if name == "other" else 200)
        dataset = load_data(ref, task, request, root / "d")
        hp = task.Hyperparameters(epochs=2, any_shape=name != "c")
        config = CheckpointConfig(ref, hp.model_dump(), seed, request, dataset.facts, dataset.fingerprint)
        save_config(root / name, config)
        fit(task, hp, dataset, seed=seed, folder=root / name, report=lambda row: None, device=torch.device("cpu"))
    return root


@pytest.fixture
def make_toy_plan():
    """Make the plan of a sweep of `toy.py`, with options in place of its own."""
    from toy import TOY_FILE

    from balltrain.search.plan import make_plan
    from balltrain.search.sweep import override
    from balltrain.search.sweep_files import find_sweep
    from balltrain.tasks.base import DataRequest

    def make(**options):
        sweep, ref = find_sweep(TOY_FILE)
        return make_plan(override(sweep, **options), ref, name="toy-sweep", request=DataRequest())

    return make


@pytest.fixture
def simulate():
    from simulation import Simulation

    return Simulation


@pytest.fixture(scope="module")
def s3_server():
    """A real S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server, monkeypatch, tmp_path):
    """The URI of an empty bucket, with a cache folder of its own for this machine's side."""
    import boto3

    host, port = s3_server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"bucket-{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/sweeps"
