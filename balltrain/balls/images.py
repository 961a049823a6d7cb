"""Generated images in the manner of mini_balls, with their labels."""

import io

import numpy as np
from PIL import Image

from balltrain.balls.backgrounds import BACKGROUNDS, make_background
from balltrain.balls.draw import LIGHT, draw
from balltrain.balls.simulate import simulate
from balltrain.balls.world import COLOR_RGB, FRAMES_IN_IMAGES

# The real files are JPEG of quality 75 with 4:2:0 chroma; the quality varies around it.
_JPEG_QUALITIES = (70, 80)
_JPEG_SUBSAMPLING = "4:2:0"


def render_images(num_images: int, seed: int, images: np.ndarray, presence: np.ndarray, boxes: np.ndarray) -> None:
    """Fill the first `num_images` rows of `images`, `presence` and `boxes` in place.

    `images`: (N, 100, 100, 3) uint8 RGB. `presence`: (N, 9), ones for the three colours shown. `boxes`:
    (N, 9, 4) inclusive pixels x1 y1 x2 y2, zero rows for absent colours. Image n shows sequence n // 3 of
    `simulate(…, seed)` at step 0, 10 or 19 for n % 3 = 0, 1 or 2; the three share a floor, as the real ones
    do. Image n depends on `seed` and n alone. Raises BalltrainError for a negative seed.
    """
    num_frames = len(FRAMES_IN_IMAGES)
    sequences = simulate(-(-num_images // num_frames), seed)
    for n in range(num_images):
        i, frame = divmod(n, num_frames)
        if frame == 0:
            # the third number keeps this stream apart from the one simulate draws from
            rng = np.random.default_rng([seed, i, 1])
            look = _Look(rng, np.flatnonzero(sequences.presence[i]))
        step = FRAMES_IN_IMAGES[frame]
        image = draw(look.background, sequences.centers[i, step, look.balls], look.colors, look.light)
        images[n] = _jpeg(image, look.quality)
        presence[n] = sequences.presence[i]
        boxes[n] = sequences.boxes[i, step]


class _Look:
    """What the images of one sequence have in common. The real ones lie within the ranges."""

    def __init__(self, rng: np.random.Generator, balls: np.ndarray) -> None:
        self.balls = balls
        self.background = make_background(BACKGROUNDS[rng.integers(len(BACKGROUNDS))], rng)
        gain = rng.uniform(0.92, 1.08, (len(balls), 1))
        self.colors = COLOR_RGB[balls] * gain + rng.normal(0, 3, (len(balls), 3))
        x, y, z = rng.normal(LIGHT, 0.03).tolist()
        self.light = (x, y, z)
        self.quality = int(rng.integers(_JPEG_QUALITIES[0], _JPEG_QUALITIES[1] + 1))


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """What is left of an image after it was stored as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=_JPEG_SUBSAMPLING)
    return np.asarray(Image.open(buffer))
