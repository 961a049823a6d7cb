import pytest

from balltrain.errors import BalltrainError, UsageError
from balltrain.execution.placement import place

LAPTOP, SERVER = [{"CPU": 8.0}], [{"CPU": 64.0, "GPU": 8.0}]
NOTHING = {"num_gpus": None, "gpus_per_trial": None, "workers_per_trial": None, "cpus_per_trial": None}


@pytest.mark.parametrize(
    ("cluster", "options", "workers", "cpus", "gpus", "concurrency"),
    [
        (LAPTOP, {}, 1, 1, 0, 8),
        (LAPTOP, {"cpus_per_trial": 3}, 1, 3, 0, 2),
        (SERVER, {}, 1, 8, 1, 8),
        (SERVER, {"num_gpus": 4}, 1, 16, 1, 4),
        (SERVER, {"num_gpus": 0}, 1, 1, 0, 64),
        (SERVER, {"gpus_per_trial": 0.25}, 1, 2, 0.25, 32),
        (SERVER, {"gpus_per_trial": 0.1, "num_gpus": 1}, 1, 6, 0.1, 10),
        (SERVER, {"gpus_per_trial": 2}, 2, 7.995, 1, 4),
        (SERVER, {"workers_per_trial": 4}, 4, 7.9975, 1, 2),
        ([{"CPU": 2.0}], {"workers_per_trial": 2}, 2, 0.995, 0, 1),
        ([{"CPU": 4.0}], {"workers_per_trial": 2}, 2, 0.995, 0, 2),
    ],
)
def test_trials_fill_the_cluster(cluster, options, workers, cpus, gpus, concurrency):
    found = place(cluster, **{**NOTHING, **options})
    assert found.workers == workers
    assert found.cpus_per_worker == pytest.approx(cpus)
    assert found.gpus_per_worker == gpus
    assert found.concurrency == concurrency


@pytest.mark.parametrize("cluster", [LAPTOP, SERVER, [{"CPU": 2.0}]])
@pytest.mark.parametrize("workers", [1, 2])
def test_all_trials_at_once_never_hold_more_than_there_is(cluster, workers):
    found = place(cluster, **{**NOTHING, "workers_per_trial": workers})
    driver = found.trial_resources["CPU"] if workers > 1 else 0
    assert found.concurrency * (driver + workers * found.cpus_per_worker) <= cluster[0]["CPU"] + 1e-9


MIXED = [
    {"CPU": 0.0, "driver": 1000.0},
    {"CPU": 8.0, "GPU": 4.0, "accelerator_type:A10G": 1.0},
    {"CPU": 64.0, "GPU": 4.0, "accelerator_type:A100": 1.0},
]


@pytest.mark.parametrize(
    ("options", "workers", "cpus", "concurrency", "strategy"),
    [
        ({}, 1, 2, 8, "PACK"),  # the share of the node that has least
        ({"gpu_type": "A100"}, 1, 16, 4, "PACK"),
        ({"gpu_type": "A100", "num_gpus": 2}, 1, 32, 2, "PACK"),
        ({"gpus_per_trial": 0.5}, 1, 1, 16, "PACK"),  # a part is of one GPU: two on each
        ({"gpus_per_trial": 3}, 3, 2, 2, "STRICT_PACK"),  # not a third across the nodes
        ({"gpus_per_trial": 8}, 8, 2, 1, "PACK"),  # no node holds it
        ({"num_gpus": 0}, 1, 1, 72, "PACK"),
    ],
)
def test_trials_fit_into_nodes_not_into_their_sum(options, workers, cpus, concurrency, strategy):
    found = place(MIXED, **{**NOTHING, **options})
    assert (found.workers, found.concurrency) == (workers, concurrency)
    assert found.cpus_per_worker == pytest.approx(cpus)
    assert workers == 1 or found.strategy == strategy
    if workers > 1:
        assert found.trial_resources == {"driver": 1}
    assert ("accelerator_type:A100" in found.worker_resources) == (options.get("gpu_type") == "A100")


def test_a_trial_for_which_no_node_is_large_enough_is_refused():
    with pytest.raises(BalltrainError, match=r"a trial needs 6 CPUs, but there are 8 CPUs on 2 nodes"):
        place([{"CPU": 4.0}] * 2, **{**NOTHING, "cpus_per_trial": 6})


def test_nodes_that_join_and_that_are_lost_change_the_number_of_trials():
    nodes = [{"CPU": 4.0, "GPU": 2.0}] * 2
    assert [place(nodes, **NOTHING).on(nodes[:1] * count).concurrency for count in (1, 2, 3)] == [2, 4, 6]
    capped = place(nodes, **{**NOTHING, "num_gpus": 3})
    assert [capped.on(nodes[:1] * count).concurrency for count in (1, 2, 3)] == [2, 3, 3]


def test_a_gpu_type_that_is_not_there_is_named():
    with pytest.raises(BalltrainError, match="--gpu-type is 'H100', but there are A100, A10G"):
        place(MIXED, **{**NOTHING, "gpu_type": "H100"})


def test_missing_gpus_say_what_there_is_and_what_to_type():
    with pytest.raises(
        BalltrainError, match=r"8 GPUs were asked for, but there are 0 GPUs and 8 CPUs: type --num-gpus 0"
    ):
        place(LAPTOP, **{**NOTHING, "num_gpus": 8})
    with pytest.raises(BalltrainError, match=r"there are 8 GPUs .*type --num-gpus 8"):
        place(SERVER, **{**NOTHING, "num_gpus": 9})


def test_a_trial_that_does_not_fit_is_refused():
    with pytest.raises(BalltrainError, match="a trial needs 16 CPUs, but there are 8 CPUs"):
        place(LAPTOP, **{**NOTHING, "workers_per_trial": 16})


@pytest.mark.parametrize("option", ["workers_per_trial", "cpus_per_trial"])
def test_nothing_is_too_little(option):
    with pytest.raises(UsageError, match="must be greater than 0"):
        place(LAPTOP, **{**NOTHING, option: -1})
    with pytest.raises(UsageError, match="must be at least 0"):
        place(LAPTOP, **{**NOTHING, "num_gpus": -1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus_per_trial": 0.3}, r"0\.3 does not divide a GPU: use 0\.25 \(4 trials a GPU\) or 0\.333 \(3\)"),
        ({"gpus_per_trial": 0.7}, r"0\.7 does not divide a GPU: use 0\.5 \(2 trials a GPU\) or 1 \(1\)"),
        ({"gpus_per_trial": 1.5}, r"1\.5 is neither a part of a GPU nor whole GPUs: use 1"),
        ({"gpus_per_trial": 0.5, "workers_per_trial": 2}, "cannot be shared by 2 workers: use --gpus-per-trial 2"),
        ({"gpus_per_trial": 3, "workers_per_trial": 2}, "cannot be shared by 2 workers: each needs whole GPUs"),
    ],
)
def test_a_share_that_leaves_a_part_of_a_gpu_to_nobody_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        place(SERVER, **{**NOTHING, **options})


@pytest.mark.parametrize(("share", "concurrency"), [(0.333, 24), (1 / 3, 24), (0.25, 32), (0.5, 16)])
def test_a_third_of_a_gpu_may_be_rounded(share, concurrency):
    assert place(SERVER, **{**NOTHING, "gpus_per_trial": share}).concurrency == concurrency
