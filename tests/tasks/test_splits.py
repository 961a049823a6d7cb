import numpy as np
import pytest

from balltrain.tasks.splits import draw_folds, draw_splits


def test_fractions_are_80_10_10():
    counts = np.bincount(draw_splits(1000, seed=0))
    assert counts.tolist() == [800, 100, 100]


def test_same_seed_same_splits_and_another_seed_others():
    assert (draw_splits(100, 3) == draw_splits(100, 3)).all()
    assert (draw_splits(100, 3) != draw_splits(100, 4)).any()


def test_items_of_a_group_stay_together():
    groups = np.repeat(np.arange(50), 3)
    splits = draw_splits(150, 0, groups)
    assert all(len(set(splits[groups == group])) == 1 for group in range(50))
    assert set(splits) == {0, 1, 2}


@pytest.mark.parametrize("num_groups", [3, 4, 7])
def test_three_groups_are_enough_for_three_splits(num_groups):
    assert set(draw_splits(num_groups, 0)) == {0, 1, 2}


def test_fewer_groups_all_train():
    assert draw_splits(6, 0, np.array([1, 1, 1, 2, 2, 2])).tolist() == [0] * 6


def test_folds_are_even_and_keep_groups_together():
    groups = np.repeat(np.arange(20), 3)
    folds = draw_folds(groups, 5, seed=0)
    assert np.bincount(folds).tolist() == [12] * 5
    assert all(len(set(folds[groups == group])) == 1 for group in range(20))
    assert (folds == draw_folds(groups, 5, seed=0)).all()
    assert (folds != draw_folds(groups, 5, seed=1)).any()
