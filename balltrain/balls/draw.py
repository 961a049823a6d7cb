"""Draw balls on a floor: spheres seen from above, lit from the lower left."""

import numpy as np

from balltrain.balls.sphere import PATCH, surface, trace
from balltrain.balls.world import IMAGE_SIZE

# Fitted on the yellow and lime balls of the real images: brightness = AMBIENT + LIGHT . normal, which is 1
# where the surface faces the camera. Axes: right, down, away from the camera.
AMBIENT = 0.74
LIGHT = (-0.23, 0.225, -0.26)


def draw(
    background: np.ndarray,
    centers: np.ndarray,
    colors: np.ndarray,
    light: tuple[float, float, float] = LIGHT,
) -> np.ndarray:
    """Draw K balls. Returns (100, 100, 3) uint8 RGB; the background stays as it is.

    `background`: (100, 100, 3) RGB in 0 … 255. `centers`: (K, 2) x, y in px. `colors`: (K, 3) RGB of the
    surface that faces the camera. `light`: direction times strength, see LIGHT. A pixel is either ball or
    not (the real renderer does not smooth edges), so the balls cover `sphere.boxes_of(centers)` exactly,
    where none hides another and none leaves the image.
    """
    image = np.array(background, dtype=np.float32)
    nearest = np.full((IMAGE_SIZE, IMAGE_SIZE), np.inf)
    seen = trace(centers)
    normal, depth = surface(centers, seen)
    brightness = AMBIENT + normal @ np.asarray(light, dtype=np.float64)
    for k, (x, y) in enumerate(seen.origin.tolist()):
        # the part of the patch that lies within the image
        rows = slice(max(0, -y), min(PATCH, IMAGE_SIZE - y))
        columns = slice(max(0, -x), min(PATCH, IMAGE_SIZE - x))
        target = (slice(y + rows.start, y + rows.stop), slice(x + columns.start, x + columns.stop))
        visible = seen.inside[k, rows, columns] & (depth[k, rows, columns] < nearest[target])
        shaded = brightness[k, rows, columns, None] * colors[k]
        image[target][visible] = shaded[visible]
        nearest[target][visible] = depth[k, rows, columns][visible]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
