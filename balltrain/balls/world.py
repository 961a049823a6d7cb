"""The constants of the balls world, as measured on the public mini_balls data.

Source: mini_balls and mini_balls_seq of Christian Wolf's deep learning course (INSA Lyon), a small
version of CoPhy (Baradel et al., arXiv 1909.12000). Figures marked "fitted" were estimated from the
boxes of its first 6 300 sequences or the pixels of its first 45 images.
"""

import numpy as np

# The order of the colours in every label.
COLORS = ("red", "green", "blue", "yellow", "lime", "purple", "orange", "cyan", "magenta")
NUM_COLORS = 9
NUM_BALLS = 3
NUM_STEPS = 20
IMAGE_SIZE = 100

# RGB at the centre of a drawn ball, the median over the real images. (9, 3)
COLOR_RGB = np.array(
    [
        (214, 1, 0),
        (0, 149, 0),
        (0, 1, 210),
        (195, 195, 0),
        (163, 196, 4),
        (79, 38, 127),
        (197, 78, 0),
        (2, 215, 219),
        (211, 80, 211),
    ],
    dtype=np.float32,
)

# The largest x1 y1 x2 y2 of the dataset: the scale its course work normalises boxes with (BBOX_SCALE).
BOX_SCALE = (89, 88, 99, 99)

# mini_balls shows sequence n // 3 at one of these steps, by n % 3.
FRAMES_IN_IMAGES = (0, 10, 19)

# Hidden properties of a ball, each drawn uniformly (CoPhy, section 4).
MASSES = (1.0, 2.0, 5.0)
FRICTIONS = (0.1, 0.5, 1.0)
RESTITUTIONS = (0.1, 0.5, 1.0)

# Fitted: the camera looks straight down on CAMERA_CENTER, FOCAL_PX away from the plane of the ball
# centres. It makes a ball at the wall look 12 % longer than one in the middle.
CAMERA_CENTER = (49.7, 49.3)
FOCAL_PX = 86.0
# Fitted: boxes in the middle of the image hold 11.55 pixels a side on average.
RADIUS_PX = 5.76
# Fitted on the distances of touching balls: they bounce off each other a little early.
COLLISION_RADIUS_PX = 5.93

# Fitted: where ball centres turn round, left, top, right, bottom in px.
CENTER_RANGE = (5.6, 5.1, 94.0, 93.2)
