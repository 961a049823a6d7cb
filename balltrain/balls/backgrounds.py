"""The four kinds of floor of mini_balls, drawn from scratch, each a little different every time.

The real images use four fixed floors. A model trained on these must not learn a floor by heart, so colours,
brightness, grain, planks and tiles vary; the real floors lie within the range. Figures are those of the
real floors (mean RGB, standard deviation of the grain) unless they are ranges.
"""

import numpy as np

from balltrain.balls.world import IMAGE_SIZE

BACKGROUNDS = ("plain", "wood", "tiles", "gravel")

# Widths of the wall seen at the left, top, right and bottom, px, and their greys: two are in the light.
_WALLS = (4, 3, 3, 4)
_WALL_GREYS = (153.0, 205.0, 205.0, 153.0)

# Blocks of the tile pattern: RGB and the spread of the grain.
_TILE_BLOCKS = (
    ((14, 16, 14), 4),
    ((38, 46, 58), 6),
    ((72, 100, 118), 6),
    ((88, 108, 108), 10),
    ((138, 142, 136), 10),
    ((105, 102, 92), 48),
    ((60, 62, 55), 42),
)


def make_background(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A floor with its walls, without balls: (100, 100, 3) float32 RGB in 0 … 255.

    `kind` is one of BACKGROUNDS; another one is a ValueError.
    """
    if kind not in BACKGROUNDS:
        raise ValueError(f"kind is {kind!r}, but must be one of {', '.join(BACKGROUNDS)}")
    make = {"plain": _plain, "wood": _wood, "tiles": _tiles, "gravel": _gravel}[kind]
    floor = make(rng).astype(np.float32)
    floor *= rng.uniform(0.88, 1.12)
    floor += rng.normal(0, 3, 3).astype(np.float32)
    _add_walls(floor, rng)
    return np.clip(floor, 0, 255, out=floor)


def _plain(rng: np.random.Generator) -> np.ndarray:
    grey = rng.uniform(185, 222)
    return np.full((IMAGE_SIZE, IMAGE_SIZE, 3), grey)


def _gravel(rng: np.random.Generator) -> np.ndarray:
    """Grain without any structure: neighbouring pixels are uncorrelated."""
    grain = rng.standard_normal((IMAGE_SIZE, IMAGE_SIZE, 1), np.float32) * rng.uniform(26, 38)
    return np.array((99, 86, 68), np.float32) + grain


def _wood(rng: np.random.Generator) -> np.ndarray:
    """Grain that runs down the image (correlation 0.27 to the pixel below, 0.05 sideways), in planks."""
    fine = rng.standard_normal((IMAGE_SIZE + 1, IMAGE_SIZE), np.float32)
    fine = fine[1:] + 0.17 * fine[:-1]
    columns = rng.standard_normal(IMAGE_SIZE, np.float32)
    grain = rng.uniform(12, 19) * (0.93 * fine + 0.25 * columns)
    floor = np.array((129, 104, 74), np.float32) + grain[..., None]
    # a worn streak is greyer: less red, more blue
    column = np.arange(IMAGE_SIZE)
    streak = np.exp(-(((column - rng.uniform(5, 95)) / rng.uniform(2, 5)) ** 2)).astype(np.float32)
    floor += streak[:, None] * np.array((-6, 3, 16), np.float32) * rng.uniform(0, 1.5)
    width = rng.uniform(32, 52)
    joints = np.arange(rng.uniform(0, width), IMAGE_SIZE, width).astype(int)
    floor[:, joints] = np.array((52, 36, 18), np.float32) + rng.uniform(0, 14)
    return floor


def _tiles(rng: np.random.Generator) -> np.ndarray:
    """A pattern of 5 x 5 uneven blocks, repeated every 24 … 30 px, with two dark joints each way."""
    period = int(rng.integers(24, 31))
    phase = rng.integers(0, period, 2)
    at = [(np.arange(IMAGE_SIZE) + phase[axis]) % period for axis in (0, 1)]
    cuts = [_cuts(period, rng) for _ in (0, 1)]
    row, column = (np.searchsorted(cuts[axis], at[axis], side="right") for axis in (0, 1))
    blocks = rng.integers(0, len(_TILE_BLOCKS), (5, 5))[row[:, None], column[None, :]]
    colors = np.array([rgb for rgb, _ in _TILE_BLOCKS], np.float32)
    colors += rng.normal(0, 5, colors.shape).astype(np.float32)
    spread = np.array([spread for _, spread in _TILE_BLOCKS], np.float32)
    grain = rng.standard_normal(blocks.shape, np.float32) * spread[blocks]
    floor = colors[blocks] + grain[..., None]
    joint = np.array((12, 15, 14), np.float32)
    second = period * 2 // 5
    floor[(at[0] == 0) | (at[0] == second)] = joint
    floor[:, (at[1] == 0) | (at[1] == second)] = joint
    tiles: np.ndarray = np.maximum(floor, 0)
    return tiles


def _cuts(period: int, rng: np.random.Generator) -> np.ndarray:
    """Four places that part 0 … period - 1 into five blocks of about the same length."""
    even = np.arange(1, 5) * period / 5
    return np.round(even + rng.uniform(-1, 1, 4)).astype(int)


def _distance_to_walls() -> np.ndarray:
    """How far a pixel lies inside each wall's edge of the image, in widths of that wall. (4, 100, 100)"""
    y, x = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE] + 0.5
    sides = (x, y, IMAGE_SIZE - x, IMAGE_SIZE - y)
    return np.stack([side / width for side, width in zip(sides, _WALLS, strict=True)])


# Which of the four walls a pixel shows (they meet on the diagonals), and whether it shows one at all.
_WALL_OF_PIXEL = _distance_to_walls().argmin(axis=0)
_IS_WALL = _distance_to_walls().min(axis=0) < 1


def _add_walls(floor: np.ndarray, rng: np.random.Generator) -> None:
    greys = np.array(_WALL_GREYS) * rng.uniform(0.94, 1.06)
    floor[_IS_WALL] = greys[_WALL_OF_PIXEL][_IS_WALL][:, None]
