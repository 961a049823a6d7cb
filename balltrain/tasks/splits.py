"""Train, validation and test rows: fixed by a seed, the same for every trial."""

from __future__ import annotations

import numpy as np

SPLITS = ("train", "val", "test")
FRACTIONS = (0.8, 0.1, 0.1)


def draw_folds(groups: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """(num_items,) int64: the fold of each item, from 0; groups stay together, folds differ by one group at most."""
    names, members = np.unique(groups, return_inverse=True)
    fold_of_group = np.empty(len(names), np.int64)
    fold_of_group[np.random.default_rng([seed, len(names), num_folds]).permutation(len(names))] = (
        np.arange(len(names)) % num_folds
    )
    return fold_of_group[members]


def draw_splits(num_items: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """(num_items,) uint8: the number in SPLITS of each item, at random in the proportions of FRACTIONS.

    Items of the same group, such as images of one scene, come into the same split: else the validation split
    would hold near-copies of what was trained on. With fewer than three groups some splits are empty.
    """
    groups = np.arange(num_items) if groups is None else np.asarray(groups)
    names, members = np.unique(groups, return_inverse=True)
    order = np.random.default_rng([seed, len(names)]).permutation(len(names))
    # at least one group each for validation and test, as soon as there are three
    num_held_out = max(1, round(len(names) * FRACTIONS[1])) if len(names) >= 3 else 0
    split_of_group = np.zeros(len(names), np.uint8)
    split_of_group[order[:num_held_out]] = 1
    split_of_group[order[num_held_out : 2 * num_held_out]] = 2
    return split_of_group[members]
