"""How good a forecast of the built-in sequences can be at best, by oracles that know the simulation.

    python benchmarks/forecast_oracle.py [--sequences 200] [--draws 600]

`true state` simulates on from the places, velocities and spins of t = 18, with the true mass, friction and
restitution. `boxes` knows these three too, but sees the balls as whole-pixel boxes only: it draws, by Metropolis
steps, from the states of t = 14 that give the boxes of t = 14 … 18 to the pixel, simulates each on, and answers
with the mean box at t = 19, which no forecast from these boxes can beat in MSE. Spins are the true ones. The steps
start from the true state; their first half is thrown away, and the second quarter alone gives another figure, which
tells whether they have come far enough.
"""

import argparse
import json
import time

import numpy as np
import pymunk

from balltrain.balls.simulate import SUBSTEPS, Sequences, _add_walls, simulate
from balltrain.balls.sphere import boxes_of
from balltrain.balls.world import BOX_SCALE, COLLISION_RADIUS_PX, NUM_BALLS, NUM_STEPS

FIRST, LAST = 14, NUM_STEPS - 1
STEP_PX, STEP_SPEED = 0.12, 0.05  # of a Metropolis step: about a third of them are accepted


def run_on(state: np.ndarray, hidden: np.ndarray, num_steps: int) -> np.ndarray:
    """Centres (num_steps, 3, 2) after `state` (3, 5) x y vx vy spin, with hidden (3, 3) mass friction restitution."""
    space = pymunk.Space()
    _add_walls(space)
    bodies = []
    for (x, y, vx, vy, spin), (mass, friction, restitution) in zip(state.tolist(), hidden.tolist(), strict=True):
        body = pymunk.Body(mass, 0.4 * mass * COLLISION_RADIUS_PX**2)
        body.position, body.velocity, body.angular_velocity = (x, y), (vx, vy), spin
        shape = pymunk.Circle(body, COLLISION_RADIUS_PX)
        shape.friction, shape.elasticity = friction, restitution
        space.add(body, shape)
        bodies.append(body)
    centers = np.empty((num_steps, NUM_BALLS, 2))
    for step in range(num_steps):
        for _ in range(SUBSTEPS):
            space.step(1 / SUBSTEPS)
        centers[step] = [tuple(body.position) for body in bodies]
    return centers


def true_at(sequences: Sequences, n: int, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """State (3, 5) at a step, hidden (3, 3), and boxes (20, 3, 4) of the balls of sequence n."""
    balls = np.flatnonzero(sequences.presence[n])
    motion = (sequences.centers[n, step, balls], sequences.velocities[n, step, balls])
    state = np.concatenate([*motion, sequences.spins[n, step, balls, None]], axis=1).astype(np.float64)
    hidden = np.stack([sequences.mass[n, balls], sequences.friction[n, balls], sequences.restitution[n, balls]], 1)
    return state, hidden, sequences.boxes[n][:, balls]


def forecast_from_boxes(
    state: np.ndarray, hidden: np.ndarray, boxes: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Boxes at t = 19 of every draw (draws, 3, 4), and the part of the Metropolis steps that were accepted."""

    def explains(proposal: np.ndarray) -> np.ndarray | None:
        if (boxes_of(proposal[:, :2]) != boxes[FIRST]).any():
            return None  # most proposals end here, without a simulation
        path = run_on(proposal, hidden, LAST - FIRST)
        seen = boxes_of(path.reshape(-1, 2)).reshape(LAST - FIRST, NUM_BALLS, 4)
        return seen[-1] if (seen[:-1] == boxes[FIRST + 1 : LAST]).all() else None

    # velocities of the simulation are in float32: the true state may just miss a box, and is then kept anyway
    current = explains(state)
    current = boxes_of(run_on(state, hidden, LAST - FIRST)[-1]) if current is None else current
    drawn, accepted = np.empty((draws, NUM_BALLS, 4)), 0
    for draw in range(draws):
        proposal = state.copy()
        ball = draw % NUM_BALLS
        shift = rng.normal(0, STEP_SPEED, 2)
        # where the ball is in the middle of what was seen should change little when its velocity does
        proposal[ball, :2] += rng.normal(0, STEP_PX, 2) - shift * (LAST - 1 - FIRST) / 2
        proposal[ball, 2:4] += shift
        found = explains(proposal)
        if found is not None:
            state, current, accepted = proposal, found, accepted + 1
        drawn[draw] = current
    return drawn, accepted / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--draws", type=int, default=600)
    parser.add_argument("--seed", type=int, default=12345)
    options = parser.parse_args()
    start = time.perf_counter()
    sequences = simulate(options.sequences, options.seed)
    rng = np.random.default_rng(options.seed)
    errors: dict[str, list[np.ndarray]] = {"true_state": [], "boxes": [], "boxes_second_quarter": [], "linear": []}
    rates = []
    for n in range(options.sequences):
        state, hidden, boxes = true_at(sequences, n, LAST - 1)
        truth = boxes[LAST].astype(np.float64)
        exact = boxes_of(run_on(state, hidden, 1)[0])
        drawn, rate = forecast_from_boxes(*true_at(sequences, n, FIRST), options.draws, rng)
        rates.append(rate)
        guesses = {
            "true_state": exact,
            "boxes": drawn[options.draws // 2 :].mean(axis=0),
            "boxes_second_quarter": drawn[options.draws // 4 : options.draws // 2].mean(axis=0),
            "linear": 2.0 * boxes[LAST - 1] - boxes[LAST - 2],
        }
        for name, guess in guesses.items():
            errors[name].append(((guess - truth) / np.array(BOX_SCALE)) ** 2)
    figures = {f"{name}_mse": float(f"{np.mean(values):.3e}") for name, values in errors.items()}
    spread = np.std([error.mean() for error in errors["boxes"]]) / np.sqrt(options.sequences)
    figures |= {"boxes_standard_error": float(f"{spread:.1e}"), "accepted": round(float(np.mean(rates)), 3)}
    print(json.dumps({"sequences": options.sequences, **figures, "seconds": round(time.perf_counter() - start, 1)}))


if __name__ == "__main__":
    main()
