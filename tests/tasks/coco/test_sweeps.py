"""The sweep file of the original RetinaNets."""

import itertools

import pytest

from balltrain.search.plan import make_plan
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest


@pytest.fixture(scope="module")
def configs():
    sweep, ref = find_sweep("coco_originals")
    plan = make_plan(sweep, ref, name="s", request=DataRequest())
    searcher = plan.build_searcher()
    return [plan.configure(plan.space.decode(searcher.suggest(number))) for number in range(plan.sweep.trials)]


def test_each_depth_is_trained_once_with_each_rate(configs):
    tried = [(config["depth"], config["lr"]) for config in configs]
    assert tried == list(itertools.product([18, 34, 50, 101], [1e-3, 1e-4, 1e-5]))


def test_the_seed_is_the_originals():
    assert find_sweep("coco_originals")[0].seed == 3407


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "adam"),
        ("schedule", "constant"),
        ("batch_size", 2),
        ("batches", "aspect"),
        ("drop_last", False),
        ("prior", 0.01),
        ("focal_alpha", 0.25),
        ("focal_gamma", 2.0),
        ("epochs", 80),
    ],
)
def test_all_else_is_as_published(configs, name, value):
    assert {config[name] for config in configs} == {value}
