import pytest

from balltrain.errors import BalltrainError, UsageError
from balltrain.tuning.placement import place

LAPTOP, SERVER = {"CPU": 8.0}, {"CPU": 64.0, "GPU": 8.0}
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
        ({"CPU": 2.0}, {"workers_per_trial": 2}, 2, 0.995, 0, 1),
        ({"CPU": 4.0}, {"workers_per_trial": 2}, 2, 0.995, 0, 2),
    ],
)
def test_trials_fill_the_cluster(cluster, options, workers, cpus, gpus, concurrency):
    found = place(cluster, **{**NOTHING, **options})
    assert found.workers == workers
    assert found.cpus_per_worker == pytest.approx(cpus)
    assert found.gpus_per_worker == gpus
    assert found.concurrency == concurrency


@pytest.mark.parametrize("cluster", [LAPTOP, SERVER, {"CPU": 2.0}])
@pytest.mark.parametrize("workers", [1, 2])
def test_all_trials_at_once_never_hold_more_than_there_is(cluster, workers):
    found = place(cluster, **{**NOTHING, "workers_per_trial": workers})
    driver = found.trial_resources["CPU"] if workers > 1 else 0
    assert found.concurrency * (driver + workers * found.cpus_per_worker) <= cluster["CPU"] + 1e-9


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
