"""Configurations to begin with, and what does not go together with a searcher: one line before anything runs."""

import pytest
from ray import tune

from balltrain import Sweep, UsageError
from balltrain.cli.options import knobs
from balltrain.search.space import Space
from balltrain.search.starts import start_point
from balltrain.search.sweep import override

SPACE = Space(
    {
        "lr": tune.loguniform(1e-5, 1e-1),
        "width": tune.randint(8, 33),
        "even": tune.qrandint(8, 32, 2),
        "kind": tune.choice(["a", {"kind": "c", "z": tune.uniform(0, 1)}]),
        "layers": tune.choice([[16], [16, 32]]),
    }
)
DEFAULTS = {"lr": 1e-3, "width": 16, "even": 8, "kind": "a", "layers": [16]}


@pytest.mark.parametrize("searcher", ["hyperopt", "random", "freeze-thaw", "optuna-tpe"])
def test_starts_come_first_and_the_searcher_is_told_of_them(make_toy_plan, simulate, searcher):
    starts = [{"lr": 2e-3, "batch_size": 8}, {"lr": 4e-2}]
    plan = make_toy_plan(searcher=searcher, trials=6, start=starts)
    whole = simulate(plan, concurrency=1)
    whole.run()
    configs = [t.config for t in whole.state.searched]
    assert [c["lr"] for c in configs[:2]] == [2e-3, 4e-2]
    assert configs[0]["batch_size"] == 8
    assert plan.to_json()["start"] == starts
    killed = simulate(plan, concurrency=1)
    killed.run(max_reports=5)
    resumed = simulate(plan, killed.lines, concurrency=1)
    resumed.run()
    assert [t.config for t in resumed.state.searched] == configs


def test_what_a_start_leaves_open_is_the_tasks_default():
    point = start_point({"width": 32, "z": 0.25, "kind": "c"}, DEFAULTS, SPACE)
    assert SPACE.decode(point) == {"lr": 1e-3, "width": 32, "even": 8, "kind": "c", "z": 0.25, "layers": [16]}


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"lr": 1.0}, "lr=1.0 lies outside the space: give lr a value from 1e-05 to 0.1"),
        ({"width": 33}, "width=33 lies outside the space: give width a whole number from 8 to 32"),
        ({"width": 16.5}, "width=16.5 lies outside"),
        ({"even": 15}, "even=15 lies outside the space: give even a multiple of 2 from 8 to 32"),
        (
            {"kind": "b"},
            r"kind='b' lies outside the space: give kind one of \"a\", \{kind: \"c\", z: a value from 0 to 1\}$",
        ),
        ({"layers": [64]}, r"layers=\[64\] lies outside the space: give layers one of \[16\], \[16, 32\]"),
        ({"kind": "a", "z": 0.5}, "z=0.5 lies outside the space: it is an option's"),
        ({"with": 16}, "the space has no 'with': did you mean width"),
    ],
)
def test_a_start_outside_the_space_is_refused(start, message):
    with pytest.raises(UsageError, match=message):
        start_point(start, DEFAULTS, SPACE)


def test_start_is_typed_as_pairs(cli):
    (option,) = knobs(Sweep, "start")
    assert option.flag == "--start"
    assert option.read(["lr=0.01,layers=[16, 32],width=16", "lr=1e-3"]) == [
        {"lr": 0.01, "layers": [16, 32], "width": 16},
        {"lr": 1e-3},
    ]
    code, out, err = cli("sweep", "detect_heatmap", "--start", "lr=1", "--dry-run")
    assert (code, out) == (2, "")
    assert err.startswith("error: the start lr=1 lies outside the space: give lr a value from ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"searcher": "freeze-thaw", "grace": 2}, "freeze-thaw pauses trials itself"),
        ({"searcher": "freeze-thaw", "reduction_factor": 4}, "freeze-thaw pauses trials itself"),
        ({"searcher": "freeze-thaw", "scheduler": "asha"}, "leave out --scheduler asha"),
        ({"searcher": "freeze-thaw", "sobol_start": 4}, "need the searcher sobol"),
        ({"searcher": "freeze-thaw", "folds": 3, "scheduler": "none"}, "folds are compared by their mean"),
        ({"searcher": "sobol", "start": [{"lr": 1e-3}]}, "sobol goes through points of its own"),
        ({"searcher": "grid", "start": [{"lr": 1e-3}]}, "grid goes through points of its own"),
        ({"searcher": "grid"}, r"lr is continuous.*tune.grid_search"),
        ({"searcher": "optuna-cmaes"}, "batch_size is a choice"),
        ({"start": {"lr": 1e-3}}, "must be a list of configurations"),
        ({"start": [{}]}, "must be a list of configurations"),
    ],
)
def test_what_does_not_go_together_is_refused(make_toy_plan, options, message):
    with pytest.raises(UsageError, match=message):
        make_toy_plan(**options)


def test_freeze_thaw_takes_a_sweep_that_has_a_grace_period_of_its_own():
    sweep = Sweep("detect", {"lr": tune.loguniform(1e-4, 1e-2)}, grace=2, reduction_factor=4)
    assert override(sweep, searcher="freeze-thaw").grace is None


def test_who_asks_for_asha_gets_it_of_a_freeze_thaw_sweep():
    sweep = Sweep("detect", {"lr": tune.loguniform(1e-4, 1e-2)}, searcher="freeze-thaw")
    assert override(sweep, trials=4).searcher == "freeze-thaw"
    for asked in ({"grace": 2}, {"scheduler": "asha"}, {"scheduler": "none", "folds": 3}):
        assert override(sweep, **asked).searcher == "hyperopt"


def test_nested_spaces_are_refused_by_who_does_not_know_them(make_toy_plan, tmp_path):
    from balltrain.search.searchers import build_searcher

    with pytest.raises(UsageError, match=r"optuna-gp searches no nested spaces, but kind/1/z counts for one option"):
        build_searcher("optuna-gp", SPACE, "min", 0)


def test_a_grid_is_gone_through_in_order_and_by_no_other_searcher(make_toy_plan):
    import dataclasses

    from balltrain.search.plan import make_plan
    from balltrain.tasks.base import DataRequest

    plan = make_toy_plan()
    space = {"lr": tune.grid_search([1e-3, 1e-2, 1e-1]), "batch_size": tune.grid_search([8, 16])}

    def planned(**options):
        sweep = dataclasses.replace(plan.sweep, space=space, searcher="hyperopt", trials=100)
        return make_plan(override(sweep, **options), plan.ref, name="g", request=DataRequest())

    for name in ("hyperopt", "freeze-thaw"):
        with pytest.raises(UsageError, match=r"lr: tune.grid_search .* --searcher grid"):
            planned(searcher=name)
    found = planned(searcher="grid")
    searcher = found.build_searcher()
    configs = [found.space.decode(searcher.suggest(n)) for n in range(found.sweep.trials)]
    assert [(c["lr"], c["batch_size"]) for c in configs] == [(lr, b) for lr in (1e-3, 1e-2, 1e-1) for b in (8, 16)]
    assert found.advice is None
    assert "4 of the grid's 6 points are tried: --trials 6" in planned(searcher="grid", trials=4).advice


def test_a_range_without_steps_has_no_grid_and_others_have():
    from balltrain.search.grid import grid_points

    steps = Space({"q": tune.quniform(0, 1, 0.25), "n": tune.randint(2, 4), "down": tune.quniform(0.5, 0.3, 0.1)})
    points = grid_points(steps)
    assert len(points) == 5 * 2 * 3
    assert [p["down"] for p in points[:3]] == pytest.approx([0.5, 0.4, 0.3])
    with pytest.raises(UsageError, match="more than 100000 points"):
        grid_points(Space({f"n{i}": tune.randint(0, 1000) for i in range(3)}))
