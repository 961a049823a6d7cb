"""The sweep of the originals trains each of them once, as long as they were trained."""

from balltrain.search.plan import make_plan
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

MODELS = ["a", "b", "c", "d", "e", "f", "g", "gap"]


def originals():
    sweep, ref = find_sweep("cifar10_originals")
    return make_plan(sweep, ref, name="s", request=DataRequest())


def test_each_network_is_trained_once():
    plan = originals()
    searcher = plan.build_searcher()
    tried = [plan.space.decode(searcher.suggest(number))["model"] for number in range(plan.num_searched)]
    assert sorted(tried) == MODELS


def test_all_train_equally_long_and_the_best_goes_on_as_gap_did():
    plan = originals()
    assert {plan.configure({"model": model})["epochs"] for model in MODELS} == {120}
    assert (plan.sweep.continue_best, plan.most_epochs) == (1, 240)
    assert plan.configure({"model": "gap"}, plan.most_epochs)["epochs"] == 240


def test_each_trains_by_the_originals_recipe():
    for model in MODELS:
        config = originals().configure({"model": model})
        assert (config["optimizer"], config["lr"], config["momentum"], config["flip"]) == ("sgd", 0.001, 0.0, False)
