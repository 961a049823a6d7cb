"""The search's best trials go on from their checkpoints to more epochs, on simulated trials."""

import math

import pandas as pd
import pytest
from ray import tune

from balltrain.errors import BalltrainError, UsageError
from balltrain.execution.resuming import _check_after_search
from balltrain.records import columns as c
from balltrain.records.columns import Decision, Status
from balltrain.records.results import plain
from balltrain.records.state import SweepState
from balltrain.records.tables import write_tables
from balltrain.search import policy
from balltrain.search.policy import Cause


@pytest.fixture
def plan(make_toy_plan):
    return make_toy_plan(trials=12, epochs=3, grace=1, continue_best=2, continue_epochs=10)


def went_on(state):
    return [t for t in state.trials.values() if t.continued_after is not None]


def outcome(sim):
    return [
        (t.config, t.status, t.seed, t.rows, t.continued_after, t.objective, t.has_checkpoint)
        for t in sim.state.trials.values()
    ]


def test_the_best_go_on_where_they_ended_with_the_same_seed(plan, simulate, make_toy_plan):
    searched, sim = simulate(make_toy_plan(trials=12, epochs=3, grace=1)), simulate(plan)
    searched.run()
    sim.run()
    best = [trial.number for trial in searched.state.ranked()[:2]]
    assert sorted(t.number for t in went_on(sim.state)) == sorted(best)
    for trial in went_on(sim.state):
        before = searched.state.trials[trial.number]
        assert (trial.seed, trial.point) == (before.seed, before.point)
        assert trial.config == {**before.config, "epochs": 10}
        assert trial.continued_after == before.epochs
        assert [row["epoch"] for row in trial.rows] == list(range(1, 11))
        # it is told of as ended at the search's last epoch, and again at its own
        ends = [row["epoch"] for row in trial.rows if row["decision"] in (Decision.STOP, Decision.COMPLETE)]
        assert ends == [before.epochs, 10]
        assert trial.status == Status.COMPLETED
    others = [n for n in range(12) if n not in best]
    assert [sim.state.trials[n].rows[-1]["epoch"] for n in others] == [
        searched.state.trials[n].rows[-1]["epoch"] for n in others
    ]
    assert sim.state.best in went_on(sim.state)
    assert sim.state.best.best["epoch"] == 10


def test_attempts_say_what_was_reported_and_how_far_to_go(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, epochs=3, continue_best=1, continue_epochs=10))
    sim.run(max_reports=5)
    sim.controller.fail(0, Cause.KILLED, "killed")
    attempt = sim.controller.next_attempt()
    assert (attempt.attempt, attempt.reported_epochs, attempt.config["epochs"]) == (3, 5, 10)


def test_nothing_goes_on_before_the_search_has_ended(plan, simulate):
    sim = simulate(plan, concurrency=5)
    sim.run()
    first = next(n for n, line in enumerate(sim.lines) if line["type"] == "continue")
    assert all(trial.has_ended for trial in SweepState.replay(sim.lines[:first]).trials.values())
    assert len(SweepState.replay(sim.lines[:first]).trials) == 12


def test_searcher_and_asha_do_not_learn_from_it(plan, simulate, make_toy_plan):
    with_it, without = simulate(plan), simulate(make_toy_plan(trials=12, epochs=3, grace=1))
    told = {}
    for name, sim in (("with", with_it), ("without", without)):
        sim.controller._searcher.tell = lambda number, value, name=name: told.setdefault(name, []).append(
            (number, value)
        )
        sim.run()
    assert told["with"] == told["without"]
    assert with_it.controller.rungs() == without.controller.rungs()
    extended = simulate(
        make_toy_plan(trials=15, epochs=3, grace=1, continue_best=2, continue_epochs=10), with_it.lines
    )
    assert extended.controller.rungs() == without.controller.rungs()
    extended.run()
    through = simulate(make_toy_plan(trials=15, epochs=3, grace=1), without.lines)
    through.run()
    assert [t.config["lr"] for t in extended.state.searched] == [t.config["lr"] for t in through.state.searched]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_every_line_is_a_place_to_be_killed_at(make_toy_plan, simulate, concurrency):
    plan = make_toy_plan(
        trials=5, epochs=2, grace=1, continue_best=3, continue_epochs=5, keep_checkpoints=1, confirm=2, repeats=2
    )
    whole = simulate(plan, concurrency=concurrency)
    whole.run()
    for length in range(1, len(whole.lines)):
        resumed = simulate(plan, whole.lines[:length], concurrency=concurrency)
        _check_after_search(plan, resumed.state)
        resumed.run()
        for trial in resumed.state.trials.values():
            assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
        if concurrency == 1:  # else trials may begin in another order, and have other numbers
            assert outcome(resumed) == outcome(whole)
        assert len(went_on(resumed.state)) == 3
        reports = [(line["number"], line["row"]["epoch"]) for line in resumed.lines if line["type"] == "report"]
        assert len(reports) == len(set(reports))


def test_their_checkpoints_are_kept_until_they_have_gone_on(make_toy_plan, simulate):
    plan = make_toy_plan(trials=12, epochs=3, grace=1, keep_checkpoints=1, continue_best=4, continue_epochs=6)
    sim = simulate(plan, concurrency=2)
    dropped = set()
    sim.controller.on_dropped = lambda trial: dropped.add(trial.number)

    def objective(attempt, epoch):
        assert attempt.number not in dropped
        return None

    sim.run(objective=objective)
    assert len(went_on(sim.state)) == 4
    assert [t.number for t in sim.state.trials.values() if t.has_checkpoint] == [sim.state.best.number]
    assert dropped == set(range(12)) - {sim.state.best.number}


def test_who_goes_on_is_chosen_by_the_search_alone(make_toy_plan, simulate):
    """The first that goes on fails: the next in line does not take its place, and it is not continued again."""
    plan = make_toy_plan(trials=6, epochs=2, grace=1, scheduler="none", continue_best=2, continue_epochs=5)
    sim = simulate(plan, concurrency=1)
    sim.run(objective=lambda a, e: math.nan if e == 4 and a.number == 3 else abs(a.number - 3) + 1.0 / e)
    assert {t.number: t.status for t in went_on(sim.state)} == {3: Status.FAILED, 2: Status.COMPLETED}
    assert sim.state.best.number == 2
    assert not sim.state.trials[3].has_checkpoint


def test_what_failed_in_the_search_never_goes_on(make_toy_plan, simulate):
    plan = make_toy_plan(trials=4, epochs=2, scheduler="none", continue_best=4, continue_epochs=3)
    sim = simulate(plan)
    sim.run(objective=lambda a, e: math.nan if a.number == 1 and e == 2 else 1.0)
    assert [t.number for t in went_on(sim.state)] == [0, 2, 3]
    assert sim.controller.done


def test_the_searchs_attempts_are_not_held_against_a_trial(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=1, epochs=1, continue_best=1, continue_epochs=5))
    sim.controller.fail(sim.controller.next_attempt().number, Cause.KILLED, "killed")
    sim.run(max_reports=1)  # the search's epoch; the trial goes on
    attempts = 0
    while sim.controller.live:
        attempts += 1
        sim.controller.fail(0, Cause.KILLED, "killed")
        sim.controller.next_attempt()
    assert attempts == policy.MAX_RETRIES + 1


def test_equal_configurations_go_on_once_and_share_what_becomes_of_it(make_toy_plan, simulate):
    from ray import tune

    space = {"batch_size": tune.choice([8, 16])}
    plan = make_toy_plan(trials=8, space=space, epochs=2, continue_best=3, continue_epochs=6)
    sim = simulate(plan)
    sim.run(objective=lambda a, e: a.config["batch_size"] + 1.0 / e)
    trained = [t for t in sim.state.trials.values() if t.same_as is None]
    assert [t.epochs for t in trained] == [6, 6]
    assert all(t.objective == sim.state.trials[t.same_as].objective for t in sim.state.trials.values() if t.same_as)
    assert all(t.status == Status.COMPLETED for t in sim.state.trials.values())
    # one more with a configuration that went on is not trained again either
    more = simulate(make_toy_plan(trials=9, space=space, epochs=2, continue_best=3, continue_epochs=6), sim.lines)
    more.run()
    assert more.state.trials[8].same_as is not None
    assert more.state.trials[8].status == Status.COMPLETED


def test_a_sweep_that_ended_can_go_on_afterwards_and_with_more(make_toy_plan, simulate):
    searched = simulate(make_toy_plan(trials=8, epochs=3, grace=1))
    searched.run()
    two_stages = {"trials": 8, "epochs": 3, "grace": 1, "continue_epochs": 10}
    one = simulate(
        make_toy_plan(**two_stages, continue_best=1),
        [*searched.lines, _resume(make_toy_plan(**two_stages, continue_best=1), searched)],
    )
    one.run()
    assert [t.number for t in went_on(one.state)] == [searched.state.best.number]
    plan = make_toy_plan(**two_stages, continue_best=3)
    three = simulate(plan, [*one.lines, _resume(plan, one)])
    _check_after_search(plan, three.state)
    three.run()
    assert {t.number for t in went_on(three.state)} == {t.number for t in searched.state.ranked()[:3]}


def _resume(plan, sim):
    return {"type": "resume", "version": 3, "sweep": {**plan.to_json(), "data_fingerprint": "f"}, "time": sim.clock()}


def test_confirming_trains_all_of_the_epochs(make_toy_plan, simulate):
    plan = make_toy_plan(trials=6, epochs=2, grace=1, continue_best=1, continue_epochs=7, confirm=2, repeats=2)
    sim = simulate(plan)
    sim.run()
    repeats = [t for t in sim.state.trials.values() if t.confirms is not None]
    assert [(t.epochs, t.config["epochs"]) for t in repeats] == [(7, 7)] * 4
    first = next(n for n, line in enumerate(sim.lines) if line["type"] == "trial" and "confirms" in line)
    assert went_on(SweepState.replay(sim.lines[:first]))[0].epochs == 7


def test_a_second_stage_has_a_patience_of_its_own(make_toy_plan, simulate):
    """In the search, in the repeats, and after a resume, which proposes an equal configuration once more."""
    space = {"lr": tune.choice([1e-3, 1e-2]), "batch_size": tune.choice([8, 16])}
    options = {"space": space, "hyperparameters": {"patience": 2}, "epochs": 3, "confirm": 2, "repeats": 2}
    options |= {"continue_best": 1, "continue_epochs": 7, "continue_patience": 5}
    sim = simulate(make_toy_plan(trials=6, **options))
    sim.run()
    (best,) = [trial for trial in went_on(sim.state) if trial.same_as is None]
    others = [t for t in sim.state.searched if t.continued_after is None]
    assert (best.config["patience"], best.searched_config["patience"]) == (5, 2)
    assert {trial.config["patience"] for trial in others} == {2}
    repeats = [t for t in sim.state.trials.values() if t.confirms is not None]
    assert [(t.config["epochs"], t.config["patience"]) for t in repeats] == [(7, 5)] * 4
    resumed = simulate(make_toy_plan(trials=12, **options), sim.lines)
    resumed.run()
    trained = [trial.searched_config for trial in resumed.state.searched if trial.same_as is None]
    assert len(trained) == len({(config["lr"], config["batch_size"]) for config in trained})


@pytest.mark.slow
def test_a_real_second_stage_goes_on_after_the_search_ran_out_of_patience(make_toy_plan, tmp_path, shared_data_dir):
    from balltrain.execution.runner import Resources, run_sweep

    plan = make_toy_plan(
        trials=2, epochs=3, space={"lr": tune.choice([1e-9])}, hyperparameters={"patience": 1, "batch_size": 100},
        continue_best=1, continue_epochs=9, continue_patience=4,
    )  # fmt: skip
    resources = Resources(num_gpus=0, cpus_per_trial=1)
    result = run_sweep(plan, tmp_path / "s", resources, data_dir=shared_data_dir, resume=False)
    (first, _) = result.state.searched
    after = first.epochs - first.best["epoch"]
    assert first.continued_after is not None
    assert first.epochs == 9 or after == 4


def test_the_tables_tell_of_it(plan, simulate, tmp_path):
    sim = simulate(plan)
    sim.run()
    write_tables(sim.state, plan.task, tmp_path)
    trials = pd.read_parquet(tmp_path / c.TRIALS_FILE).set_index("trial_id")
    after = trials[trials["continued_after"].notna()]
    assert sorted(after.index) == [t.trial_id for t in went_on(sim.state)]
    assert set(after["epochs"]) == set(after["config.epochs"]) == {10}
    assert trials["epochs"].drop(after.index).max() == 3


def test_what_would_not_compare_is_not_resumed(make_toy_plan, simulate):
    options = {"trials": 12, "epochs": 3, "grace": 1, "keep_checkpoints": 2}
    searched = simulate(make_toy_plan(**options))
    searched.run()

    def refused(sim, message, **more):
        with pytest.raises(BalltrainError, match=message):
            _check_after_search(make_toy_plan(**{**options, **more}), sim.state)

    refused(
        searched, "best 4: the checkpoint of trial .* not kept, which leaves the best 2",
        continue_best=4, continue_epochs=9,
    )  # fmt: skip
    continued = simulate(make_toy_plan(**options, continue_best=1, continue_epochs=9))
    continued.run(max_reports=50)
    missing = "goes on to epoch 9: add --continue-best 1 --continue-epochs 9"
    refused(continued, missing)
    refused(continued, missing, continue_best=1, continue_epochs=12)
    confirmed = simulate(make_toy_plan(**options, confirm=2, repeats=2))
    confirmed.run()
    refused(confirmed, "confirmed with 3 epochs", confirm=2, repeats=2, continue_best=1, continue_epochs=9)
    refused(confirmed, "with 1 configurations to confirm.*add --confirm 2", confirm=1, repeats=2)
    _check_after_search(make_toy_plan(**options, confirm=3, repeats=2), confirmed.state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"continue_best": -1}, "trials to continue is -1"),
        ({"continue_best": 1}, "need an epoch to go on to"),
        ({"continue_best": 1, "continue_epochs": 9, "continue_patience": 0}, "patience of those that go on is 0"),
        ({"continue_best": 1, "continue_epochs": 4}, "go on to epoch 4, but all trials .* to epoch 4 already"),
        ({"continue_best": 1, "continue_epochs": 9, "folds": 3, "scheduler": "none"}, "folds .* cannot be continued"),
    ],
)
def test_what_makes_no_sense_is_refused(make_toy_plan, options, message):
    with pytest.raises(UsageError, match=message):
        make_toy_plan(**options)


def test_a_real_sweep_in_two_stages(make_toy_plan, tmp_path, shared_data_dir):
    """Its best trial has the numbers of one that was trained in one go."""
    import torch
    from wandb_files import read_wandb_run

    from balltrain.data.cache import load_data
    from balltrain.execution.resources import Resources
    from balltrain.execution.runner import run_sweep
    from balltrain.tasks.base import resolve
    from balltrain.tracking.mirrors import Mirrors
    from balltrain.training.checkpoint import best_of
    from balltrain.training.loop import fit

    plan = make_toy_plan(trials=3, epochs=2, continue_best=1, continue_epochs=5, keep_checkpoints=1)
    folder, resources = tmp_path / "toy-sweep", Resources(num_gpus=0, cpus_per_trial=1)
    mirrors = Mirrors(wandb="offline", tensorboard=True)
    run_sweep(plan, folder, resources, data_dir=shared_data_dir, mirrors=mirrors, resume=False)
    trials = pd.read_parquet(folder / c.TRIALS_FILE).set_index("trial_id")
    (best,) = trials.index[trials["continued_after"].notna()]
    epochs = pd.read_parquet(folder / c.EPOCHS_FILE)
    curve = epochs[epochs["trial_id"] == best]
    assert curve["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert curve["decision"].tolist() == ["continue", "complete", "continue", "continue", "complete"]
    assert trials.drop(index=best)["epochs"].max() == 2

    task = plan.task
    dataset = load_data(plan.ref, task, plan.request, shared_data_dir)
    config = {name: plain(trials.loc[best, f"config.{name}"]) for name in ("lr", "batch_size", "epochs")}
    rows, once = [], tmp_path / "once"
    once.mkdir()
    fit(
        task, resolve(task, config), dataset, seed=int(trials.loc[best, "seed"]), folder=once,
        report=rows.append, device=torch.device("cpu"),
    )  # fmt: skip
    assert [row["val_loss"] for row in rows] == curve["val_loss"].tolist()
    assert best_of(folder / "best") == best_of(once)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [best]

    runs = [read_wandb_run(file) for file in (folder / "wandb").glob(f"offline-run-*-{best}/*.wandb")]
    assert [[row["epoch"] for row in run["history"]] for run in runs] == [[1, 2, 3, 4, 5]]
    assert (folder / "tensorboard" / best).is_dir()
