"""MLflow: a real server on this machine, and a database; and servers that are none."""

import random
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from proxy import Proxy

from balltrain.cli import main
from balltrain.errors import BalltrainError, UsageError
from balltrain.tracking import mirrors as mirrors_module
from balltrain.tracking.mirrors import Mirrors, mirrored
from balltrain.tracking.mlflow import MlflowMirror, check_mlflow


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URI of an MLflow server."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    uri, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)
    yield uri
    import os
    import signal

    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def follow(sim, uri, **run):
    with mirrored(sim.folder, Mirrors(mlflow=uri).build(sim.folder)):
        sim.run(**run)


def runs_of(uri, name="toy-sweep"):
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    return client, {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def check(sim, uri, name="toy-sweep"):
    client, runs = runs_of(uri, name)
    assert set(runs) == {trial.trial_id for trial in sim.state.trials.values()}
    for trial in sim.state.trials.values():
        run = runs[trial.trial_id]
        history = client.get_metric_history(run.info.run_id, "val_loss")
        assert [(metric.step, metric.value) for metric in history] == sim.curve(trial.number)
        assert run.data.params["lr"] == repr(trial.config["lr"])
        assert run.data.metrics["best_objective"] == trial.objective
        assert run.data.tags["status"] == trial.status
        assert run.info.status == "FINISHED"


def test_answers_that_are_lost_make_no_run_and_no_row_twice(written, server):
    """The mirror's requests go through a proxy that loses the answer to one in three, which was followed."""
    host, port = server.removeprefix("http://").split(":")
    sim, lost = written(trials=4, epochs=2), 0
    sim.run()
    sim.state.sweep["name"] = "lossy"
    with Proxy((host, int(port))) as proxy:
        mirror = MlflowMirror(f"http://127.0.0.1:{proxy.port}")
        proxy.loses = random.Random(0), 1 / 3
        for step in (lambda: mirror.open(sim.state), *(partial(mirror.update, t) for t in sim.state.trials.values())):
            while True:  # as the mirror's thread does
                try:
                    step()
                    break
                except MlflowException:
                    lost += 1
    assert lost > 4
    client = MlflowClient(tracking_uri=server)
    found = client.search_runs([client.get_experiment_by_name("lossy").experiment_id])
    assert len(found) == 4
    check(sim, server, "lossy")


def test_a_server_gets_a_run_a_trial_and_a_resumed_sweep_goes_on_with_them(written, server):
    sim = written(trials=5)
    follow(sim, server, max_reports=5)
    again = written(trials=5)
    follow(again, server)
    check(again, server)


def test_a_database_will_do_and_a_sweep_that_ended_is_sent_afterwards(written, tmp_path):
    sim = written()
    sim.run()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    again = written()
    follow(again, uri)
    check(again, uri)


@pytest.fixture(params=["refuses", "hangs", "answers 500"])
def broken(request, broken_server):
    return broken_server(request.param)


def test_a_broken_server_costs_the_trials_nothing_and_is_named(written, broken, capsys, monkeypatch):
    monkeypatch.setattr(mirrors_module, "STALL_S", 1.0)
    sim = written(trials=30)
    with mirrored(sim.folder, Mirrors(mlflow=broken).build(sim.folder)):
        time.sleep(1.0)  # it has begun to try
        start = time.monotonic()
        sim.run()
        seconds = time.monotonic() - start
        start = time.monotonic()
    assert seconds < 10  # five a trial, if they waited for it
    assert time.monotonic() - start < 30
    assert len(sim.state.ended_in_order) == 30
    assert "MLflow: " in capsys.readouterr().err


def test_a_server_that_was_away_gets_everything(written, monkeypatch, tmp_path):
    """It fails for the first rows, and has all of them in the end."""
    from balltrain.tracking.mlflow import MlflowMirror

    monkeypatch.setattr(mirrors_module, "POLL_S", 0.05)
    update, failures = MlflowMirror.update, []

    def away(self, trial):
        if len(failures) < 4:
            failures.append(trial.number)
            raise ConnectionError("away")
        update(self, trial)

    monkeypatch.setattr(MlflowMirror, "update", away)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    sim = written()
    with mirrored(sim.folder, Mirrors(mlflow=uri).build(sim.folder)):
        sim.run()
        deadline = time.monotonic() + 20
        while len(failures) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
    check(sim, uri)


def test_without_mlflow_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BalltrainError, match=r"pip install 'balltrain\[mlflow\]'"):
        check_mlflow("http://localhost:5000")


@pytest.mark.parametrize("uri", ["localhost:5000", "mlflow.db", "s3://bucket"])
def test_what_is_no_tracking_uri_is_refused_before_anything_runs(uri, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is no tracking URI"):
        check_mlflow(uri)
    with pytest.raises(SystemExit) as end:
        main(["sweep", "detect", "--mlflow", uri])
    assert end.value.code == 2
    assert uri in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_named_before_the_sweep_starts():
    assert "does not answer" in check_mlflow(f"http://127.0.0.1:{free_port()}")
