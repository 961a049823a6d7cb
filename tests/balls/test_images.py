"""Generated images: repeatable, labelled to the pixel, and close to the public ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from balltrain.balls.formats import list_images, load_images
from balltrain.balls.images import render_images
from balltrain.balls.simulate import simulate
from balltrain.balls.world import COLOR_RGB, FRAMES_IN_IMAGES, NUM_COLORS

NUM = 240
REAL = Path(os.environ.get("BALLTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "balls"


def render(num, seed, box_dtype=np.int16):
    images = np.zeros((num, 100, 100, 3), np.uint8)
    presence = np.zeros((num, 9), np.uint8)
    boxes = np.zeros((num, 9, 4), box_dtype)
    render_images(num, seed, images, presence, boxes)
    return images, presence, boxes


@pytest.fixture(scope="module")
def rendered():
    return render(NUM, seed=4)


def centre_colors(images, presence, boxes):
    """Mean RGB of 3 x 3 pixels at the centre of each ball, and its colour index."""
    n, color = np.nonzero(presence)
    x, y = (boxes[n, color, 0] + boxes[n, color, 2]) // 2, (boxes[n, color, 1] + boxes[n, color, 3]) // 2
    near = [images[n, y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.mean(near, axis=0), color


def test_same_seed_same_bytes_and_another_seed_others(rendered):
    for first, again in zip(rendered, render(NUM, seed=4), strict=True):
        assert first.tobytes() == again.tobytes()
    assert (render(6, seed=5)[0] != rendered[0][:6]).mean() > 0.5  # the floors too, not only the balls


@pytest.mark.parametrize("num", [1, 7])
def test_first_images_do_not_depend_on_how_many_follow(rendered, num):
    for few, many in zip(render(num, seed=4), rendered, strict=True):
        np.testing.assert_array_equal(few, many[:num])


def test_labels_are_those_of_the_sequences(rendered):
    _, presence, boxes = rendered
    sequences = simulate(NUM // 3, seed=4)
    for frame, step in enumerate(FRAMES_IN_IMAGES):
        np.testing.assert_array_equal(boxes[frame::3], sequences.boxes[:, step])
        np.testing.assert_array_equal(presence[frame::3], sequences.presence)


def test_boxes_fit_in_bytes(rendered):
    np.testing.assert_array_equal(render(9, seed=4, box_dtype=np.uint8)[2], rendered[2][:9])


def test_balls_have_their_colour(rendered):
    seen, color = centre_colors(*rendered)
    assert len(np.unique(color)) == NUM_COLORS
    # shading makes a ball brighter or darker; the hue stays
    hue, hues = (rgb / rgb.max(axis=1, keepdims=True) for rgb in (seen, COLOR_RGB))
    nearest = np.linalg.norm(hue[:, None] - hues, axis=2).argmin(1)
    assert (nearest == color).mean() > 0.99


def test_balls_stand_out_within_their_box(rendered):
    """The pixels that differ between two frames of a sequence lie in the boxes of either."""
    images, presence, boxes = rendered
    inside = outside = 0
    for n in range(0, NUM, 3):
        changed = np.abs(images[n].astype(int) - images[n + 1]).max(axis=2) > 60
        covered = np.zeros((100, 100), bool)
        for m in (n, n + 1):
            for x1, y1, x2, y2 in boxes[m][presence[m] > 0]:
                covered[max(0, y1 - 2) : y2 + 3, max(0, x1 - 2) : x2 + 3] = True  # JPEG spreads edges
        inside += changed[covered].sum()
        outside += changed[~covered].sum()
    assert inside > 50 * NUM
    assert outside < 0.005 * inside


def test_floors_vary():
    images = render(60, seed=8)[0]
    means = images[::3].mean(axis=(1, 2))
    assert means.std(axis=0).min() > 15


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no public balls data in {REAL}")
def test_images_look_like_the_public_ones(rendered):
    paths = list_images(REAL / "mini_balls")
    real = (
        np.zeros((45, 100, 100, 3), np.uint8),
        np.zeros((45, 9), np.uint8),
        np.zeros((45, 9, 4), np.int16),
    )
    load_images(paths, *real)
    (real_seen, real_color), (seen, color) = centre_colors(*real), centre_colors(*rendered)
    for c in range(NUM_COLORS):
        difference = np.abs(real_seen[real_color == c].mean(0) - seen[color == c].mean(0))
        assert difference.max() < 20
    # the real floors lie within ours: brightness and contrast of each real image, without its frame
    ours, theirs = rendered[0][:, 6:92, 6:92].mean(3), real[0][:, 6:92, 6:92].mean(3)
    for of in (np.mean, np.std):
        low, high = np.min(of(ours, axis=(1, 2))), np.max(of(ours, axis=(1, 2)))
        assert ((of(theirs, axis=(1, 2)) >= low) & (of(theirs, axis=(1, 2)) <= high)).all()
