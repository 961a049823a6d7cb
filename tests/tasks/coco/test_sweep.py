"""The sweep of the original's models trains each depth with each learning rate once, by its recipe."""

import itertools

from balltrain.search.plan import make_plan
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest


def test_each_depth_is_trained_with_each_rate_once_by_the_recipe():
    sweep, ref = find_sweep("coco_originals")
    plan = make_plan(sweep, ref, name="s", request=DataRequest())
    searcher = plan.build_searcher()
    configs = [plan.configure(plan.space.decode(searcher.suggest(number))) for number in range(plan.num_searched)]
    tried = [(config["depth"], config["lr"]) for config in configs]
    assert sorted(tried) == sorted(itertools.product([18, 34, 50, 101], [1e-4, 1e-3]))
    for config in configs:
        assert (config["optimizer"], config["batch_size"], config["batches"], config["epochs"]) == (
            "adam",
            2,
            "aspect",
            50,
        )
    assert sweep.seed == 3407
