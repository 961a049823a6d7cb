"""Searches of architectures stay under their cap of parameters, whatever is proposed."""

import pytest
import torch

from balltrain.errors import UsageError
from balltrain.search.architectures import largest_under, num_params
from balltrain.search.plan import make_plan
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest, resolve

SEARCHES = {  # cap, what is searched, and the most that a cap leaves of the widest range
    "detect_architecture_search": (356_413, {"depth", "width", "kernel", "poolings"}),
    "catdogs_vgg_architecture_search": (12_918_427, {"vgg_depth", "vgg_start", "vgg_kernel", "vgg_width"}),
}


@pytest.fixture(params=SEARCHES, scope="module")
def search(request):
    sweep, ref = find_sweep(request.param)
    return make_plan(sweep, ref, name="s", request=DataRequest()), *SEARCHES[request.param]


def count(plan, config):
    with torch.device("meta"):
        model = plan.task.build_model(plan.task.Hyperparameters(**config), {})
    return sum(parameter.numel() for parameter in model.parameters())


def test_no_configuration_of_a_search_is_over_its_cap(search):
    """Bounds of every range: between them a model has fewer parameters. And one step more would be over the cap."""
    plan, cap, names = search
    options = plan.space.to_json()["architecture"]["choice"]
    assert all(set(option) == names for option in options)
    counts = [count(plan, plan.configure(plan.space.decode(point))) for point in plan.space.corners()]
    assert max(counts) <= cap
    assert max(counts) > 0.95 * cap
    width = next(name for name in names if any(isinstance(option[name], dict) for option in options))
    over = 0
    for option in options:
        bounds = option[width]["int"]
        wider = {**plan.sweep.hyperparameters, **option, width: int(bounds[1])}  # the end of a range is not in it
        over += count(plan, plan.configure(wider)) > cap
    assert over >= len(options) - 2  # the smallest shapes may end before the cap does


def test_the_sizes_of_an_architecture_are_hyperparameters_of_their_own(search):
    plan, _, names = search
    config = plan.configure(plan.space.decode(next(iter(plan.space.corners()))))
    assert names <= set(config)


def test_the_published_networks_have_the_caps():
    assert num_params("detect", {"model": "reference"}) == 356_413
    assert num_params("catdogs", {"model": "vgg"}) == 12_918_427


def test_the_largest_size_under_a_cap():
    assert largest_under(100, lambda size: size * size, high=50) == 10
    assert largest_under(100, lambda size: size, high=50) == 50
    assert largest_under(100, lambda size: 101 * size, high=50) == 0


def test_a_stack_by_depth_has_blocks_between_poolings():
    hp = resolve(
        task_ref("detect").load(), {"model": "reference", "depth": 2, "width": 3, "kernel": 5, "poolings": 1}
    )
    layers = [layer.model_dump() for layer in hp.convolutions]
    conv = {"kernel": 5, "stride": 1, "padding": 2}
    assert layers == [*[{"channels": 3, **conv}] * 2, {"pool": 2}, *[{"channels": 6, **conv}] * 2]
    vgg = resolve(task_ref("catdogs").load(), {"model": "vgg", "vgg_depth": 1, "vgg_start": 10})
    assert vgg.convolutions == [10, "M", 20, "M", 30, "M", 40, "M", 50, "M", 60, "M"]


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("detect", {"depth": 1, "layers": [{"channels": 4, "kernel": 3}]}, "layers and depth 1 are two stacks"),
        ("detect", {"depth": 1, "kernel": 4}, "the kernel is 4, but must be odd"),
        ("detect", {"depth": 1, "poolings": 7}, "leaves no pixel of 100x100"),
        ("catdogs", {"vgg_depth": 1, "vgg_layers": [4, "M"]}, "vgg_layers and vgg_depth 1 are two networks"),
        ("catdogs", {"vgg_kernel": 2}, "vgg_kernel is 2, but must be odd"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(task, values, message):
    with pytest.raises(UsageError, match=message):
        resolve(task_ref(task).load(), values)
