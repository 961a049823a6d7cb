"""The functions of examples/, trained by the real libraries: whole, and killed between saving and reporting."""

from pathlib import Path

import pytest

import balltrain
from balltrain.api.preparing import prepare
from balltrain.programs.handle import Trial
from balltrain.programs.program import ProgramAttempt

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIGS = {
    "function": {"lr": 0.01, "width": 16},
    "lightning": {"lr": 0.01, "width": 8},
    "huggingface": {"lr": 0.01, "width": 16},
    "sklearn": {"lr": 0.1, "alpha": 1e-4},
    "xgboost": {"eta": 0.3, "max_depth": 4, "lambda": 1.0},
    "two_workers": {"lr": 0.01},
}


class Killed(BaseException):
    """Ends a function's process, as far as it can tell."""


def plan_of(name, **options):
    return prepare(str(EXAMPLES / f"{name}.py"), None, options).plan


def run(plan, folder, rows, kill_at=None, **config):
    """Train a trial, or go on with one, until its report of epoch `kill_at` is not heard any more."""

    def report(row):
        if row["epoch"] == kill_at:
            raise Killed
        rows.append(row)

    attempt = ProgramAttempt(0, "00000", 1, plan.configure(config), 7, len(rows), folder)
    plan.task.function(Trial(attempt, plan.task.objective, plan.task.mode, report))


def figures(rows):
    return [(row["epoch"], row["objective"], row["train_loss"], row["metrics"]) for row in rows]


def test_there_is_one_for_each_file_and_all_are_short():
    files = sorted(EXAMPLES.glob("*.py"))
    assert {file.stem for file in files} == set(CONFIGS)
    for file in files:
        assert len(file.read_text().splitlines()) <= 60, file.name


@pytest.mark.parametrize("name", CONFIGS)
def test_it_learns_and_goes_on_after_a_kill_as_if_nothing_had_been(name, tmp_path):
    plan = plan_of(name, epochs=4)
    whole, rows = [], []
    run(plan, tmp_path / "whole", whole, **CONFIGS[name])
    assert [row["epoch"] for row in whole] == [1, 2, 3, 4]
    with pytest.raises(Killed):
        run(plan, tmp_path / "killed", rows, kill_at=3, **CONFIGS[name])
    assert len(rows) == 2
    run(plan, tmp_path / "killed", rows, **CONFIGS[name])
    assert figures(rows) == figures(whole)
    sign = 1 if plan.task.mode == "min" else -1
    assert sign * whole[-1]["objective"] < sign * whole[0]["objective"]


@pytest.mark.parametrize("name", ["lightning", "huggingface"])
def test_patience_ends_a_trainer_too(name, tmp_path):
    rows = []
    plan = plan_of(name, epochs=4, hyperparameters={"patience": 1})
    config = {**CONFIGS[name], "lr": 0.0}  # nothing gets better
    run(plan, tmp_path, rows, **config)
    assert len(rows) == 2


@pytest.mark.slow  # five sweeps on one Ray
def test_each_is_swept_in_its_own_folder(tmp_path, monkeypatch):
    import logging

    import ray

    monkeypatch.chdir(EXAMPLES)  # where files have the names of the libraries that they import
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    ray.init(address="local", num_cpus=2, include_dashboard=False, **quiet)
    try:
        for name in ("function", "lightning", "huggingface", "sklearn", "xgboost"):
            options = {"trials": 2, "epochs": 2, "wandb": "off", "progress": False, "storage": str(tmp_path)}
            results = balltrain.sweep(f"{name}.py", name=name, **options)
            assert results.trials["error"].isna().all(), results.trials["error"].tolist()
            assert len(results.trials) == 2
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("lightning", ("devices=1,", "devices=1, check_val_every_n_epoch=2,"), "leaves epochs without their figures"),
        ("lightning", ('max_epochs=trial.config["epochs"]', "max_epochs=7"), "but a trial trains 4 at most"),
        ("huggingface", ("output_dir=trial.folder", "output_dir='elsewhere'"), "write TrainingArguments.output_dir="),
        ("huggingface", ('num_train_epochs=trial.config["epochs"]', "max_steps=9"), "another number of epochs"),
    ],
)
def test_a_trainer_that_is_set_up_otherwise_is_told_what_to_write(name, changed, says, tmp_path):
    text = (EXAMPLES / f"{name}.py").read_text()
    assert changed[0] in text
    (tmp_path / f"{name}_changed.py").write_text(text.replace(*changed))
    plan = prepare(str(tmp_path / f"{name}_changed.py"), None, {"epochs": 4}).plan
    with pytest.raises(balltrain.BalltrainError, match=says):
        run(plan, tmp_path, [], **CONFIGS[name])


@pytest.mark.parametrize(
    ("module", "names", "says"),
    [
        ("lightning", ("lightning", "lightning.pytorch", "pytorch_lightning"), "pip install lightning"),
        ("huggingface", ("transformers",), "pip install transformers accelerate"),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_to_type(module, names, says, monkeypatch):
    import importlib
    import sys

    for name in names:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"balltrain.integrations.{module}", raising=False)
    with pytest.raises(balltrain.BalltrainError, match=says):
        importlib.import_module(f"balltrain.integrations.{module}")
