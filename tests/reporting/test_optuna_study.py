"""A sweep as an Optuna study, read by Optuna and by optuna-dashboard."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from balltrain.cli import main
from balltrain.errors import BalltrainError, UsageError
from balltrain.records.results import load_results
from balltrain.reporting.optuna_study import distributions_of, export_study


def failing(number: int) -> str | None:
    return {3: "nan", 5: "OutOfMemoryError: tried 2 GiB"}.get(number)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def test_the_study_is_the_sweep(sweep, url: str):
    results = sweep(failing=failing)
    assert export_study(results, url) == 24
    study = optuna.load_study(study_name="bowl-1", storage=url)
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    states = {"completed": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
    assert [trial.state for trial in study.trials] == [states[status] for status in results.trials["status"]]
    assert {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL} == {trial.state for trial in study.trials}
    finished = results.trials[results.trials["status"] == "completed"].sort_values("objective")
    assert study.best_trial.user_attrs["trial_id"] == finished.iloc[0]["trial_id"]
    assert study.best_value == finished.iloc[0]["objective"]
    for trial, (_, row) in zip(study.trials, results.trials.iterrows(), strict=True):
        curve = results.epochs[results.epochs["trial_id"] == row["trial_id"]].set_index("epoch")["val_loss"]
        assert trial.intermediate_values == curve.dropna().to_dict()
        assert trial.params["lr"] == row["config.lr"]
        assert trial.duration.total_seconds() == pytest.approx((row["ended_at"] - row["started_at"]).total_seconds())
    assert study.trials[5].user_attrs["error"].startswith("OutOfMemoryError")
    assert study.user_attrs["data_fingerprint"] == results.sweep["data_fingerprint"]


def test_distributions_are_those_of_the_space(sweep, url: str):
    results = sweep()
    export_study(results, url)
    trials = optuna.load_study(study_name="bowl-1", storage=url).trials
    assert trials[0].distributions["lr"] == FloatDistribution(1e-5, 1e-1, log=True)
    assert trials[0].distributions["width"] == IntDistribution(8, 127)
    assert trials[0].distributions["activation"] == CategoricalDistribution(["relu", "gelu"])
    assert trials[0].distributions["layers"] == CategoricalDistribution(["[16, 32]", "[32, 64, 128]"])
    dropout = results.trials["config.dropout"]
    assert [("dropout" in trial.params) for trial in trials] == dropout.notna().tolist()
    (found,) = {trial.distributions["dropout"] for trial in trials if "dropout" in trial.params}
    assert found == FloatDistribution(0.0, 0.5)
    assert "batch_size" not in trials[0].params  # a constant


def test_alternatives_of_a_choice_become_one():
    space = {
        "dropout": {"choice": [0.0, {"float": [0.1, 0.45]}]},
        "method": {"choice": [{"optimizer": "adam"}, {"optimizer": "sgd", "momentum": {"float": [0.5, 0.9]}}]},
        "head": {"choice": [{"units": 3, "bias": True}, None]},  # an object, which is no hyperparameters of their own
        "layers": {"int": [4, 16], "step": 4},
    }
    config = {"dropout": 0.0, "optimizer": "adam", "momentum": 0.7, "head": None, "layers": 8}
    assert distributions_of(space, [config]) == {
        "dropout": FloatDistribution(0.0, 0.45),
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "momentum": FloatDistribution(0.5, 0.9),
        "head": CategoricalDistribution(['{"units": 3, "bias": true}', None]),
        "layers": IntDistribution(4, 16),
    }


def test_a_sweep_that_runs_is_exported_and_again_when_it_has_ended(simulate, tmp_path: Path, url: str):
    simulation = simulate(trials=8)
    for _ in range(12):
        simulation.step()
    export_study(load_results(tmp_path, simulation.write(tmp_path).name), url)
    states = [trial.state for trial in optuna.load_study(study_name="bowl-1", storage=url).trials]
    assert TrialState.RUNNING in states
    while simulation.step():
        pass
    export_study(load_results(tmp_path, simulation.write(tmp_path).name), url)
    states = [trial.state for trial in optuna.load_study(study_name="bowl-1", storage=url).trials]
    assert len(states) == 8
    assert TrialState.RUNNING not in states


def test_maximised_objectives_stay_so(sweep, url: str, accurate):
    export_study(sweep(task=accurate), url)
    study = optuna.load_study(study_name="bowl-1", storage=url)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_a_study_of_someone_else_is_left_alone(sweep, url: str):
    optuna.create_study(study_name="bowl-1", storage=url)
    with pytest.raises(BalltrainError, match=r"has a study 'bowl-1' that is not of balltrain: give another --optuna"):
        export_study(sweep(), url)


@pytest.mark.parametrize("url", ["study.db", "nosuch:///study.db"])
def test_a_wrong_url_is_named(sweep, url: str):
    with pytest.raises(UsageError, match=f"--optuna {url}: .*sqlite:///study.db"):
        export_study(sweep(), url)


def test_a_folder_that_is_not_there_is_named(sweep, tmp_path: Path):
    with pytest.raises(BalltrainError, match=r"cannot write the study to sqlite:.*unable to open"):
        export_study(sweep(), f"sqlite:///{tmp_path}/nowhere/x.db")


def test_optuna_dashboard_shows_it(sweep, url: str, capsys):
    results = sweep(failing=failing)
    with pytest.raises(SystemExit) as end:
        main(["results", "export", "bowl-1", "--optuna", url, "--storage", str(results.folder.parent)])
    assert end.value.code == 0
    assert f"optuna-dashboard {url}" in capsys.readouterr().out
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from optuna_dashboard._cli import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", code, url, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        (study,) = get(port, "/api/studies")["study_summaries"]
        assert study["study_name"] == "bowl-1"
        found = get(port, f"/api/studies/{study['study_id']}?after=0")
    finally:
        server.terminate()
        server.wait()
    states = [trial["state"] for trial in found["trials"]]
    counts = {"completed": "Complete", "stopped": "Pruned", "failed": "Fail"}
    assert all(states.count(state) == results.counts[status] for status, state in counts.items())
    best = next(t for t in found["trials"] if t["number"] == found["best_trials"][0]["number"])
    assert len(best["intermediate_values"]) == 12
    assert {param["name"] for param in best["params"]} >= {"lr", "width", "layers"}


def get(port: int, path: str) -> dict:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return json.load(answer)
        except (ConnectionError, urllib.error.URLError):
            assert time.monotonic() < deadline, "optuna-dashboard does not answer"
            time.sleep(0.2)


def test_the_default_of_results_is_to_show(sweep, capsys):
    results = sweep()
    for arguments, expected in (
        (["results", "bowl-1"], "best checkpoint"),
        (["results", "--top", "3", "bowl-1"], "best checkpoint"),
        (["results"], "started (UTC)"),
        (["results", "--help"], "results export NAME"),
        (["results", "export", "--help"], "Optuna study"),
    ):
        storage = [] if "--help" in arguments else ["--storage", str(results.folder.parent)]
        with pytest.raises(SystemExit) as end:
            main([*arguments, *storage])
        assert end.value.code == 0
        assert expected in capsys.readouterr().out
