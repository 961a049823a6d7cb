"""What a report says first, of sweeps of every kind: why they ended, what failed, what went on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from balltrain.records.results import Results, load_results
from balltrain.reporting.course import course
from balltrain.reporting.headline import headline, won
from balltrain.reporting.progress import saving

Run = Callable[..., Results]


def test_a_sweep_that_ran_to_its_end_says_nothing_of_it(sweep: Run):
    assert course(sweep()) == []


def test_a_budget_that_is_used_up_says_so_and_what_was_never_begun(sweep: Run):
    results = sweep()
    ended = replace(results, sweep={**results.sweep, "limit": "its time budget is used up", "trials": 100})
    assert course(ended) == [
        "The search ended because its time budget is used up: 76 trials of 100 were never begun."
    ]
    trials = results.trials.assign(status=["interrupted", "interrupted", *results.trials.status[2:]])
    (told,) = course(replace(ended, sweep={**ended.sweep, "trials": None}, trials=trials))
    assert told.endswith("is used up. 2 trials can go on, by --resume with a larger budget.")


def test_a_sweep_that_runs_or_was_interrupted_says_so(simulate, sweep: Run, tmp_path):
    simulation = simulate(name="runs")
    for _ in range(10):
        simulation.step()
    results = load_results(tmp_path, simulation.write(tmp_path).name)
    running, begun = results.counts["running"], len(results.trials)
    expected = f"The sweep had not ended when this was drawn: {running} trials ran, {24 - begun} had not begun."
    assert course(results)[0] == expected
    ended = sweep()
    trials = ended.trials.assign(status=["interrupted", *ended.trials.status[1:]])
    assert course(replace(ended, trials=trials)) == [
        "The sweep was interrupted: 1 trial can go on. Its command with --resume goes on."
    ]


def test_failures_are_told_with_what_the_trials_have_in_common(sweep: Run):
    first, *rest = course(sweep(trials=40, failing=lambda number: "CUDA out of memory" if number % 3 == 0 else None))
    assert first == "14 of 40 trials failed, with «CUDA out of memory»."
    assert rest == []  # nothing that they share
    results = sweep(name="large", trials=40, scheduler="none")
    for wide, said in (
        (results.trials["config.width"] > 80, "width is 8"),
        (results.trials["config.activation"] == "relu", "activation is relu in "),
    ):
        status = results.trials.status.where(~wide, "failed")
        told = course(replace(results, trials=results.trials.assign(status=status, error=None)))
        assert told[0].startswith(f"{wide.sum()} of 40 trials failed")
        assert any(said in line and f"{'the trials' if 'width' in said else wide.sum()}" in line for line in told[1:])


def test_what_went_on_and_twins_are_told(sweep: Run):
    results = sweep(epochs=6, continue_best=2, continue_epochs=30)
    assert course(results)[0].startswith("The search's best 2 went on after it, up to epoch 30.")
    assert "times as much" not in won(results)  # which were not trained as long
    twins = results.trials.assign(same_as=[*[None] * 23, "00000"])
    assert course(replace(results, trials=twins))[-1] == (
        "1 trial has the configuration of an earlier one, whose training counts for both."
    )


def test_what_ends_by_a_budget_saved_nothing(sweep: Run):
    results = sweep(trials=6, scheduler="none")
    stopped = results.trials.assign(status="stopped", epochs=7)
    assert saving(replace(results, trials=stopped)) == ""
    asha = {**results.sweep, "scheduler": {"name": "asha", "grace": 1, "reduction_factor": 3}}
    assert saving(replace(results, trials=stopped, sweep=asha)) == ""  # epoch 7 is no rung
    assert "saved 75%" in saving(replace(results, trials=stopped.assign(epochs=3), sweep=asha))


def test_means_decide_where_there_are_folds(sweep: Run):
    results = sweep(scheduler="none")
    folds = replace(results, sweep={**results.sweep, "folds": 2})
    pairs = results.trials.objective.groupby(results.trials.number // 2).mean()
    assert f", on one fold. The best configuration's mean over 2 folds is {pairs.min():.4g} ± " in won(folds)
    assert "median trial" not in won(folds)


def test_new_seeds_decide_and_are_named(sweep: Run):
    results = sweep(confirm=2)
    assert results.best is not None
    _, winner = results.confirmed
    assert "Over 3 new seeds its mean is " in won(results)
    if results.best.trial_id != winner.trial_id:
        assert f"which trains the configuration of trial {winner.trial_id} again" in won(results)


def test_freeze_thaw_and_no_stopping_are_named_for_what_they_do(simulate, sweep: Run, tmp_path):
    simulation = simulate(name="fz", trials=24, epochs=13, searcher="freeze-thaw", scheduler="none")
    while simulation.step():
        pass
    text = headline(load_results(tmp_path, simulation.write(tmp_path).name))
    assert "bowl · freeze-thaw<" in text
    assert "Going on with the promising ones alone saved" in text
    program = sweep(scheduler="none")
    program.sweep["program"] = "function"
    assert "function bowl · random · no early stopping<" in headline(program)
