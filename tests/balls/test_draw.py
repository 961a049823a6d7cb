"""Drawing: labels agree with pixels, floors have their walls."""

import numpy as np
import pytest

from balltrain.balls.backgrounds import BACKGROUNDS, make_background
from balltrain.balls.draw import draw
from balltrain.balls.simulate import simulate
from balltrain.balls.sphere import boxes_of
from balltrain.balls.world import COLOR_RGB

BLACK = np.zeros((100, 100, 3), np.float32)


def drawn_extents(image):
    rows, columns = np.nonzero(image.max(axis=2))
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_box_is_the_drawn_extent():
    centers = np.random.default_rng(0).uniform(5, 94, (500, 2))
    for center, box in zip(centers, boxes_of(centers), strict=True):
        image = draw(BLACK, center[None], COLOR_RGB[[3]])
        assert drawn_extents(image) == box.tolist()


def test_simulated_boxes_are_the_drawn_extents():
    sequences = simulate(20, seed=2)
    for i, step, color in np.argwhere(np.repeat(sequences.presence[:, None], 20, axis=1)):
        image = draw(BLACK, sequences.centers[i, step, [color]], COLOR_RGB[[color]])
        assert drawn_extents(image) == sequences.boxes[i, step, color].tolist()


def test_balls_far_off_look_longer():
    middle, corner = boxes_of(np.array([[49.7, 49.3], [8.0, 49.3]]))
    assert (middle[2:] - middle[:2] + 1).tolist() in ([11, 11], [11, 12], [12, 11], [12, 12])
    assert corner[2] - corner[0] > corner[3] - corner[1]


def test_light_comes_from_the_lower_left():
    image = draw(BLACK, np.array([[50.0, 50.0]]), COLOR_RGB[[3]]).astype(int)
    lower_left, upper_right = image[53, 47, 0], image[47, 53, 0]
    assert lower_left > image[50, 50, 0] > upper_right
    assert abs(image[50, 50] - COLOR_RGB[3]).max() < 6


def test_balls_pressed_together_hide_as_much_of_each_other():
    image = draw(BLACK, np.array([[45.2, 49.3], [54.2, 49.3]]), COLOR_RGB[[0, 1]])
    red, green = (image[..., 0] > 0).sum(), (image[..., 1] > image[..., 0]).sum()
    assert red > 80
    assert abs(red - green) < 6


def test_background_is_left_as_it_was():
    background = BLACK.copy()
    draw(background, np.array([[50.0, 50.0]]), COLOR_RGB[[0]])
    assert not background.any()


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_backgrounds_repeat_and_vary(kind):
    first, again, other = (make_background(kind, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1
    assert first.shape == (100, 100, 3)
    assert 0 <= first.min() <= first.max() <= 255


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_walls_are_lit_at_the_top_and_right(kind):
    image = make_background(kind, np.random.default_rng(3))
    top, right, left, bottom = image[1, 20:80], image[20:80, 98], image[20:80, 1], image[98, 20:80]
    assert min(top.min(), right.min()) > max(left.max(), bottom.max()) + 20


def test_unknown_background_is_refused():
    with pytest.raises(ValueError, match=r"'grass'.*plain, wood, tiles, gravel"):
        make_background("grass", np.random.default_rng(0))
