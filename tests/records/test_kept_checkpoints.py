"""Disk use is bounded: checkpoints stay of trials that run, and of the best that have ended."""

import pytest

from balltrain.records.columns import Status
from balltrain.records.state import SweepState


@pytest.fixture
def plan(make_toy_plan):
    return make_toy_plan(trials=30, epochs=9, grace=1, keep_checkpoints=3)


def test_never_more_than_the_best_and_those_that_run(plan, simulate):
    sim = simulate(plan, concurrency=4)
    on_disk, most = set(), 0

    def dropped(trial):
        on_disk.discard(trial.number)

    def row(trial, _):
        nonlocal most
        if trial.has_checkpoint:  # one that has just ended may be deleted already
            on_disk.add(trial.number)
        most = max(most, len(on_disk))

    sim.controller.on_dropped, sim.controller.on_row = dropped, row
    sim.run()
    best = [trial.number for trial in sim.state.ranked()[:3]]
    assert sorted(on_disk) == sorted(best)
    assert most <= 3 + 4
    assert [trial.number for trial in sim.state.trials.values() if trial.has_checkpoint] == sorted(best)


def test_among_equals_the_best_is_one_that_is_kept(plan, simulate):
    """Accuracies of 1.0: whoever ends first, the trial that `best` names has its checkpoint."""
    sim = simulate(plan, concurrency=4)
    attempts = [sim.controller.next_attempt() for _ in range(4)]
    for attempt in reversed(attempts):
        for epoch in range(1, 10):
            sim.controller.report(attempt.number, sim.row(attempt, epoch, 1.0))
    assert len([trial for trial in sim.state.trials.values() if trial.has_ended]) == 4
    assert sim.state.best.number == 0
    assert sim.state.best.has_checkpoint


def test_a_replay_knows_what_was_dropped(plan, simulate):
    sim = simulate(plan)
    sim.run(max_reports=60)
    replayed = SweepState.replay(sim.lines)
    kept = [trial.number for trial in sim.state.trials.values() if trial.has_checkpoint]
    assert [trial.number for trial in replayed.trials.values() if trial.has_checkpoint] == kept
    ended = {trial.number for trial in replayed.trials.values() if trial.has_ended}
    assert {trial.number for trial in replayed.dropped} == ended - set(kept)


def test_a_failed_trial_leaves_none(plan, simulate):
    sim = simulate(plan)
    sim.run(max_reports=400, objective=lambda attempt, epoch: float("nan") if attempt.number == 0 else 1.0)
    assert sim.state.trials[0].status == Status.FAILED
    assert not sim.state.trials[0].has_checkpoint


def test_all_folds_are_kept(make_toy_plan, simulate):
    sim = simulate(make_toy_plan(trials=4, epochs=2, scheduler="none", folds=3, keep_checkpoints=1))
    sim.run()
    assert all(trial.has_checkpoint for trial in sim.state.trials.values())


@pytest.mark.slow
def test_a_real_sweep_leaves_the_folders_of_its_best(make_toy_plan, tmp_path, shared_data_dir):
    import pandas as pd

    from balltrain.execution.resources import Resources
    from balltrain.execution.runner import run_sweep

    plan = make_toy_plan(trials=8, epochs=3, grace=1, keep_checkpoints=2)
    resources = Resources(num_gpus=0, cpus_per_trial=1)
    folder = tmp_path / "toy-sweep"
    result = run_sweep(plan, folder, resources, data_dir=shared_data_dir, resume=False)
    best = [trial.trial_id for trial in result.state.ranked()[:2]]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == sorted(best)
    trials = pd.read_parquet(folder / "trials.parquet").set_index("trial_id")
    assert sorted(trials.index[trials["checkpoint"].notna()]) == sorted(best)
    assert all((folder / "checkpoints" / trial_id / "state.pt").exists() for trial_id in best)
