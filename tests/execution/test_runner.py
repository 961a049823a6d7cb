"""Sweeps on a real Ray, on this machine."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from ray import tune
from toy import TOY_FILE
from wandb_files import read_wandb_run

from balltrain.errors import BalltrainError
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.records.columns import Decision, Status
from balltrain.records.journal import read_journal
from balltrain.tracking.mirrors import NO_MIRRORS, Mirrors
from balltrain.training.checkpoint import load_checkpoint

STOPS_MANY = 110  # a seed whose first trial is good and whose second one bad, so that ASHA stops it


@pytest.fixture
def sweep(make_toy_plan, tmp_path):
    """Run the toy sweep with other options; returns its result."""

    def run(resources=None, mirrors=NO_MIRRORS, resume=False, **options):
        return run_sweep(
            make_toy_plan(**options),
            tmp_path / "runs" / "toy-sweep",
            resources or Resources(num_gpus=0, cpus_per_trial=1),
            data_dir=tmp_path / "data",
            mirrors=mirrors,
            resume=resume,
        )

    return run


def test_a_sweep_from_proposals_to_parquet_and_wandb(sweep):
    result = sweep(trials=24, epochs=9, grace=1, mirrors=Mirrors(wandb="offline"))
    trials = pd.read_parquet(result.folder / "trials.parquet")
    epochs = pd.read_parquet(result.folder / "epochs.parquet")

    # HyperOpt proposes: the first 20 at random, then near the best
    assert len(trials) == 24
    assert trials["config.lr"].nunique() == 24
    assert trials["config.lr"].between(1e-5, 1e-1).all()
    assert set(trials["config.batch_size"]) == {8, 16}
    assert trials["digest"].nunique() == 24  # as many as learning rates
    assert trials["first_loss"].nunique() == 2  # one a batch size: all trials share the seed of that

    # ASHA stops
    assert set(trials["status"]) == {Status.COMPLETED, Status.STOPPED}
    stopped = trials[trials["status"] == Status.STOPPED]
    assert len(stopped) >= 8
    assert set(stopped["epochs"]) <= {1, 3}
    assert (epochs.groupby("trial_id")["epoch"].max() == trials.set_index("trial_id")["epochs"]).all()
    assert set(epochs["decision"]) == {Decision.CONTINUE, Decision.STOP, Decision.COMPLETE}

    # the best checkpoint evaluates to its row
    best = trials.loc[trials["objective"].idxmin()]
    loaded = load_checkpoint(result.folder / "best")
    assert loaded.config["hyperparameters"]["lr"] == best["config.lr"]
    assert loaded.config["data"]["fingerprint"] == best["data_fingerprint"]

    # sweep.json says what was run
    sweep_json = json.loads((result.folder / "sweep.json").read_text())
    assert sweep_json["versions"]["ray"]
    assert sweep_json["ended_at"] >= sweep_json["created_at"]
    assert sweep_json["data_fingerprint"] == best["data_fingerprint"]
    assert not (result.folder / ".ray").exists()

    # W&B: a run a trial, with its config, a row an epoch and a summary
    runs = {run["id"]: run for run in map(read_wandb_run, (result.folder / "wandb").glob("offline-run-*/*.wandb"))}
    assert set(runs) == {f"toy-sweep-{trial_id}" for trial_id in trials["trial_id"]}
    run = runs[f"toy-sweep-{best['trial_id']}"]
    assert run["group"] == "toy-sweep"
    assert run["job_type"] == "toy"
    assert run["config"]["lr"] == best["config.lr"]
    curve = epochs[epochs["trial_id"] == best["trial_id"]]
    assert [row["epoch"] for row in run["history"]] == curve["epoch"].tolist()
    assert [row["val_loss"] for row in run["history"]] == curve["val_loss"].tolist()
    assert run["finished"]


def test_errors_of_trials_are_recorded_and_the_sweep_goes_on(tmp_path):
    file = tmp_path / "breaking.py"
    text = Path(TOY_FILE).read_text()
    broken = 'if hp.batch_size == 8:\n            raise ValueError("eight is too few")\n        return (model'
    file.write_text(text.replace("return (model", broken, 1))
    result = sweep_of(file, tmp_path, trials=6)
    failed = [trial for trial in result.state.trials.values() if trial.config["batch_size"] == 8]
    assert failed
    line = text[: text.index("return (model")].count("\n") + 2
    error = f"breaking.py, line {line}, in loss: ValueError: eight is too few"
    assert all((trial.status, trial.error) == (Status.FAILED, error) for trial in failed)
    assert all(trial.attempts == 1 for trial in failed)
    others = [trial for trial in result.state.trials.values() if trial.config["batch_size"] == 16]
    assert others
    assert all(trial.status in (Status.COMPLETED, Status.STOPPED) for trial in others)


def sweep_of(file, tmp_path, **options):
    from balltrain.search.plan import make_plan
    from balltrain.search.sweep import override
    from balltrain.search.sweep_files import find_sweep
    from balltrain.tasks.base import DataRequest

    found, ref = find_sweep(str(file))
    plan = make_plan(override(found, **options), ref, name="s", request=DataRequest())
    resources = Resources(num_gpus=0)
    return run_sweep(plan, tmp_path / "s", resources, data_dir=tmp_path / "data", resume=False)


@pytest.mark.slow
def test_a_task_that_is_a_text_without_a_file_runs_on_workers(tmp_path, monkeypatch):
    """As that of a notebook's cell is."""
    import dataclasses

    from balltrain.execution.preflight import forecast_sweep
    from balltrain.search.plan import make_plan
    from balltrain.search.sweep import override
    from balltrain.search.sweep_files import find_sweep
    from balltrain.tasks.base import DataRequest

    (tmp_path / "cell.py").write_text(Path(TOY_FILE).read_text())
    found, ref = find_sweep(str(tmp_path / "cell.py"))
    ref = dataclasses.replace(ref, file=None)
    plan = make_plan(override(found, trials=2, epochs=2, scheduler="none"), ref, name="s", request=DataRequest())
    (tmp_path / "cell.py").unlink()
    monkeypatch.chdir(tmp_path)
    where = {"data_dir": tmp_path / "data"}
    assert forecast_sweep(plan, tmp_path / "s", Resources(num_gpus=0), **where, wandb_mode="off")["examples"]
    result = run_sweep(plan, tmp_path / "s", Resources(num_gpus=0), **where, resume=False)
    assert [trial.status for trial in result.state.trials.values()] == [Status.COMPLETED] * 2
    result = run_sweep(plan, tmp_path / "s", Resources(num_gpus=0), **where, resume=True)
    assert result.folder.joinpath("best", "model.safetensors").exists()


@pytest.mark.slow
def test_a_killed_trial_process_is_tried_again_from_its_checkpoint(tmp_path):
    file = tmp_path / "dying.py"
    text = Path(TOY_FILE).read_text()
    die = (
        "import os, pathlib\n        mark = pathlib.Path(__file__).with_suffix('.died')\n"
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        if self.calls == 25 and not mark.exists():\n"
        "            mark.touch()\n            os._exit(1)\n        return (model"
    )
    file.write_text(text.replace("return (model", die, 1))
    result = sweep_of(file, tmp_path, trials=2, scheduler="none")
    assert (tmp_path / "dying.died").exists()
    trials = result.state.trials.values()
    assert all(trial.status == Status.COMPLETED for trial in trials)
    assert sum(trial.attempts for trial in trials) > 2
    assert sum(trial.lost_attempts for trial in trials) == 0
    ends = [line for line in read_journal(tmp_path / "s") if line["type"] == "end"]
    assert {line["cause"] for line in ends} == {"killed"}
    assert all("died" in line["error"] for line in ends)
    assert all([row["epoch"] for row in trial.rows] == [1, 2, 3, 4] for trial in trials)


@pytest.mark.slow
def test_the_best_are_confirmed_and_the_winner_is_kept(sweep, tmp_path):
    result = sweep(trials=5, epochs=3, grace=1, confirm=2, repeats=2)
    trials = pd.read_parquet(result.folder / "trials.parquet").set_index("trial_id")
    again = trials[trials["confirms"].notna()]
    assert len(again) == 4
    assert set(again["epochs"]) == {3}
    assert again["seed"].nunique() == 2
    winner = again.groupby("confirms")["objective"].mean().idxmin()
    objectives = trials[(trials["confirms"] == winner) | (trials.index == winner)]["objective"]
    loaded = load_checkpoint(result.folder / "best")
    assert loaded.config["seed"] == trials.loc[objectives.idxmin(), "seed"]
    assert loaded.config["hyperparameters"]["lr"] == trials.loc[winner, "config.lr"]


@pytest.mark.slow
def test_the_same_sweep_one_trial_at_a_time_gives_the_same_numbers(make_toy_plan, tmp_path):
    def run(name):
        plan = make_toy_plan(trials=23, epochs=2, grace=1, seed=3)
        resources = Resources(num_gpus=0, cpus_per_trial=len(os.sched_getaffinity(0)))
        result = run_sweep(plan, tmp_path / name, resources, data_dir=tmp_path / "data", resume=False)
        return [
            (trial.config, trial.seed, trial.status, [(r["train_loss"], r["val_loss"]) for r in trial.rows])
            for trial in result.state.trials.values()
        ]

    first = run("first")
    assert len({seed for _, seed, _, _ in first}) == 23
    assert run("second") == first  # HyperOpt's proposals among them: the last three


@pytest.mark.slow
def test_a_sweep_is_resumed_with_more_trials_and_not_with_other_epochs(sweep):
    sweep(trials=1, epochs=1)
    with pytest.raises(BalltrainError, match="another number of epochs"):
        sweep(trials=1, epochs=2, resume=True)
    assert len(sweep(trials=3, epochs=1, resume=True).state.trials) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 2}, "another number of epochs"),
        ({"searcher": "sobol"}, "another searcher"),
        ({"seed": 5}, "another seed"),
        ({"space": {"lr": tune.loguniform(1e-3, 1e-1)}}, "another space"),
    ],
)
def test_resume_refuses_what_does_not_compare(make_toy_plan, options, message):
    from balltrain.execution.resuming import _check_same

    facts = {"data_fingerprint": "f"}
    old, new = make_toy_plan(epochs=1), make_toy_plan(**{"epochs": 1, **options})
    with pytest.raises(BalltrainError, match=message):
        _check_same({**old.to_json(), **facts}, {**new.to_json(), **facts})


def test_resume_refuses_another_sobol_sequence(make_toy_plan):
    from balltrain.execution.resuming import _check_same

    old = {**make_toy_plan(searcher="sobol", sobol_start=1).to_json(), "data_fingerprint": "f"}
    for options, message in (
        ({"sobol_start": 0}, "another start of the Sobol sequence: it has 1, now it is 0"),
        ({"sobol_start": 1, "sobol_scramble": False}, "another scrambling of the Sobol sequence"),
    ):
        with pytest.raises(BalltrainError, match=message):
            _check_same(old, {**make_toy_plan(searcher="sobol", **options).to_json(), "data_fingerprint": "f"})
    before_it_was_recorded = {key: value for key, value in old.items() if not key.startswith("sobol")}
    _check_same(before_it_was_recorded, {**old, "sobol_start": 0})


def test_gpus_that_are_not_there_are_refused_and_nothing_is_left(sweep, tmp_path):
    with pytest.raises(BalltrainError, match="8 GPUs were asked for, but there are 0 GPUs"):
        sweep(Resources(num_gpus=8))
    assert not (tmp_path / "runs" / "toy-sweep").exists()


def test_a_ray_that_does_not_answer_is_named(sweep):
    with pytest.raises(BalltrainError, match=r"no Ray answers at 127\.0\.0\.1:1 "):
        sweep(Resources(address="127.0.0.1:1"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_workers_a_trial_and_asha_leaves_nothing_hanging(sweep, request):
    """A stopped data-parallel trial that kept its workers' resources would make the next one wait for ever.

    Another Ray on the machine has the same effect, where the trial does not say which is its own.
    """
    from ray.cluster_utils import Cluster

    another = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    request.addfinalizer(another.shutdown)
    result = sweep(Resources(num_gpus=0, workers_per_trial=2, cpus_per_trial=2), trials=3, epochs=3, grace=1,
                   space={"lr": tune.loguniform(1e-5, 1e-1)}, searcher="random", seed=STOPS_MANY)  # fmt: skip
    found = [trial.status for trial in result.state.trials.values()]
    assert Status.STOPPED in found[:-1]  # others come after it
    assert set(found) <= {Status.COMPLETED, Status.STOPPED}


def test_a_workers_own_error_decides_what_happens_to_its_trial():
    """The other workers fail as well, with errors of the connection."""
    from ray.core.generated.common_pb2 import ActorDiedErrorContext
    from ray.exceptions import ActorDiedError
    from ray.train import ControllerError, WorkerGroupError
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError

    from balltrain.execution.trial import _cause

    connection = UserExceptionWithTraceback(RuntimeError("Connection closed by peer"), "Traceback…")
    wrong = UserExceptionWithTraceback(ValueError("width 0"), "Traceback…")
    dead, lost = (
        WorkerHealthCheckFailedError(
            "check", ActorDiedError(ActorDiedErrorContext(error_message=why, actor_id=b"0" * 16))
        )
        for why in (
            "The actor is dead because its worker process has died.",
            "The actor died because its node has died.",
        )
    )
    for failure, cause, message in (
        (wrong, "deterministic", "ValueError: width 0"),
        (dead, "killed", "worker process has died"),
        (lost, "node-lost", "node has died"),
        (connection, "exception", "RuntimeError: Connection closed"),
    ):
        found, described = _cause(WorkerGroupError("…", {0: connection, 1: failure}))
        assert found == cause
        assert message in described
    assert _cause(ControllerError(RuntimeError("no placement")))[0] == "exception"
    assert _cause(ValueError("width 0")) == ("deterministic", "ValueError: width 0")
