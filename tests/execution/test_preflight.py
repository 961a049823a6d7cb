import pytest

from balltrain.errors import BalltrainError, UsageError
from balltrain.execution.placement import Placement
from balltrain.execution.preflight import because, expected_rungs, first_proposals, forecast_sweep
from balltrain.execution.resources import Resources


@pytest.fixture
def forecast(make_toy_plan, tmp_path, shared_data_dir):
    def make(resources=None, **options):
        return forecast_sweep(
            make_toy_plan(**options),
            tmp_path / "runs" / "toy",
            resources or Resources(num_gpus=0, cpus_per_trial=1),
            data_dir=shared_data_dir,
            wandb_mode="offline",
        )

    return make


def test_what_a_sweep_will_do_is_said_and_nothing_is_left(forecast, tmp_path):
    found = forecast(trials=30, epochs=9, grace=1)
    assert found["rungs"][0] == {"epoch": 1, "trials": 30}
    assert [rung["epoch"] for rung in found["rungs"]] == [1, 3, 9]
    assert found["all_epochs"]["at_most"] == 270
    assert 30 < found["all_epochs"]["expected"] < 200
    assert 0 < found["seconds"]["expected"] < found["seconds"]["at_most"]
    per_epoch = found["epoch_seconds"] / found["at_a_time"]
    assert found["seconds"]["at_most"] == pytest.approx(270 * per_epoch, rel=0.1, abs=0.01)
    assert found["gpu_hours"] == {"expected": 0, "at_most": 0}
    assert found["checkpoints"] == 5 + found["at_a_time"] + 1
    assert found["disk_bytes"]["at_most"] == found["checkpoints"] * found["checkpoint_bytes"]
    assert found["num_params"] == 49
    assert found["random_proposals"] == 20
    assert found["wandb"] == "offline"
    assert len(found["examples"]) == 3
    assert not (tmp_path / "runs").exists()


def test_the_disk_it_needs_is_that_of_the_checkpoints_of_a_real_trial(forecast, tmp_path, make_toy_plan):
    from balltrain.execution.single import train_once

    plan = make_toy_plan(trials=1, epochs=2, searcher="random", scheduler="none")
    train_once(plan, tmp_path / "one", num_gpus=0, data_dir=tmp_path / "data", resume=False)
    files = (tmp_path / "one" / "best").iterdir()
    written = sum(file.stat().st_size for file in files if file.name != "config.json")  # the probe writes none
    said = forecast(trials=1, epochs=2)["checkpoint_bytes"]
    assert said <= written <= said + 1000  # two rows in place of one


def test_without_asha_every_trial_trains_in_full(forecast):
    found = forecast(trials=4, epochs=3, scheduler="none")
    assert found["all_epochs"] == {"expected": 12, "at_most": 12}
    assert found["rungs"] == [{"epoch": 3, "trials": 4}]


def test_asha_lets_a_third_pass_each_rung_and_some_who_came_first(make_toy_plan):
    rungs, _, epochs = expected_rungs(make_toy_plan(trials=900, epochs=27, grace=1))
    reached = {rung["epoch"]: rung["trials"] for rung in rungs}
    assert reached[1] == 900
    assert 300 <= reached[3] < 330
    assert 100 <= reached[9] < 130
    assert epochs == sum(
        trials * more for trials, more in ((900, 1), (reached[3], 2), (reached[9], 6), (reached[27], 18))
    )


def test_the_number_at_a_time_is_explained():
    assert because(Placement(1, 1, 0, 2, 0), [{"CPU": 2}]) == "2 CPUs / 1 a trial"
    text = because(Placement(2, 3.995, 1, 4, 8), [{"CPU": 32}, {"CPU": 32}])
    assert text == "64 CPUs / 7.99 a trial and 8 GPUs / 2 a trial, 2 workers each, on 2 nodes"


def test_what_does_not_fit_is_refused_with_the_arithmetic(forecast):
    with pytest.raises(BalltrainError, match=r"a trial needs 64 CPUs, but there are \d+ CPUs"):
        forecast(Resources(num_gpus=0, workers_per_trial=64))
    with pytest.raises(UsageError, match=r"0\.3 does not divide a GPU: use 0\.25"):
        forecast(Resources(gpus_per_trial=0.3))


def test_freeze_thaw_is_foreseen_by_its_epochs_and_its_paused_checkpoints(forecast):
    found = forecast(searcher="freeze-thaw", trials=100, epochs=13, start=[{"lr": 0.01}])
    assert found["rungs"] == []
    assert found["all_epochs"]["expected"] == 390
    assert found["all_epochs"]["at_most"] == 390 + 13 * found["at_a_time"]
    assert found["checkpoints"] == 5 + 30 + found["at_a_time"] + 1
    assert [example["lr"] for example in found["examples"][:2]] == [0.01, 1e-3]
    assert found["random_proposals"] == 10


@pytest.mark.parametrize("searcher", ["hyperopt", "optuna-tpe"])
def test_a_users_guesses_are_the_first_examples(make_toy_plan, searcher):
    plan = make_toy_plan(searcher=searcher, start=[{"lr": 0.01}, {"lr": 0.02}])
    points = first_proposals(plan)
    assert [point["lr"] for point in points[:2]] == [0.01, 0.02]
    assert len(points) == 3


def test_a_budget_of_epochs_says_how_many_trials_it_has_room_for(make_toy_plan):
    plan = make_toy_plan(trials=900, epochs=27, grace=1)
    _, started, epochs = expected_rungs(plan, budget=500)
    assert epochs == 500
    assert 100 < started < 500
    assert expected_rungs(plan)[1] == 900
