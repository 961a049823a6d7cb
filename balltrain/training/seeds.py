"""Seeds of what a training draws: functions of the trial's seed and of what is drawn. No random state is saved."""

from __future__ import annotations

import numpy as np

# how seeds are made: a training goes on as it began, and its state.pt says how
BY_HASH = 1  # of a tuple, by Python's own function; trainings that versions until 0.1.0 began
BY_SEED_SEQUENCE = 2
START, EPOCH = 0, 1  # what is drawn for


def start_seed(seed: int, start: int) -> int:
    """Of an initialisation of the model; `start` is its number, from 0, of those that are tried."""
    return _seed(seed, START, start) if start else seed


def epoch_seed(seed: int, epoch: int, rank: int, made: int = BY_SEED_SEQUENCE) -> int:
    """Of the dropout and augmentation of an epoch, from 1, on a worker."""
    if made == BY_HASH:
        return hash((seed, epoch, rank)) & 0x7FFFFFFF
    return _seed(seed, EPOCH, epoch, rank)


def _seed(seed: int, *key: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])
