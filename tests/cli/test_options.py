"""Options are made of the knobs: what holds for a field holds on the command line, without an edit there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from balltrain.api.arguments import Data, Run
from balltrain.cli.options import knobs, plain_type, with_options
from balltrain.execution.resources import Resources
from balltrain.knobs import Panel, knob, knobs_of
from balltrain.search.sweep import Sweep
from balltrain.tracking.mirrors import Tracking


@dataclass(frozen=True)
class Oven:
    degrees: int | None = knob(None, "Heat.", Panel.SEARCH, says="that of the recipe", minimum=0)
    fan: bool = knob(True, "Blow.", Panel.SEARCH)
    light: bool = knob(False, "Shine.", Panel.SEARCH)
    extras: Mapping[str, Any] = knob({}, "More.", Panel.DATA, flag="with", repeated=True)


def run(*arguments, **how):
    """What a command with the knobs of `Oven` gets of the arguments; what it prints where it gets nothing."""
    got = {}

    @with_options(knobs(Oven, **how))
    def bake(cake: str, **options: Any) -> None:
        got.update(options, cake=cake)

    app = typer.Typer()
    app.command()(bake)
    result = CliRunner().invoke(app, [*arguments])
    return got or result.output


def test_a_field_becomes_an_option_with_its_type_default_and_text():
    assert run("plain") == {"cake": "plain", "fan": True, "light": False}
    assert run("plain", "--degrees", "180", "--no-fan", "--light") == {
        "cake": "plain", "degrees": 180, "fan": False, "light": True,
    }  # fmt: skip
    assert "--degrees" in run("plain", "--degrees", "-1")  # the minimum
    assert "that of the recipe" in run("--help")


def test_what_is_not_typed_is_left_to_a_sweep():
    assert run("plain", unset="the sweep's") == {"cake": "plain"}
    assert run("plain", "--no-light", unset="the sweep's") == {"cake": "plain", "light": False}


def test_pairs_are_json_where_they_can_be():
    typed = ("--with", "nuts=3", "--with", "icing=[1, 2]", "--with", "name=a=b", "--with", "none=None")
    assert run("plain", *typed)["extras"] == {"nuts": 3, "icing": [1, 2], "name": "a=b", "none": None}


def test_a_type_that_makes_no_option_is_told_to_who_adds_it():
    with pytest.raises(TypeError, match=r"no option is made of int \| float"):
        plain_type(int | float)


def test_every_knob_is_an_option_of_sweep_and_every_default_is_in_words(commands):
    params = {param.name: param for param in commands["sweep"].params}
    for owner in (Sweep, Run, Data, Resources, Tracking):
        for entry in knobs_of(owner):
            if not entry.knob.is_option:
                assert f"--{entry.name}" in {flag for param in params.values() for flag in param.opts}
                continue
            param = params[entry.name]
            assert f"--{entry.knob.flag or entry.name.replace('_', '-')}" in param.opts
            assert param.rich_help_panel == entry.knob.panel.value
            says_nothing = entry.knob.repeated or (entry.field.default is False and owner is not Sweep)
            assert bool(param.show_default) is not says_nothing, entry.name


FROSTED = '''
"""Points, as many a side as the option says."""
import numpy as np
import torch.nn.functional as F
from pydantic import Field
from ray import tune
from torch import nn
from balltrain import Hyperparameters, Sweep, Task
from balltrain.tasks.base import DataOptions, options_of

class Options(DataOptions):
    noise: float = Field(0.1, ge=0)
    shape: str = "square"

class Frosted(Task):
    """Fit noise."""
    name = "frosted"
    DataOptions = Options

    def prepare(self, request, arrays):
        options = options_of(self, request)
        rng = np.random.default_rng(request.seed)
        arrays["x"] = rng.normal(0, options.noise, (request.size or 100, 2)).astype(np.float32)
        return {"shape": options.shape, "noise": options.noise}

    def build_model(self, hp, facts):
        return nn.Linear(2, 2)

    def loss(self, model, batch, hp):
        return F.mse_loss(model(batch["x"]), batch["x"])

    def predict(self, model, batch, hp):
        return {"y": model(batch["x"])}

    def metrics(self, outputs, targets, hp, *, thorough):
        return {"loss": float(F.mse_loss(outputs["y"], targets["x"]))}

sweep = Sweep(Frosted(), {"lr": tune.loguniform(1e-4, 1e-1)}, trials=2, epochs=1)
'''


@pytest.fixture
def frosted(tmp_path):
    (tmp_path / "frosted.py").write_text(FROSTED)
    return tmp_path / "frosted.py"


def test_the_data_options_of_an_own_task_are_given_on_the_command_line(cli, frosted, tmp_path):
    common = ("--data", "noise=0.5", "--data", "shape=round", "--data-dir", tmp_path / "d", "--json")
    code, out, err = cli("data", "build", frosted, *common)
    assert code == 0, err
    built = json.loads(out)
    code, out, err = cli("train", frosted, "--epochs", 1, "--out", tmp_path / "run", "--wandb", "off", *common)
    assert code == 0, err
    sweep = json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert sweep["data"]["options"] == {"noise": 0.5, "shape": "round"}
    assert sweep["data_fingerprint"] == built["fingerprint"]
    code, out, err = cli("sweep", frosted, "--dry-run", "--num-gpus", 0, "--scheduler", "none", *common)
    assert code == 0, err
    code, out, _ = cli("data", "build", frosted, "--data-dir", tmp_path / "d", "--json")
    assert json.loads(out)["fingerprint"] != built["fingerprint"]
    code, out, _ = cli("evaluate", tmp_path / "run" / "best", "--data-dir", tmp_path / "d", "--json")
    assert json.loads(out)["items"] == 10  # of its own data, options and all


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("--data", "nois=1"), "the data of frosted has no nois: did you mean --data noise?"),
        (
            ("--data", "colour=red"),
            "the data of frosted has no colour: leave out --data colour (it has noise, shape)",
        ),
        (("--data", "noise=-1"), "--data noise = -1: should be greater than or equal to 0"),
        (("--data", "noise"), "--data 'noise' is not KEY=VALUE"),
        (("--categories", "red"), "the data of frosted has no categories: leave out --categories (it has"),
        (("--image-size", "64"), "the data of frosted has no image_size: leave out --image-size (it has"),
        (
            ("--image-size", "64", "--data", "image_size=64"),
            "image_size is given twice, by --image-size and by --data: leave one out",
        ),
    ],
)
def test_what_the_data_is_not_told_by_is_named_as_it_was_typed(cli, frosted, typed, message):
    for command in (("train",), ("sweep",), ("data", "build")):
        code, out, err = cli(*command, frosted, *typed)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {message}"), err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("--image-size", "7"), "--image-size = 7: should be greater than or equal to 32"),
        (("--data", "image_size=7"), "--data image_size = 7: should be greater than or equal to 32"),
    ],
)
def test_an_alias_of_coco_is_its_key_of_data(cli, tmp_path, typed, message):
    code, _, err = cli("train", "coco", "--source", tmp_path, *typed)
    assert (code, err) == (2, f"error: {message}\n")


def test_what_goes_on_is_said_as_it_was_typed(cli, frosted, tmp_path):
    from balltrain.cli.invocation import Invocation

    invocation = Invocation(["sweep", "a b.py", "--trials=3", "--resume"])
    assert invocation.to_go_on("--name", "x") == "balltrain sweep 'a b.py' --trials=3 --name x --resume"
    invocation = Invocation(["train", "detect", "--out=run"])
    assert invocation.to_go_on("--out", "run") == "balltrain train detect --out=run --resume"
