"""Freeze-thaw search, on simulated trials with virtual time."""

import math

import numpy as np
import pytest
from ray import tune

from balltrain.errors import UsageError
from balltrain.records.columns import Decision, Status
from balltrain.records.state import SweepState, Trial
from balltrain.search import freeze_thaw
from balltrain.search.cube import Cube
from balltrain.search.freeze_thaw import FreezeThaw
from balltrain.search.space import Space
from balltrain.search.twins import Twins
from balltrain.testing.curves import Problem
from balltrain.testing.virtual import VirtualSweep, plan_of

MIXED = Space(
    {
        "lr": tune.loguniform(1e-5, 1e-1),
        "n": tune.randint(0, 5),
        "step": tune.quniform(0, 1, 0.25),
        "kind": tune.choice(["a", "b", {"kind": "c", "z": tune.uniform(0, 1)}]),
    }
)


@pytest.fixture
def make_plan(make_toy_plan):
    return lambda **options: make_toy_plan(searcher="freeze-thaw", **options)


def outcome(state):
    return [(t.config, t.status, t.seed, t.rows, t.attempts) for t in state.trials.values()]


def test_all_trials_start_with_the_defaults_first_and_some_train_to_the_end(make_plan, simulate):
    sim = simulate(make_plan(trials=30, epochs=20))
    sim.run()
    trials = sim.state.searched
    assert len(trials) == 30
    assert trials[0].config["lr"] == 1e-3
    assert {t.status for t in trials} == {Status.COMPLETED, Status.STOPPED}
    assert sim.state.best.status == Status.COMPLETED
    assert sum(t.epochs for t in trials) <= 0.3 * 30 * 20 + 20


@pytest.mark.parametrize("start", [[], [{"lr": 0.05}, {"lr": 2e-3}]])
def test_the_best_of_what_is_known_to_be_good_goes_to_its_end_first(make_plan, simulate, start):
    plan = make_plan(trials=30, epochs=20, start=start)
    sim = simulate(plan, concurrency=1)
    sim.run()
    reports = [(line["number"], line["row"]["epoch"]) for line in sim.lines if line["type"] == "report"]
    leader = next(number for number, epoch in reports if epoch == 20)
    at_milestone = [t.rows[1]["objective"] for t in sim.state.searched[: len(start) + 1]]
    assert leader == at_milestone.index(min(at_milestone))
    before = reports[: reports.index((leader, 20))]
    assert all(epoch <= 2 for number, epoch in before if number != leader)


def test_the_mere_middle_of_a_space_is_not_known_to_be_good():
    problem = Problem("middle", {"x": tune.uniform(-1, 1)}, 20, lambda c: c["x"] ** 2 + 1 / np.arange(1, 21))
    for start, whole in (([], False), ([{"x": 0.5}], True)):
        plan = plan_of(problem, trials=30, searcher="freeze-thaw", start=start)
        first = VirtualSweep(problem, plan, workers=1).run(20).state.searched[0]
        assert (first.epochs == 20) == whole


def test_trials_pause_at_milestones_and_go_on_where_they_stood(make_plan, simulate):
    sim = simulate(make_plan(trials=30, epochs=20))
    sim.run()
    thawed = [line["number"] for line in sim.lines if line["type"] == "thaw"]
    assert thawed
    for number in thawed:
        trial = sim.state.trials[number]
        assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
    pauses = [row["epoch"] for t in sim.state.searched for row in t.rows if row["decision"] == Decision.PAUSE]
    assert set(pauses) <= {2, 4, 8, 13}


@pytest.mark.parametrize("kill_after", [0, 20, 47, 90])
def test_a_resumed_sweep_proposes_pauses_and_thaws_as_one_that_ran_through(make_plan, simulate, kill_after):
    plan = make_plan(trials=30, epochs=20)
    worth = {"objective": lambda a, e: math.nan if a.config["lr"] > 3e-2 else None}
    whole = simulate(plan, concurrency=1)
    whole.run(**worth)
    killed = simulate(plan, concurrency=1)
    killed.run(max_reports=kill_after, **worth)
    resumed = simulate(plan, killed.lines, concurrency=1)
    resumed.run(**worth)
    assert [t[:4] for t in outcome(resumed.state)] == [t[:4] for t in outcome(whole.state)]


def test_a_kill_at_any_line_leaves_a_journal_that_goes_on(make_plan, simulate):
    plan = make_plan(trials=12, epochs=10)
    whole = simulate(plan, concurrency=1)
    whole.run()
    for cut in range(1, len(whole.lines), 7):
        resumed = simulate(plan, whole.lines[:cut], concurrency=1)
        resumed.run()
        assert [t[:4] for t in outcome(resumed.state)] == [t[:4] for t in outcome(whole.state)]


def test_pauses_do_not_count_as_failed_attempts(make_plan, simulate):
    sim = simulate(make_plan(trials=30, epochs=20))
    sim.run()
    assert all(t.attempts - t.lost_attempts <= 1 for t in sim.state.searched)


def test_ctrl_c_keeps_paused_trials_paused(make_plan, simulate):
    sim = simulate(make_plan(trials=30, epochs=20))
    sim.run(max_reports=40)
    paused = {t.number for t in sim.state.with_status(Status.PAUSED)}
    assert paused
    sim.controller.interrupted = True
    assert sim.controller.next_attempt() is None
    resumed = simulate(sim.controller.plan, sim.lines)
    assert {t.number for t in resumed.state.with_status(Status.PAUSED)} == paused


def test_it_turns_away_from_where_trials_diverge(make_plan, simulate):
    sim = simulate(make_plan(trials=60, epochs=13))
    sim.run(objective=lambda attempt, _: math.nan if attempt.config["lr"] > 3e-3 else None)
    late = sim.state.searched[30:]
    assert np.mean([t.config["lr"] > 3e-3 for t in late]) < 0.2


def test_it_looks_for_the_largest_where_that_is_best():
    searches = [FreezeThaw(MIXED, mode, 0, 10, 1000) for mode in ("min", "max")]
    points = []
    for search, sign in zip(searches, (1, -1), strict=True):
        trials, proposals = [], []
        for n in range(40):
            trials.append(trial_at(n, search.decide(trials)))
            search.observe(trials[-1], 1, sign * worth(trials[-1].point))
            trials[-1].status = Status.COMPLETED
            proposals.append(trials[-1].point)
        points.append(proposals)
    assert points[0] == points[1]
    assert np.mean([worth(p) for p in points[0][20:]]) < 0.5 * np.mean([worth(p) for p in points[0][:9]])


def test_proposals_lie_in_the_space_and_differ():
    search, trials = FreezeThaw(MIXED, "min", 3, 10, 1000), []
    for n in range(40):
        point = search.decide(trials)
        MIXED.decode(point)
        for dimension in MIXED.dimensions:
            assert dimension.active(point) == (dimension.label in point)
            if dimension.label in point:
                assert dimension.clean(point[dimension.label]) == point[dimension.label]
        trials.append(trial_at(n, point))  # all of them run
    assert len({str(t.point) for t in trials}) == 40


def test_a_space_of_one_point(make_toy_plan, simulate):
    search = FreezeThaw(Space({"width": 4}), "min", 0, 10, 3)
    assert search.decide([]) == {}


def test_folds_are_refused(make_plan):
    with pytest.raises(UsageError, match=r"folds .* freeze-thaw"):
        make_plan(folds=2, scheduler="none")


def test_a_space_encodes_what_it_decodes():
    for seed in range(20):
        point = MIXED.from_unit_cube(np.random.default_rng(seed).random(len(MIXED.dimensions)).tolist())
        assert MIXED.encode(MIXED.decode(point)) == point
    assert MIXED.encode({"lr": 1.0, "n": 1, "step": 0.5, "kind": "a"}) is None
    assert MIXED.encode({"lr": 1e-3, "n": 1, "step": 0.3, "kind": "a"}) is None
    assert MIXED.encode({"lr": 1e-3, "n": 1, "step": 0.5, "kind": "d"}) is None


@pytest.mark.parametrize(
    "space",
    [
        MIXED,
        Space({"a": tune.qloguniform(1e-3, 1, 1e-3), "b": tune.qrandint(0, 20, 5), "d": tune.lograndint(4, 513)}),
        Space({"model": tune.choice([{"k": tune.choice(["x", {"q": tune.uniform(0, 1)}])}, "b"])}),
    ],
)
def test_candidates_are_seen_where_the_trials_made_of_them_would_be(space):
    cube, units = Cube(space), np.random.default_rng(0).random((200, len(space.dimensions)))
    trials = [cube.coordinates(space.from_unit_cube(u)) for u in units.tolist()]
    np.testing.assert_allclose(cube.rounded(units), trials, atol=1e-12)


def test_a_unit_leads_back_to_its_value():
    for dimension in MIXED.dimensions:
        for u in np.linspace(0, 0.999, 50):
            value = dimension.from_unit(float(u))
            assert dimension.from_unit(dimension.to_unit(value)) == pytest.approx(value)


def test_a_decision_takes_milliseconds_with_many_trials():
    import time

    search, random, trials = FreezeThaw(MIXED, "min", 0, 20, 10_000), np.random.default_rng(0), []
    for n in range(500):
        trials.append(trial_at(n, MIXED.from_unit_cube(random.random(len(MIXED.dimensions)).tolist())))
        for epoch in range(1, 21):
            search.observe(trials[-1], epoch, worth(trials[-1].point) + 1 / epoch)
        trials[-1].status = Status.PAUSED if n % 2 else Status.COMPLETED
    taken = []
    for _ in range(5):
        start = time.process_time()
        search.decide(trials)
        taken.append(time.process_time() - start)
        trials.append(trial_at(len(trials), trials[-1].point))
    assert max(taken) < 2  # benchmarks/decisions.py has the figures


def trial_at(number, point):
    trial = Trial(number, {}, point, 0)
    trial.order = number
    return trial


def worth(point):
    return abs(math.log10(point["lr"]) + 3) + 0.1 * abs(point["n"] - 3) + (point["kind"] != 1)


def test_the_state_is_that_of_the_lines(make_plan, simulate):
    sim = simulate(make_plan(trials=12, epochs=10))
    sim.run()
    assert outcome(SweepState.replay(sim.lines)) == outcome(sim.state)


def test_checkpoints_of_paused_trials_are_bounded_and_what_is_dropped_is_out(make_plan, simulate, monkeypatch):
    monkeypatch.setattr(freeze_thaw, "MAX_PAUSED", 4)
    plan = make_plan(trials=30, epochs=20, keep_checkpoints=2)
    sim = simulate(plan, concurrency=2)
    on_disk, most = set(), 0

    def row(trial, _):
        nonlocal most
        if trial.has_checkpoint:
            on_disk.add(trial.number)
        most = max(most, len(on_disk))

    sim.controller.on_dropped = lambda trial: on_disk.discard(trial.number)
    sim.controller.on_row = row
    sim.run()
    assert most <= 2 + 2 + 4 + 1  # the best, those that run, the paused, and one that has just paused
    assert len(sim.state.searched) == 30
    assert sim.state.best.status == Status.COMPLETED
    killed = simulate(plan, sim.lines[: len(sim.lines) // 2], concurrency=1)
    whole = simulate(plan, sim.lines[: len(sim.lines) // 2], concurrency=1)
    whole.run()
    killed.run(max_reports=10)
    resumed = simulate(plan, killed.lines, concurrency=1)
    resumed.run()
    assert [t[:4] for t in outcome(resumed.state)] == [t[:4] for t in outcome(whole.state)]


def test_divergence_is_information_and_ends_no_sweep_that_has_trials_which_train(make_plan, simulate):
    sim = simulate(make_plan(trials=40, epochs=13), concurrency=1)
    sim.run(objective=lambda a, _: math.nan if a.number % 8 else None)
    assert sim.controller.error is None
    assert len(sim.state.searched) == 40


def test_a_sweep_whose_first_twenty_trials_all_diverge_ends(make_plan, simulate):
    sim = simulate(make_plan(trials=40, epochs=13), concurrency=1)
    sim.run(objective=lambda a, _: math.nan)
    assert len(sim.state.searched) == 20
    assert "the first 20 trials failed, 00000 with: epoch 1: the objective" in str(sim.controller.error)


@pytest.mark.slow
def test_a_real_sweep_pauses_thaws_and_keeps_its_checkpoints_in_object_storage(make_plan, bucket, shared_data_dir):
    """On Ray, with a real S3 server: a trial that is thawed fetches its checkpoint and goes on."""
    from balltrain.execution.resources import Resources
    from balltrain.execution.runner import run_sweep
    from balltrain.storage import Storage

    plan, place = make_plan(trials=12, epochs=8, keep_checkpoints=2), Storage(bucket)
    resources = Resources(num_gpus=0, cpus_per_trial=1)
    folder = place.open(plan.name)
    result = run_sweep(plan, folder, resources, data_dir=shared_data_dir, resume=False, storage=place)
    trials = result.state.searched
    assert {t.status for t in trials} == {Status.COMPLETED, Status.STOPPED}
    assert any(t.attempts > 1 for t in trials)
    for trial in trials:
        assert [row["epoch"] for row in trial.rows] == list(range(1, trial.epochs + 1))
        assert trial.attempts - trial.lost_attempts <= 1
    best = sorted(t.trial_id for t in result.state.ranked()[:2])
    kept = Storage(place.uri_of(f"{plan.name}/checkpoints")).remote.folders()
    assert kept == best
    assert (folder / "best" / "model.safetensors").exists()


def test_twins_go_no_further_and_are_kept_away_from():
    """The task rounds x: many configurations are one. Each is trained on once."""
    space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}

    def curve(config):
        x, y = (round(8 * config[name]) / 8 for name in "xy")
        return (x - 0.26) ** 2 + 1.1 * (y - 0.52) ** 2 + 1 / np.arange(1, 41)

    problem = Problem("rounded", space, 40, curve)
    plan = plan_of(problem, searcher="freeze-thaw", trials=60)
    sweep = VirtualSweep(problem, plan, workers=1).run()
    cells = [tuple(round(8 * t.config[name]) for name in "xy") for t in sweep.state.searched]
    went_on = [cell for cell, t in zip(cells, sweep.state.searched, strict=True) if t.epochs > 4]
    assert len(set(went_on)) == len(went_on)
    assert len(set(cells)) > 40
    assert (2, 4) in went_on


def test_curves_that_do_not_move_make_no_twins():
    twins = Twins()
    for n in range(4):
        twins.observe(n, np.array([n / 4]), (1.0, 1.0, 1.0))
    twins.observe(4, np.array([0.9]), (0.5, 0.4))
    twins.observe(5, np.array([0.8]), (0.5, 0.4))
    assert not twins.trials
    assert twins.log_probability_of_none(np.array([[0.5]])) == [0.0]
