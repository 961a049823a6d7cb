"""Simulated sequences: repeatable, lawful, and statistically those of mini_balls_seq."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from balltrain.balls.formats import read_sequences
from balltrain.balls.simulate import simulate
from balltrain.balls.world import (
    BOX_SCALE,
    COLLISION_RADIUS_PX,
    FRICTIONS,
    MASSES,
    NUM_BALLS,
    NUM_STEPS,
    RESTITUTIONS,
)
from balltrain.errors import BalltrainError

NUM = 1500
REAL = Path(os.environ.get("BALLTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "balls"


@pytest.fixture(scope="module")
def sequences():
    return simulate(NUM, seed=1)


def of_balls(presence, values):
    """(N, 20, 9, …) to (N, 20, 3, …): the three present colours."""
    n, color = np.nonzero(presence)
    return np.swapaxes(values[n, :, color].reshape(len(presence), NUM_BALLS, *values[:, :, 0].shape[1:]), 1, 2)


def facts(presence, boxes):
    """The figures of the public data's README, from boxes alone."""
    boxes = of_balls(presence, boxes).astype(float)
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    speed = np.linalg.norm(np.diff(centers, axis=1), axis=-1)
    scaled = boxes / BOX_SCALE
    copied = np.mean((scaled[:, 19] - scaled[:, 18]) ** 2)
    extrapolated = np.mean((scaled[:, 19] - 2 * scaled[:, 18] + scaled[:, 17]) ** 2)
    return centers, speed, boxes[..., 2:] - boxes[..., :2], copied, extrapolated


def test_same_seed_same_bytes_and_another_seed_others():
    first, again, other = simulate(5, 1), simulate(5, 1), simulate(5, 2)
    for field in dataclasses.fields(first):
        assert getattr(first, field.name).tobytes() == getattr(again, field.name).tobytes()
    assert not np.array_equal(first.boxes, other.boxes)


def test_first_sequences_do_not_depend_on_how_many_follow(sequences):
    few = simulate(7, seed=1)
    for field in dataclasses.fields(few):
        np.testing.assert_array_equal(getattr(few, field.name), getattr(sequences, field.name)[:7])


def test_shapes_and_zero_rows(sequences):
    assert (sequences.presence.sum(1) == NUM_BALLS).all()
    assert (sequences.boxes.shape, sequences.boxes.dtype) == ((NUM, NUM_STEPS, 9, 4), np.int16)
    assert (sequences.centers.shape, sequences.centers.dtype) == ((NUM, NUM_STEPS, 9, 2), np.float32)
    absent = np.repeat(sequences.presence[:, None] == 0, NUM_STEPS, axis=1)
    for values in (sequences.boxes, sequences.centers, sequences.velocities, sequences.spins):
        assert not values[absent].any()
    assert not sequences.mass[sequences.presence == 0].any()


def test_hidden_properties_are_those_of_cophy(sequences):
    present = sequences.presence > 0
    for values, choices in (
        (sequences.mass, MASSES),
        (sequences.friction, FRICTIONS),
        (sequences.restitution, RESTITUTIONS),
    ):
        found, counts = np.unique(values[present], return_counts=True)
        np.testing.assert_allclose(found, choices)
        assert counts.min() > 0.3 * present.sum()


def test_no_box_leaves_the_image_and_no_ball_crosses_a_wall(sequences):
    boxes = of_balls(sequences.presence, sequences.boxes)
    assert boxes.min() >= 0
    assert boxes.max() <= 99
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    centers = of_balls(sequences.presence, sequences.centers)
    assert centers.min() > 4
    assert centers.max() < 95.5


def test_balls_do_not_pass_through_each_other(sequences):
    centers = of_balls(sequences.presence, sequences.centers)
    gaps = np.linalg.norm(centers - np.roll(centers, 1, axis=2), axis=-1)
    assert gaps.min() > 1.6 * COLLISION_RADIUS_PX
    assert np.quantile(gaps, 0.001) > 1.9 * COLLISION_RADIUS_PX


def test_energy_never_grows(sequences):
    """Energy of motion and spin; the contact solver may err by a little in a pile-up."""
    mass = sequences.mass[:, None]
    moving = 0.5 * mass * (sequences.velocities**2).sum(-1)
    spinning = 0.5 * (0.4 * mass * COLLISION_RADIUS_PX**2) * sequences.spins**2
    energy = (moving + spinning).sum(-1)
    growth = energy[:, 1:] / energy[:, :-1] - 1
    assert growth.max() < 0.1
    assert (growth > 1e-4).mean() < 1e-3
    assert energy[:, -1].mean() < 0.6 * energy[:, 0].mean()


def test_balls_away_from_walls_keep_their_momentum(sequences):
    velocities = of_balls(sequences.presence, sequences.velocities)
    mass = of_balls(sequences.presence, np.repeat(sequences.mass[:, None], NUM_STEPS, axis=1))
    momentum = (mass[..., None] * velocities).sum(axis=2)
    centers = of_balls(sequences.presence, sequences.centers)
    margin = np.minimum(centers - 5.6, 93.5 - centers).min(axis=(2, 3))
    reach = np.abs(velocities).max(axis=(2, 3)) + 2
    away = (margin[:, :-1] > reach[:, :-1]) & (margin[:, 1:] > reach[:, 1:])
    collided = np.abs(np.diff(velocities, axis=1)).max(axis=(2, 3)) > 0.5
    assert (away & collided).sum() > 20
    change = np.abs(np.diff(momentum, axis=1)).max(axis=-1)
    assert change[away].max() < 1e-3


def test_wall_takes_the_restitution_of_the_ball(sequences):
    """The first wall a ball without neighbours meets reverses one component of its velocity."""
    centers = of_balls(sequences.presence, sequences.centers)
    velocities = of_balls(sequences.presence, sequences.velocities)
    restitution = of_balls(sequences.presence, np.repeat(sequences.restitution[:, None], NUM_STEPS, axis=1))
    gaps = np.linalg.norm(centers[:, :, :, None] - centers[:, :, None], axis=-1)
    gaps[:, :, range(3), range(3)] = np.inf
    alone = np.minimum(gaps.min(3)[:, :-1], gaps.min(3)[:, 1:]) > 45
    before, after = velocities[:, :-1], velocities[:, 1:]
    bounced = alone & (before[..., 0] * after[..., 0] < 0) & (before[..., 1] * after[..., 1] > 0)
    ratio = -after[bounced][:, 0] / before[bounced][:, 0]
    for expected in RESTITUTIONS:
        of_this = ratio[np.isclose(restitution[:, :-1][bounced], expected)]
        assert len(of_this) > 50
        assert np.median(of_this) == pytest.approx(0.95 * expected, rel=0.02)
    # a wall has no friction
    np.testing.assert_allclose(after[bounced][:, 1], before[bounced][:, 1], rtol=1e-4)


def test_figures_are_those_of_the_public_sequences(sequences):
    centers, speed, size, copied, extrapolated = facts(sequences.presence, sequences.boxes)
    assert speed[:, 0].mean() == pytest.approx(7.63, rel=0.05)
    assert speed[:, 9].mean() == pytest.approx(4.46, rel=0.07)
    assert speed[:, 18].mean() == pytest.approx(3.51, rel=0.08)
    assert 14 < speed.max() < 35
    assert copied == pytest.approx(1.21e-3, rel=0.15)
    assert extrapolated == pytest.approx(3.39e-4, rel=0.25)
    np.testing.assert_allclose(centers.min(axis=(0, 1, 2)), (5.5, 5.0), atol=0.6)
    np.testing.assert_allclose(centers.max(axis=(0, 1, 2)), (94.0, 93.5), atol=0.6)
    shares = [(size == pixels).mean() for pixels in (10, 11, 12)]
    np.testing.assert_allclose(shares, (0.150, 0.589, 0.260), atol=0.03)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no public balls data in {REAL}")
def test_distributions_are_those_of_the_public_sequences(sequences):
    ours, real = (
        facts(sequences.presence, sequences.boxes),
        facts(*read_sequences(REAL / "mini_balls_seq.tgz", NUM)),
    )
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    for step in (0, 5, 10, 18):
        np.testing.assert_allclose(
            np.quantile(ours[1][:, step], levels), np.quantile(real[1][:, step], levels), atol=0.8
        )
        for axis in (0, 1):
            np.testing.assert_allclose(
                np.quantile(ours[0][:, step, :, axis], levels),
                np.quantile(real[0][:, step, :, axis], levels),
                atol=3.5,
            )


@pytest.mark.parametrize(("num", "seed"), [(-1, 0), (1, -1)])
def test_negative_numbers_are_refused(num, seed):
    with pytest.raises(BalltrainError, match="0 or more"):
        simulate(num, seed)
