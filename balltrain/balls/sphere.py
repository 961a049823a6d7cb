"""The image of a sphere under the fixed camera: the one place that says which pixels a ball covers.

Labels and pictures both come from here, so they agree to the pixel.
"""

from dataclasses import dataclass

import numpy as np

from balltrain.balls.world import CAMERA_CENTER, FOCAL_PX, IMAGE_SIZE, RADIUS_PX

# A ball in a corner is 13 px wide, half a pixel off its centre: 16 px hold it.
PATCH = 16
# 4 096 patches of 16 x 16 keep the temporaries within the cache and below 100 MB.
_CHUNK = 4096


@dataclass(frozen=True)
class Trace:
    """What the camera sees of M balls, each in a patch of PATCH x PATCH pixels."""

    origin: np.ndarray  # (M, 2) int: x, y of the patch's first pixel, which may lie outside the image
    inside: np.ndarray  # (M, PATCH, PATCH) bool, y before x: the pixel's ray hits the ball
    offset: np.ndarray  # (M, PATCH, PATCH, 2) float64: x, y of the pixel less those of the ball centre
    discriminant: np.ndarray  # (M, PATCH, PATCH) float64 of the ray equation, zero on the outline


def trace(centers: np.ndarray) -> Trace:
    """Which pixels the balls cover. `centers`: (M, 2) x, y in px; a pixel is its centre, at whole numbers.

    A pixel's ray is d = C + e with the ball centre C = (x, y, FOCAL_PX) and the offset e = (ex, ey, 0). It
    hits the sphere where (C.e)^2 - |C|^2 |e|^2 + r^2 |d|^2 >= 0.
    """
    centers = np.asarray(centers, dtype=np.float64)
    origin = np.floor(centers).astype(np.int64) - (PATCH // 2 - 1)
    steps = np.arange(PATCH)
    ex = (origin[:, :1] - centers[:, :1] + steps)[:, None, :]  # (M, 1, PATCH)
    ey = (origin[:, 1:] - centers[:, 1:] + steps)[:, :, None]  # (M, PATCH, 1)
    cx, cy, squared = _from_camera(centers)
    along = cx * ex + cy * ey
    away = ex * ex + ey * ey
    discriminant = along * along - squared * away + RADIUS_PX**2 * (squared + 2 * along + away)
    offset = np.stack(np.broadcast_arrays(ex, ey), axis=-1)
    return Trace(origin, discriminant >= 0, offset, discriminant)


def surface(centers: np.ndarray, seen: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Normals (M, PATCH, PATCH, 3) and depth (M, PATCH, PATCH) of what `trace` saw; valid where inside.

    The normal is a unit vector: x to the right, y down, z away from the camera. The depth is a multiple of
    the pixel's ray, so depths of different balls at one pixel compare.
    """
    cx, cy, squared = _from_camera(np.asarray(centers, dtype=np.float64))
    ex, ey = seen.offset[..., 0], seen.offset[..., 1]
    along = cx * ex + cy * ey
    length = squared + 2 * along + ex * ex + ey * ey
    depth = (squared + along - np.sqrt(np.maximum(seen.discriminant, 0))) / length
    normal = np.stack(
        [depth * (cx + ex) - cx, depth * (cy + ey) - cy, (depth - 1) * FOCAL_PX],
        axis=-1,
    )
    return normal / RADIUS_PX, depth


def boxes_of(centers: np.ndarray) -> np.ndarray:
    """The visible pixel extents of unoccluded balls: (M, 4) int16 x1 y1 x2 y2, the last ones inclusive."""
    boxes = np.empty((len(centers), 4), dtype=np.int16)
    for start in range(0, len(centers), _CHUNK):
        part = slice(start, start + _CHUNK)
        seen = trace(centers[part])
        for axis, other in ((0, 1), (1, 2)):  # columns hold x, rows hold y
            covered: np.ndarray = np.any(seen.inside, axis=other)
            first = seen.origin[:, axis] + covered.argmax(axis=1)
            last = seen.origin[:, axis] + PATCH - 1 - covered[:, ::-1].argmax(axis=1)
            boxes[part, axis] = np.clip(first, 0, IMAGE_SIZE - 1)
            boxes[part, axis + 2] = np.clip(last, 0, IMAGE_SIZE - 1)
    return boxes


def _from_camera(centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ball centres seen from the camera: x, y and the squared distance, each (M, 1, 1) in px."""
    cx = (centers[:, 0] - CAMERA_CENTER[0])[:, None, None]
    cy = (centers[:, 1] - CAMERA_CENTER[1])[:, None, None]
    return cx, cy, cx * cx + cy * cy + FOCAL_PX**2
