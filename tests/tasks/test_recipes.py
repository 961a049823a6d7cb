"""A model's choice brings its recipe along, for every task and in every point of a sweep; what is given wins."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
from ray import tune

from balltrain.errors import UsageError
from balltrain.search.plan import make_plan
from balltrain.search.sweep import Sweep
from balltrain.tasks import BUILT_IN, TaskRef, task_ref
from balltrain.tasks.base import DataRequest, Hyperparameters, resolve

RECIPES = [(name, model) for name in BUILT_IN for model in task_ref(name).load().Hyperparameters.recipes]

TASK_FILE = """
from typing import ClassVar, Literal
import balltrain

class Recipes(balltrain.Hyperparameters):
    recipes: ClassVar = {"old": {"lr": 0.5, "optimizer": "sgd", "epochs": 7}}
    model: Literal["new", "old"] = "new"

class Learner(balltrain.Task):
    name = "learner"
    Hyperparameters = Recipes

    def prepare(self, request, arrays): ...
    def build_model(self, hp, facts): ...
    def loss(self, model, batch, hp): ...
    def predict(self, model, batch, hp): ...
    def metrics(self, outputs, targets, hp, *, thorough): ...
"""


def plan(space, **values):
    ref = TaskRef("learner", "learner.py", TASK_FILE)
    sweep = Sweep(ref.load(), space, hyperparameters=values)
    return make_plan(sweep, ref, name="s", request=DataRequest())


@pytest.mark.parametrize(("name", "model"), RECIPES)
def test_every_recipe_of_the_tasks_is_what_its_model_trains_with(name, model):
    task = task_ref(name).load()
    hp = resolve(task, {"model": model})
    recipe = task.Hyperparameters.recipes[model]
    assert {key: getattr(hp, key) for key in recipe} == dict(recipe)


@pytest.mark.parametrize(("name", "model"), RECIPES)
def test_what_a_checkpoint_holds_is_not_changed_by_a_recipe(name, model):
    task = task_ref(name).load()
    hp = resolve(task, {"model": model, "lr": 0.123, "batch_size": 3})
    assert (hp.lr, hp.batch_size) == (0.123, 3)
    assert resolve(task, hp.model_dump(mode="json")) == hp


def test_each_point_of_a_space_over_models_has_the_recipe_of_its_own():
    made = plan({"model": tune.choice(["new", "old"])})
    new, old = (made.configure(made.space.decode({"model": option})) for option in (0, 1))
    assert (new["lr"], new["optimizer"]) == (1e-3, "adamw")
    assert (old["lr"], old["optimizer"]) == (0.5, "sgd")


def test_what_a_space_or_a_sweep_sets_wins_over_the_recipe():
    made = plan({"model": tune.choice(["new", "old"]), "lr": tune.uniform(0.1, 0.2)}, optimizer="adam")
    config = made.configure(made.space.decode({"model": 1, "lr": 0.15}))
    assert (config["lr"], config["optimizer"]) == (0.15, "adam")


def test_a_sweep_of_a_model_has_its_epochs():
    assert plan({"lr": tune.uniform(0.1, 0.2)}, model="old").epochs == 7


def test_a_recipe_applies_to_the_default_model_too():
    class Own(Hyperparameters):
        recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"one": {"lr": 0.5}}
        model: Literal["one", "two"] = "one"

    assert (Own().lr, Own(model="two").lr) == (0.5, 1e-3)


@pytest.mark.parametrize("model", [["old"], 3, None])
def test_a_model_that_is_no_name_is_refused_as_ever(model):
    task = TaskRef("learner", "learner.py", TASK_FILE).load()
    with pytest.raises(UsageError, match=r"hyperparameter model = .*should be 'new' or 'old'"):
        resolve(task, {"model": model})


def test_a_recipe_of_unknown_hyperparameters_is_refused_when_it_is_written():
    with pytest.raises(TypeError, match="the recipe of one sets model, rate: set other fields of Own"):

        class Own(Hyperparameters):
            recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"one": {"rate": 0.5, "model": "two"}}
            model: Literal["one", "two"] = "one"

    with pytest.raises(TypeError, match="Nameless has recipes, but no field `model`"):

        class Nameless(Hyperparameters):
            recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"one": {}}


# what was published, by task
PUBLISHED = {
    "detect": {
        "optimizer": "adam",
        "lr": pytest.approx(6.537e-4, rel=1e-4),
        "weight_decay": pytest.approx(6.84e-6, rel=1e-3),
        "batch_size": 16,
        "batch_norm_momentum": pytest.approx(0.0736, rel=1e-3),
        "schedule": "step",
        "gamma": 0.3,
        "step_size": 40,
        "epochs": 400,
        "patience": 30,
        "dropout": 0.0,
        "fully_connected": (),
        "activation": "relu",
        "bce_scale": 0.1,
        "clip_norm": None,
    },
    "forecast": {
        "optimizer": "adam",
        "lr": pytest.approx(9.892e-5, rel=1e-4),
        "weight_decay": pytest.approx(2.022e-4, rel=2e-4),
        "batch_size": 16,
        "dropout": pytest.approx(0.45, rel=1e-3),
        "schedule": "step",
        "gamma": 0.3,
        "step_size": 30,
        "epochs": 400,
        "patience": 30,
        "activation": "tanh",
        "dropout_epochs": 1,
        "widths": (512, 256, 128, 128),
        "clip_norm": None,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_reference_of_the_balls_starts_from_the_published_best(name):
    """`balltrain train detect --set model=reference`: one option."""
    hp = resolve(task_ref(name).load(), {"model": "reference"})
    assert {key: getattr(hp, key) for key in PUBLISHED[name]} == PUBLISHED[name]
