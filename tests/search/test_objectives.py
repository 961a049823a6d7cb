"""Sweeps with several objectives: how they are given, who stops early, what is the best, and resumes."""

import json

import pytest
from ray import tune

from balltrain.api.preparing import prepare
from balltrain.errors import UsageError
from balltrain.execution.keeping import finish_sweep
from balltrain.execution.preflight import expected_rungs
from balltrain.records.columns import Status
from balltrain.records.goals import Goals
from balltrain.records.state import SweepState
from balltrain.search.front_stopping import FrontStopping
from balltrain.search.searchers import HyperOptSearcher
from balltrain.search.sweep import Sweep, override
from balltrain.testing.virtual import outcome

TWO = ["val_loss", "error:max"]


def learns(trial):
    for _ in trial.epochs():
        trial.report(accuracy=0.5, memory=1.0)


@pytest.fixture
def several(make_toy_plan, simulate):
    """A sweep whose error is the larger, the larger its rate, and whose loss the smaller, the smaller it is."""

    def make(lines=(), **options):
        sim = simulate(make_toy_plan(**{"trials": 20, "epochs": 9, "grace": 1, "objectives": TWO, **options}), lines)
        plain = sim.row

        def row(attempt, epoch, objective=None):
            rate = attempt.config["lr"]
            found = plain(attempt, epoch, rate + 1e-3 / epoch)
            return {**found, "metrics": {"error": rate * (1 - 1 / (1 + epoch))}, "num_params": 49 + attempt.number}

        sim.row = row
        return sim

    return make


def test_objectives_are_recorded_with_their_modes(make_toy_plan):
    recorded = make_toy_plan(objectives=["val_loss", "num_params", "error:max"], prefer="num_params < 9").to_json()
    assert recorded["objectives"] == ["val_loss:min", "num_params:min", "error:max"]
    assert (recorded["objective"], recorded["mode"], recorded["searcher"]) == ("val_loss", "min", "optuna-nsga2")
    assert Goals.of(recorded).names == ("val_loss", "num_params", "error")
    assert Goals.of(make_toy_plan().to_json()) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": ["val_loss", "errors:max"]}, "the objective errors is no figure of toy: did you mean error"),
        ({"objectives": ["val_loss", "val_loss"]}, "the objective val_loss is given twice"),
        ({"objectives": ["val_loss", "error"]}, "is error to be small or large"),
        ({"objectives": ["val_loss", "error:big"]}, "ends in 'big', but must end in :min or :max"),
        (
            {"objectives": ["error:max", "val_loss"]},
            "the first objective is error:max, but must be that of toy",
        ),
        ({"objectives": ["val_loss", "error >"]}, "the objective 'error >' is none"),
        ({"objectives": ["val_loss"]}, "objectives has val_loss:min alone"),
        ({"objectives": TWO, "prefer": "speed"}, "prefer names speed, which is no objective of the sweep"),
        ({"objectives": TWO, "prefer": "error < 3"}, "error is to be large: write error >= 3"),
        ({"objectives": TWO, "prefer": "error:min"}, "prefer has error:min, but the objective is error:max"),
        ({"prefer": "error"}, "prefer chooses from a front"),
        (
            {"objectives": TWO, "searcher": "hyperopt"},
            "hyperopt knows one objective, and this sweep has 2: use --sea",
        ),
        ({"objectives": TWO, "searcher": "freeze-thaw"}, "freeze-thaw knows one objective"),
        ({"objectives": TWO, "confirm": 2}, "confirm compares trials by one objective"),
        ({"searcher": "optuna-nsga2"}, "optuna-nsga2 is for several objectives"),
    ],
)
def test_wrong_objectives_are_one_line(make_toy_plan, options, message):
    with pytest.raises(UsageError) as refused:
        make_toy_plan(**options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_line_gives_one_or_several(tmp_path):
    def prepared(*objectives, **options):
        options = {"objectives": list(objectives), "name": "x", "storage": tmp_path, "wandb": "off", **options}
        return prepare("cifar10", None, options).plan

    assert prepared("accuracy").goals is None
    assert prepared("accuracy", "num_params:min").goals.names == ("accuracy", "num_params")
    with pytest.raises(UsageError, match="has an objective of its own"):
        prepared("val_loss")


def test_a_file_of_one_objective_takes_a_searcher_of_several():
    sweep = Sweep("detect", {"lr": 1})
    assert sweep.searcher == "hyperopt"
    assert override(sweep, objectives=["val_loss", "iou:max"]).searcher == "optuna-nsga2"
    assert override(sweep, objectives=["val_loss", "iou:max"], searcher="random").searcher == "random"
    assert HyperOptSearcher.num_random == 20


@pytest.mark.parametrize("searcher", ["optuna-tpe", "optuna-nsga2", "random", "sobol"])
@pytest.mark.parametrize("kill_after", [1, 17, 40])
def test_a_resumed_sweep_is_as_one_that_ran_through(several, searcher, kill_after):
    whole = several(searcher=searcher)
    whole.run()
    resumed = several(json.loads(json.dumps(whole.lines[:kill_after])), searcher=searcher)
    resumed.run()
    assert resumed.controller.rungs().keys() == whole.controller.rungs().keys()
    assert {t.status for t in whole.state.searched} == {Status.COMPLETED, Status.STOPPED}
    replayed = SweepState.replay(json.loads(json.dumps(whole.lines)))
    assert [t.number for t in replayed.front] == [t.number for t in whole.state.front]
    if searcher in ("random", "sobol"):  # two trials at a time end in another order
        assert outcome(resumed.state) == outcome(whole.state)


def test_what_no_other_beats_is_the_front_and_the_first_objective_has_the_best(several):
    sim = several(searcher="random")
    sim.run()
    values = {t.number: (t.objective, -t.figure("error")) for t in sim.state.ranked()}
    front = [t.number for t in sim.state.front]
    for number, value in values.items():
        beaten = any(v[0] <= value[0] and v[1] <= value[1] and v != value for v in values.values())
        assert beaten != (number in front)
    assert sim.state.best.number == front[0] == min(values, key=lambda n: values[n])
    assert [t.number for t in sim.state.ranked()[: len(front)]] == front


def test_a_preference_says_which_of_the_front_is_the_best(several):
    sim = several(searcher="random", prefer="error > 1e-3, then val_loss")
    sim.run()
    best = sim.state.best
    kept = [t for t in sim.state.ranked() if t.figure("error") > 1e-3]
    assert best.objective == min(t.objective for t in kept)
    sim = several(searcher="random", prefer="error > 1e3")  # nobody: the nearest
    sim.run()
    assert sim.state.best.figure("error") == max(t.figure("error") for t in sim.state.ranked())


def test_asha_keeps_what_is_spread_over_the_front():
    rule = FrontStopping("asha", epochs=9, grace=1, reduction_factor=3)
    decisions = [rule.goes_on(str(n), 1, values) for n, values in enumerate([(1, 9), (9, 1), (5, 5), (9, 9), (2, 8)])]
    assert decisions[0] is True  # the first at a rung
    assert decisions[3] is False  # dominated
    front = FrontStopping("asha", epochs=9, grace=1, reduction_factor=2)
    assert [front.goes_on(str(n), 1, v) for n, v in enumerate([(1, 9), (5, 5), (9, 1)])] == [True, False, True]
    assert [front.goes_on(str(n), 3, v) for n, v in enumerate([(5, 5), (9, 1), (1, 9)])] == [True, False, True]
    assert front.goes_on("0", 3, (5, 5)) is True  # the same row twice changes nothing
    assert list(FrontStopping("none", 9, 1, 3).rungs()) == []


def test_a_trial_whose_second_objective_is_not_finite_fails(several):
    sim = several()
    attempt = sim.controller.next_attempt()
    row = {**sim.row(attempt, 1), "metrics": {"error": float("nan")}}
    assert sim.controller.report(attempt.number, row) == "fail"


def test_a_search_is_flat_once_the_front_grows_no_more(several):
    sim = several(searcher="random", trials=None, stop_when_flat=6, scheduler="none", epochs=1)
    plain = sim.row

    def row(attempt, epoch, objective=None):  # three steps: the others are no better than what is there
        step = min(2, int(attempt.config["lr"] * 300))
        return {**plain(attempt, epoch), "objective": float(step), "metrics": {"error": float(step)}}

    sim.row = row
    sim.run()
    assert "6 trials ended without a better best" in sim.state.limit
    values = [(t.objective, -t.figure("error")) for t in sim.state.ended_in_order]
    grew = [not any(a <= x and b <= y for a, b in values[:at]) for at, (x, y) in enumerate(values)]
    assert not any(grew[-6:])
    assert sum(grew) > 1


def test_best_has_the_checkpoints_of_the_front(several, tmp_path):
    sim = several(searcher="random", keep_checkpoints=4)
    sim.run()
    for trial in sim.state.trials.values():
        if trial.has_checkpoint:
            (tmp_path / "checkpoints" / trial.trial_id).mkdir(parents=True)
            (tmp_path / "checkpoints" / trial.trial_id / "config.json").write_text(trial.trial_id)
    finish_sweep(sim.controller, tmp_path)
    assert (tmp_path / "best" / "config.json").read_text() == sim.state.best.trial_id
    others = sorted(path.name for path in (tmp_path / "best" / "front").iterdir())
    front = {trial.trial_id for trial in sim.state.front}
    assert len(others) == 3
    assert set(others) < front - {sim.state.best.trial_id}


def test_a_function_has_the_objectives_that_it_reports(tmp_path):
    space = {"lr": tune.loguniform(1e-4, 1e-2)}
    options = {"epochs": 3, "trials": 4, "name": "f", "storage": tmp_path, "wandb": "off"}
    plan = prepare(learns, space, {**options, "objectives": ["accuracy:max", "memory:min", "num_params"]}).plan
    assert (plan.task.objective, plan.task.mode) == ("accuracy", "max")
    assert plan.to_json()["objectives"] == ["accuracy:max", "memory:min", "num_params:min"]
    with pytest.raises(UsageError, match="is memory to be small or large"):
        prepare(learns, space, {**options, "objectives": ["accuracy:max", "memory"]})
    with pytest.raises(UsageError, match="is accuracy to be small or large"):
        prepare(learns, space, {**options, "objectives": ["accuracy", "num_params"]})
    assert prepare(learns, space, {**options, "objectives": ["accuracy:max"]}).plan.task.mode == "max"


def test_the_plan_expects_rungs_as_with_one_objective(make_toy_plan):
    options = {"trials": 30, "epochs": 9, "grace": 1, "searcher": "random"}
    rungs, started, epochs = expected_rungs(make_toy_plan(**options, objectives=TWO))
    assert started == 30
    assert [rung["epoch"] for rung in rungs] == [1, 3, 9]
    assert rungs[0]["trials"] == 30 > rungs[1]["trials"] > rungs[2]["trials"]
    assert 30 < epochs < 30 * 9
