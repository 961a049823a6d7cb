"""A journal followed while it grows: the state that a resumed sweep would have, in a part of the memory."""

import pytest

from balltrain.errors import BalltrainError
from balltrain.records.journal import encoded, read_journal
from balltrain.records.state import SweepState
from balltrain.reporting.snapshot import snapshot_of
from balltrain.serving.following import Followed


def test_it_has_the_state_and_all_epochs_of_the_journal(growing):
    sweep = growing(trials=4, epochs=30)
    sweep.run(max_reports=100)
    followed = Followed(sweep.folder / "journal.jsonl")
    news = followed.look()
    state = SweepState.replay(read_journal(sweep.folder))
    for trial in state.trials.values():
        ours = followed.state.trials[trial.number]
        assert (ours.status, ours.epochs, ours.objective) == (trial.status, trial.epochs, trial.objective)
        assert followed.curves[trial.number].columns["val_loss"].tolist() == [row["val_loss"] for row in trial.rows]
        assert len(ours.rows) <= 21  # the others are in columns
    assert followed.state.best.trial_id == state.best.trial_id
    assert len(news.rows) == 100


def test_only_what_is_new_is_told_and_a_line_that_is_being_written_waits(growing):
    sweep = growing()
    number = sweep.start()
    sweep.epoch(number)
    followed = Followed(sweep.folder / "journal.jsonl")
    assert len(followed.look().rows) == 1
    assert followed.look().rows == []
    line = encoded({**sweep.lines[-1], "row": {**sweep.lines[-1]["row"], "epoch": 2}})
    sweep.journal.write(line[:40])
    sweep.journal.flush()
    assert followed.look().rows == []
    sweep.journal.write(line[40:])
    sweep.journal.flush()
    ((trial_id, figures),) = followed.look().rows
    assert (trial_id, figures["epoch"]) == (f"{number:05d}", 2)


def test_each_attempt_says_why_it_ended(growing):
    from balltrain.search.policy import Cause

    sweep = growing(trials=2)
    number = sweep.start()
    sweep.epoch(number)
    sweep.controller.fail(number, Cause.DETERMINISTIC, "CUDA out of memory")
    followed = Followed(sweep.folder / "journal.jsonl")
    followed.look()
    (attempt,) = followed.attempts[number]
    assert attempt.error == "CUDA out of memory"
    assert attempt.how.startswith("failed")
    assert attempt.node == "here"


def test_an_attempt_that_was_killed_is_told_when_the_sweep_goes_on(growing):
    sweep = growing()
    number = sweep.start()
    sweep.epoch(number)
    sweep.append({**sweep.lines[0], "type": "resume"})
    sweep.append({"type": "start", "number": number, "attempt": 2, "time": sweep.clock()})
    followed = Followed(sweep.folder / "journal.jsonl")
    followed.look()
    first, second = followed.attempts[number]
    assert (first.how, second.how) == ("killed", None)
    assert followed.before.num_epochs == 1


def test_a_damaged_journal_is_named(growing, tmp_path):
    sweep = growing()
    sweep.append({"type": "thaw", "number": 77, "time": 0.0})
    with pytest.raises(BalltrainError, match="line 2 is damaged"):
        Followed(sweep.folder / "journal.jsonl").look()
    with pytest.raises(BalltrainError, match="cannot read"):
        Followed(tmp_path / "none.jsonl")


def test_a_sweep_of_several_objectives_has_its_front(growing):
    sweep = growing(trials=5, objectives=["val_loss:min", "error:min"])
    sweep.run()
    followed = Followed(sweep.folder / "journal.jsonl")
    followed.look()
    assert [trial.trial_id for trial in followed.state.front] == [trial.trial_id for trial in sweep.state.front]
    assert "on the front" in snapshot_of(followed).front
