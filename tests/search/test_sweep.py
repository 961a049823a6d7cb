import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from cifar_files import FACTS as CIFAR10_FACTS
from ray import tune
from toy import TOY_FILE

from balltrain import Published, Sweep
from balltrain.errors import BalltrainError, UsageError
from balltrain.search.plan import make_plan
from balltrain.search.sweep_files import find_sweep, shipped_sweeps
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest

REPOSITORY = Path(__file__).parents[2]
# of the tasks whose models need some
FACTS = {"cifar10": CIFAR10_FACTS, "coco": {"categories": [{"id": 1, "name": "ball"}], "image_size": 64}}


def plan_of(sweep, ref=None):
    return make_plan(sweep, ref or TaskRef(sweep.task), name="s", request=DataRequest())


@pytest.mark.parametrize("name", shipped_sweeps())
def test_every_sweep_that_comes_with_balltrain_makes_a_plan(name):
    sweep, ref = find_sweep(name)
    plan = plan_of(sweep, ref)
    with torch.device("meta"):  # without memory or random numbers
        for point in plan.space.corners():
            plan.task.build_model(
                plan.task.Hyperparameters(**plan.configure(plan.space.decode(point))), FACTS.get(ref.name, {})
            )


def test_the_originals_space_is_as_published():
    sweep, ref = find_sweep("detect")
    space = plan_of(sweep, ref).space.to_json()
    assert space["lr"] == {"float": [1e-6, 1e-3]}
    assert space["weight_decay"] == {"logfloat": [1e-7, 3e-3]}
    assert space["batch_size"] == {"choice": [16, 32, 64]}
    assert space["batch_norm_momentum"] == {"float": [0.05, 0.15]}
    assert space["dropout"] == {"choice": [0.0, {"float": [0.1, 0.45]}]}
    assert len(space["fully_connected"]["choice"]) == 4
    assert (sweep.trials, sweep.epochs, sweep.hyperparameters["patience"]) == (100, 90, 12)


FORECAST_WIDTHS = [
    [512, 256, 128, 128],
    [128, 256, 256, 512],
    [128, 256, 256, 256],
    [128, 128, 256, 256, 256],
    [128, 128, 256, 256, 256, 256],
    [128, 128, 128, 256, 256, 256, 256],
]


@pytest.mark.parametrize(
    ("name", "batch_sizes", "dropout", "activations", "rates"),
    [
        ("forecast_reference_wide", [32, 64, 128], [0.45, 0.8], ["leaky_relu", "relu", "tanh"], "constant"),
        ("forecast_reference", [16, 32, 64], [0.1, 0.45], None, "x 0.3 every 30 epochs"),
    ],
)
def test_both_of_the_originals_forecast_spaces_are_as_published(name, batch_sizes, dropout, activations, rates):
    sweep, ref = find_sweep(name)
    plan = plan_of(sweep, ref)
    space = plan.space.to_json()
    assert space["lr"] == {"float": [5e-6, 1e-4]}
    assert space["weight_decay"] == {"logfloat": [1e-7, 1e-2]}
    assert space["batch_size"] == {"choice": batch_sizes}
    assert space["dropout"] == {"choice": [0.0, {"float": dropout}]}
    assert space["widths"] == {"choice": FORECAST_WIDTHS}
    assert space.get("activation") == (activations and {"choice": activations})
    config = plan.configure({})
    if rates == "constant":
        assert config["schedule"] == "constant"
    else:
        assert (config["schedule"], config["gamma"], config["step_size"]) == ("step", 0.3, 30)
    assert (config["activation"], config["optimizer"], config["patience"]) == ("tanh", "adam", 12)
    assert (sweep.trials, sweep.epochs) == (100, 90)


def test_a_users_file_has_its_own_task():
    sweep, ref = find_sweep(TOY_FILE)
    plan = plan_of(sweep, ref)
    assert plan.task.name == "toy"
    assert plan.configure({"lr": 0.5})["lr"] == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "has 0 sweeps"),
        ("from balltrain import Sweep\na = Sweep('detect', {})\nb = Sweep('detect', {})\n", "has 2 sweeps"),
        ("\n\n1 / 0\n", "line 3, fails: ZeroDivisionError"),
        ("def broken(:\n", "line 1, fails: SyntaxError"),
        ("from balltrain import Sweep\nsweep = Sweep('nope', {})\n", "unknown task 'nope'"),
    ],
)
def test_a_file_that_holds_no_sweep_says_so(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(BalltrainError, match=message):
        find_sweep(str(tmp_path / "mine.py"))


def test_a_file_that_is_not_there():
    with pytest.raises(UsageError, match=r"cannot read nowhere\.py: No such file"):
        find_sweep("nowhere.py")
    with pytest.raises(UsageError, match=r"no sweep of 'nowhere': choose one of .*detect"):
        find_sweep("nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "number of trials is 0"),
        ({"epochs": 0}, "number of epochs is 0"),
        ({"searcher": "grids"}, "unknown searcher 'grids'"),
        ({"scheduler": "pbt"}, "unknown scheduler 'pbt'"),
        ({"space": {"lrr": tune.uniform(0, 1)}}, "did you mean lr"),
        ({"space": {"lr": tune.uniform(-1, 1)}}, "lr = -1.*greater than 0"),
        ({"space": {"batch_size": tune.choice([8, "many"])}}, 'batch_size = "many".*valid integer'),
        ({"space": {"epochs": tune.choice([1, 2])}}, "epochs cannot be in the space"),
        ({"folds": 1, "scheduler": "none"}, "number of folds is 1"),
        ({"folds": 5}, "use the scheduler none"),
        ({"hyperparameters": {"optimizer": "lbfgs"}}, "'adam', 'adamw' or 'sgd'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(changes, message):
    values = {"task": "detect", "space": {"lr": tune.uniform(0.1, 1)}, **changes}
    with pytest.raises(UsageError, match=message):
        plan_of(Sweep(**values))


def test_sweeps_travel_in_the_wheel(tmp_path):
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(REPOSITORY),
    ]
    subprocess.run(pip, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"balltrain/sweeps/{name}.py" for name in shipped_sweeps()} <= names
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = "from balltrain.search import sweep_files as s; print(s.__file__); print(s.find_sweep('detect')[0].trials)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [str(tmp_path / "installed/balltrain/search/sweep_files.py"), "100"]


def test_the_default_grace_is_a_tenth_of_the_epochs():
    assert plan_of(Sweep("detect", {"lr": tune.loguniform(1e-4, 1e-1)}, epochs=90)).sweep.grace == 9
    assert plan_of(Sweep("detect", {"lr": tune.loguniform(1e-4, 1e-1)}, epochs=3)).sweep.grace == 1


PUBLISHED = {  # of 100 trials each: mean, std, min, quartiles, max
    "detect": ("detect 3", 0.034872, 0.038299, 0.003199, 0.006701, 0.018672, 0.047386, 0.156067),
    "detect_second": ("detect 2", 0.044048, 0.046648, 0.003986, 0.008889, 0.021954, 0.067262, 0.156816),
    "detect_architectures": ("detect 1", 0.104104, 0.041804, 0.031320, 0.069580, 0.092948, 0.153632, 0.158702),
    "forecast_reference": ("forecast 2", 0.003077, 0.004137, 0.000502, 0.001045, 0.001618, 0.003594, 0.025560),
    "forecast_reference_wide": ("forecast 1", 0.004782, 0.017039, 0.000309, 0.000479, 0.000614, 0.001150, 0.089641),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_searches_of_the_balls_name_what_was_published_of_them(name):
    sweep, ref = find_sweep(name)
    title, *figures = PUBLISHED[name]
    keys = ("mean", "std", "min", "25%", "50%", "75%", "max")
    expected = {"name": title, "count": 100, **dict(zip(keys, figures, strict=True))}
    assert plan_of(sweep, ref).to_json()["reference"] == expected
    assert (sweep.trials, sweep.epochs) == (100, 90)


def test_a_sweep_without_a_reference_records_none():
    assert "reference" not in plan_of(Sweep("detect", {"lr": tune.loguniform(1e-4, 1e-1)})).to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "the reference theirs has 0 trials, but must have at least 1"),
        ({"q25": 9.0}, "give min, q25, q50, q75 and max in rising order"),
        ({"mean": 9.0}, "the mean 9.0: .* a mean between min and max"),
    ],
)
def test_a_reference_that_cannot_be_is_refused(changes, message):
    figures = {"count": 3, "mean": 2.0, "std": 1.0, "min": 1.0, "q25": 1.5, "q50": 2.0, "q75": 2.5, "max": 3.0}
    with pytest.raises(UsageError, match=message):
        Published(**{"name": "theirs", **figures, **changes})
