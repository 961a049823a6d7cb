"""Which figures make a row."""

import pytest

from balltrain.errors import BalltrainError
from balltrain.programs.epochs import QUIET_S, Numbering, Rows


def rows_of(objective, *figures, numbering=None, apart_s=0.0):
    """What comes of figures that follow each other by so many seconds."""
    rows, now, found = Rows(objective, numbering or Numbering()), 0.0, []
    for some in figures:
        rows.add(some, now)
        found += rows.due(now)
        now += apart_s
        found += rows.due(now)
    return found + rows.due(now, ended=True)


def test_without_an_epoch_each_report_is_one():
    assert rows_of("acc", {"acc": 0.1}, {"loss": 3}, {"acc": 0.2}) == [
        (1, {"acc": 0.1}),
        (2, {"loss": 3, "acc": 0.2}),
    ]


def test_figures_of_an_epoch_are_put_together_also_where_they_lie_in_several_rows():
    given = [{"epoch": 0, "train_loss": 1}, {"epoch": 0, "val_loss": 2}, {"epoch": 1, "val_loss": 3}]
    assert rows_of("val_loss", *given) == [(1, {"train_loss": 1, "val_loss": 2}), (2, {"val_loss": 3})]


def test_an_epoch_is_reported_once_its_objective_is_there_and_nothing_more_comes():
    rows = Rows("val_loss", Numbering())
    rows.add({"epoch": 1, "val_loss": 0.5}, 0.0)
    assert rows.due(QUIET_S / 2) == []
    assert rows.due(QUIET_S) == [(1, {"val_loss": 0.5})]
    assert rows.due(9, ended=True) == []


def test_where_all_of_an_epoch_comes_together_the_next_is_reported_at_once_and_late_figures_undo_that():
    rows = Rows("val_loss", Numbering())
    rows.add({"epoch": 1, "val_loss": 0.5}, 0.0)
    assert len(rows.due(QUIET_S)) == 1
    rows.add({"epoch": 2, "val_loss": 0.4}, 1.0)
    assert len(rows.due(1.0)) == 1
    rows.add({"epoch": 2, "time": 1.0}, 1.1)
    rows.add({"epoch": 3, "val_loss": 0.3}, 2.0)
    assert rows.due(2.0) == []
    rows.add({"epoch": 3, "time": 1.0}, 2.1)
    assert rows.due(9.0) == [(3, {"val_loss": 0.3, "time": 1.0})]


def test_of_a_loss_that_comes_every_few_steps_the_last_of_the_epoch_counts():
    steps = [{"epoch": epoch, "loss": loss} for epoch, loss in ((1, 9), (1, 8), (2, 7), (2, 6), (3, 5))]
    assert rows_of("loss", *steps, apart_s=1) == [(1, {"loss": 8}), (2, {"loss": 6}), (3, {"loss": 5})]


def test_a_part_of_an_epoch_belongs_to_it():
    given = [{"epoch": 0.5, "loss": 2}, {"epoch": 1.0, "eval_loss": 1}, {"epoch": 1.5, "loss": 0}]
    assert rows_of("eval_loss", *given) == [(1, {"loss": 2, "eval_loss": 1}), (2, {"loss": 0})]


def test_a_line_about_the_best_does_not_change_the_last_epoch():
    assert rows_of("val_loss", {"epoch": 1, "val_loss": 0.5}, {"val_loss": 0.1}) == [(1, {"val_loss": 0.5})]


def test_an_epoch_named_on_a_line_of_its_own_is_that_of_the_figures_that_follow():
    keras = [{"epoch": 1}, {"loss": 2, "val_loss": 1}, {"epoch": 2}, {"loss": 1, "val_loss": 0.5}]
    assert rows_of("val_loss", *keras) == [(1, {"loss": 2, "val_loss": 1}), (2, {"loss": 1, "val_loss": 0.5})]


@pytest.mark.parametrize("first", [0, 1])
def test_a_program_that_starts_anew_gives_its_epochs_the_same_numbers_and_one_that_goes_on_the_next(first):
    numbering = Numbering()
    rows_of("val", *({"epoch": first + e, "val": e} for e in range(3)), numbering=numbering)
    kept = Numbering(list(numbering.keys))
    again = rows_of("val", *({"epoch": first + e, "val": e} for e in range(4)), numbering=numbering)
    assert [number for number, _ in again] == [1, 2, 3, 4]
    on = rows_of("val", {"epoch": first + 3, "val": 3}, numbering=kept)
    assert [number for number, _ in on] == [4]


def test_an_epoch_that_is_no_number_is_refused():
    with pytest.raises(BalltrainError, match="epoch is nan"):
        rows_of("val", {"epoch": float("nan"), "val": 1})
