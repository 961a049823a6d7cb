"""Fronts and hypervolumes, against definitions and numbers that were computed by hand."""

import itertools

import numpy as np
import pytest

from balltrain.records.front import front_order, hypervolume, layers_of, spread_order


def peeled(values):
    """By the definition."""
    left, found = set(range(len(values))), np.zeros(len(values), int)
    for layer in itertools.count():
        if not left:
            return found
        front = {
            i for i in left if not any((values[j] <= values[i]).all() and (values[j] < values[i]).any() for j in left)
        }
        for i in front:
            found[i] = layer
        left -= front


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("num", [1, 2, 3, 4])
def test_layers_are_what_is_left_without_those_before(seed, num):
    values = np.random.default_rng([seed, num]).integers(0, 6, (40, num)).astype(float)
    assert layers_of(values).tolist() == peeled(values).tolist()


def test_equal_values_share_a_layer():
    assert layers_of(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 2.0]])).tolist() == [0, 0, 1]
    assert layers_of(np.empty((0, 2))).tolist() == []


def test_the_first_few_of_a_layer_are_spread_over_it():
    values = np.array([[n, 10.0 - n] for n in range(11)])
    assert spread_order(values)[:3] == [0, 10, 5]
    assert sorted(spread_order(values)) == list(range(11))


def test_order_is_layer_by_layer():
    values = np.array([[3.0, 3.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    assert front_order(values) == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("values", "reference", "volume"),
    [
        ([], (1, 1), 0.0),
        ([(0.5,)], (1,), 0.5),
        ([(0.0, 0.0)], (2, 3), 6.0),
        ([(1, 2), (2, 1)], (3, 3), 3.0),
        ([(1, 2), (2, 1), (2, 2), (4, 0)], (3, 3), 3.0),
        ([(0, 0, 0)], (1, 2, 3), 6.0),
        ([(1, 1, 2), (1, 2, 1), (2, 1, 1)], (3, 3, 3), 7.0),
    ],
)
def test_a_hypervolume_is_the_union_of_what_is_dominated(values, reference, volume):
    assert hypervolume(values, reference) == pytest.approx(volume)


@pytest.mark.parametrize("num", [2, 3, 4])
def test_a_hypervolume_is_that_of_many_random_points(num):
    random = np.random.default_rng(num)
    values, thrown = random.random((12, num)), random.random((100_000, num))
    inside = (values[:, None] <= thrown).all(2).any(0).mean()
    assert hypervolume(values, [1.0] * num) == pytest.approx(inside, abs=0.01)
