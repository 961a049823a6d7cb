"""The seven searches of the original are repeated point by point, and their sweep files tell the truth about them."""

import math

import pytest
from ray import tune

from balltrain.search.bratley_fox import BratleyFoxSequence
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

# model, augmentation, start, and from where to where learning rate, batch size and regularization go; what is not
# searched is one value
SEARCHES = {
    "classifier5_high": ("classifier5", "high", 4030, (0.01, 1e-5), (16, 80), 0),
    "classifier5_medium": ("classifier5", "medium", 3030, (0.002, 5e-5), (16, 128), 0),
    "classifier5_low": ("classifier5", "low", 2030, (1e-5, 0.01), (16, 64), 0),
    "classifier5_medium_low": ("classifier5", "medium-low", 2030, (1e-4, 0.01), 20, (1e-4, 0.03)),
    "classifier5_low_regularized": ("classifier5", "low", 5030, (1e-5, 0.01), (16, 64), (1e-4, 0.01)),
    "classifier7_medium": ("classifier7", "medium", 6030, (1e-6, 0.005), 20, (1e-5, 0.1)),
    "vgg_medium_low": ("vgg", "medium-low", 10030, (1e-4, 0.01), (64, 128), (1e-4, 0.005)),
}
# the published best, and where it is found: the number of the point from a start, with what has to be different
FOUND = {
    "classifier5_high": (7, {"sobol_start": 3030}, (0.002022, 54, 0)),
    "classifier5_medium": (0, {}, (0.000565, 18, 0)),
    "classifier5_low": (10, {"sobol_start": 3030}, (0.000339, 21, 0)),
    "classifier5_medium_low": (
        *(10, {"sobol_start": 3030, "lr": tune.uniform(1e-3, 0.01), "regularization": tune.uniform(1e-3, 0.03)}),
        (0.001297, 20, 0.003782),
    ),
    "classifier5_low_regularized": (1, {"sobol_start": 3030, "batch_size": 20}, (0.002368, 20, 0.005226)),
    "classifier7_medium": (18, {"sobol_start": 3030}, (0.001103, 20, 0.028352)),
    "vgg_medium_low": (12, {}, (0.008962506103515625, 78, 0.00128163)),
}


def configs(name, count=20, **changes):
    """Those that a sweep file begins with, with another start or other domains where given."""
    sweep, ref = find_sweep(f"catdogs_{name}")
    space = {**sweep.space, **{key: value for key, value in changes.items() if key != "sobol_start"}}
    sweep = override(sweep, space=space, sobol_start=changes.get("sobol_start"))
    plan = make_plan(sweep, ref, name="s", request=DataRequest())
    searcher = plan.build_searcher()
    return plan, [plan.configure(plan.space.decode(searcher.suggest(number))) for number in range(count)]


def values(config):
    return config["lr"], config["batch_size"], config["regularization"]


@pytest.mark.parametrize("name", SEARCHES)
def test_each_sweep_file_has_the_points_of_the_originals_search(name):
    model, augmentation, start, *ranges = SEARCHES[name]
    _, found = configs(name)
    assert {(config["model"], config["augmentation"]) for config in found} == {(model, augmentation)}
    dimensions = [pair for pair in ranges if isinstance(pair, tuple)]
    sequence = BratleyFoxSequence(len(dimensions))
    for number, config in enumerate(found):
        coordinates = iter(sequence.point(start + number))
        expected = [
            pair[0] + next(coordinates) * (pair[1] - pair[0]) if isinstance(pair, tuple) else pair for pair in ranges
        ]
        expected[1] = math.ceil(expected[1])
        assert values(config) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", SEARCHES)
def test_each_trains_3_epochs_and_the_best_up_to_50_with_plain_sgd(name):
    plan, (config, *_) = configs(name, count=1)
    sweep = plan.sweep
    assert (sweep.trials, sweep.epochs, config["patience"], sweep.scheduler) == (20, 3, 2, "none")
    assert (sweep.continue_best, plan.after_search) == (1, {"epochs": 50, "patience": 10})
    assert (config["optimizer"], config["momentum"], config["pixels"], config["weight_decay"]) == ("sgd", 0, 255, 0)


@pytest.mark.parametrize("name", FOUND)
def test_the_published_best_is_where_the_sweep_file_says(name):
    number, changes, best = FOUND[name]
    _, found = configs(name, **changes)
    assert values(found[number]) == pytest.approx(best, abs=6e-7)
    if changes:
        assert not any(values(config) == pytest.approx(best, rel=0.05) for config in configs(name)[1])


def test_the_default_sweep_takes_each_models_own_recipe():
    sweep, ref = find_sweep("catdogs")
    for model, optimizer in (("classifier5", "sgd"), ("resnet", "adamw")):
        chosen = override(sweep, hyperparameters={**sweep.hyperparameters, "model": model})
        plan = make_plan(chosen, ref, name="s", request=DataRequest())
        config = plan.configure(plan.space.decode(plan.build_searcher().suggest(0)))
        assert (config["model"], config["optimizer"]) == (model, optimizer)
