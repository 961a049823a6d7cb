"""Sequences of three balls that bounce off each other and off four walls, like mini_balls_seq.

What the real sequences show and this reproduces: between bounces a ball keeps its velocity (the floor does
not slow it down), a wall takes the ball's restitution from the normal part of the velocity and leaves the
tangential part alone. Energy is lost in bounces only.
"""

from dataclasses import dataclass

import numpy as np
import pymunk

from balltrain.balls.sphere import boxes_of
from balltrain.balls.world import (
    CENTER_RANGE,
    COLLISION_RADIUS_PX,
    FRICTIONS,
    MASSES,
    NUM_BALLS,
    NUM_COLORS,
    NUM_STEPS,
    RADIUS_PX,
    RESTITUTIONS,
)
from balltrain.errors import BalltrainError

# Fitted: each component of a ball's first velocity is uniform within this, px per step.
MAX_START_SPEED = 10.45
# Fitted: balls start uniformly in left, top, right, bottom, px.
START_RANGE = (10.0, 9.0, 91.0, 90.0)
# Balls that would start closer than the first figure are moved apart to a distance between the other two,
# px, and fly apart. The real step 0 has three times as many pairs 13 … 15 px apart as chance would give.
START_DISTANCES = (12.0, 12.2, 13.4)
# Physics steps in a time step: the fastest ball (28 px per step) moves a quarter of its radius in each.
SUBSTEPS = 20
# Fitted: step 0 is seen this many physics steps after the start.
START_SUBSTEPS = 8
# Fitted on 6 600 wall bounces: the normal velocity keeps 0.95 of the ball's restitution.
WALL_RESTITUTION = 0.95
_WALL_THICKNESS = 20.0


@dataclass(frozen=True)
class Sequences:
    """N simulated sequences. Rows of absent colours are zero."""

    presence: np.ndarray  # (N, 9) uint8: three ones
    boxes: np.ndarray  # (N, 20, 9, 4) int16: x1 y1 x2 y2, inclusive pixels
    centers: np.ndarray  # (N, 20, 9, 2) float32: x, y in px
    velocities: np.ndarray  # (N, 20, 9, 2) float32: px per step
    spins: np.ndarray  # (N, 20, 9) float32: radians per step, clockwise
    radii: np.ndarray  # (N, 9) float32: px, in the middle of the image
    mass: np.ndarray  # (N, 9) float32: one of MASSES
    friction: np.ndarray  # (N, 9) float32: one of FRICTIONS
    restitution: np.ndarray  # (N, 9) float32: one of RESTITUTIONS


def simulate(num_sequences: int, seed: int) -> Sequences:
    """Simulate `num_sequences` sequences of 20 steps.

    Sequence i depends on `seed` and i alone: the first n of a longer call are the same bytes. Raises
    BalltrainError for a negative number or seed.
    """
    if num_sequences < 0 or seed < 0:
        raise BalltrainError(f"num_sequences is {num_sequences} and seed is {seed}, but both must be 0 or more")
    n = num_sequences
    presence = np.zeros((n, NUM_COLORS), np.uint8)
    centers = np.zeros((n, NUM_STEPS, NUM_COLORS, 2), np.float32)
    velocities = np.zeros_like(centers)
    spins = np.zeros(centers.shape[:3], np.float32)
    hidden = np.zeros((3, n, NUM_COLORS), np.float32)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        colors = np.sort(rng.permutation(NUM_COLORS)[:NUM_BALLS])
        presence[i, colors] = 1
        for k, choices in enumerate((MASSES, FRICTIONS, RESTITUTIONS)):
            hidden[k, i, colors] = rng.choice(choices, NUM_BALLS)
        path = _run(_start(rng), hidden[:, i, colors])
        path = path.swapaxes(0, 1)  # (3, 20, 5): fancy indexing below puts the balls first
        centers[i, :, colors] = path[..., 0:2]
        velocities[i, :, colors] = path[..., 2:4]
        spins[i, :, colors] = path[..., 4]
    mass, friction, restitution = hidden
    radii = presence * np.float32(RADIUS_PX)
    boxes = np.zeros((n, NUM_STEPS, NUM_COLORS, 4), np.int16)
    present = np.broadcast_to(presence[:, None] > 0, boxes.shape[:3])
    boxes[present] = boxes_of(centers[present])
    return Sequences(presence, boxes, centers, velocities, spins, radii, mass, friction, restitution)


def _start(rng: np.random.Generator) -> np.ndarray:
    """Positions and velocities of three balls that do not touch. (3, 4) x y vx vy"""
    low, high = np.array(START_RANGE[:2]), np.array(START_RANGE[2:])
    closest, nearest, farthest = START_DISTANCES
    while True:
        position = rng.uniform(low, high, (NUM_BALLS, 2))
        velocity = rng.uniform(-MAX_START_SPEED, MAX_START_SPEED, (NUM_BALLS, 2))
        apart = rng.uniform(nearest, farthest)
        gap, distance = _gaps(position)
        for i in np.flatnonzero(distance < closest):
            position[i] = position[i - 1] + gap[i] * (apart / distance[i])
            if gap[i] @ (velocity[i] - velocity[i - 1]) < 0:  # they approach: swapped, they part
                velocity[[i - 1, i]] = velocity[[i, i - 1]]
        in_range = ((position >= low) & (position <= high)).all()
        if in_range and _gaps(position)[1].min() >= closest:
            return np.concatenate([position, velocity], axis=1)


def _gaps(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From each ball's predecessor to the ball: (3, 2) vectors and (3,) distances, px. All three pairs."""
    gap = position - np.roll(position, 1, axis=0)
    return gap, np.hypot(gap[:, 0], gap[:, 1])


def _run(start: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Roll three balls for 20 steps. From `start` (3, 4) and `hidden` (3, 3) mass friction restitution, a row
    each, to (20, 3, 5) x y vx vy spin.
    """
    space = pymunk.Space()  # a fresh one each time: a space remembers contacts of its past
    _add_walls(space)
    bodies = []
    for (x, y, vx, vy), (mass, friction, restitution) in zip(start.tolist(), hidden.T.tolist(), strict=True):
        body = pymunk.Body(mass, 0.4 * mass * COLLISION_RADIUS_PX**2)  # 2/5 m r^2: a sphere, not a disc
        body.position = x, y
        body.velocity = vx, vy
        shape = pymunk.Circle(body, COLLISION_RADIUS_PX)
        shape.friction = friction
        shape.elasticity = restitution  # pymunk multiplies the two of a contact
        space.add(body, shape)
        bodies.append(body)
    path = np.empty((NUM_STEPS, NUM_BALLS, 5))
    for step in range(NUM_STEPS):
        for _ in range(SUBSTEPS if step else START_SUBSTEPS):
            space.step(1 / SUBSTEPS)
        path[step] = [(*body.position, *body.velocity, body.angular_velocity) for body in bodies]
    return path


def _add_walls(space: pymunk.Space) -> None:
    """Four thick walls whose inner sides lie a ball's radius outside CENTER_RANGE, without friction."""
    reach = COLLISION_RADIUS_PX + _WALL_THICKNESS
    left, top, right, bottom = CENTER_RANGE
    left, top, right, bottom = left - reach, top - reach, right + reach, bottom + reach
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        wall = pymunk.Segment(space.static_body, a, b, _WALL_THICKNESS)
        wall.elasticity = WALL_RESTITUTION
        space.add(wall)
