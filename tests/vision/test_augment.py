"""What each level does to a known batch."""

import pytest
import torch

from balltrain.vision.augment import augmented
from balltrain.vision.pixels import to_float

LEVELS = ("none", "low", "medium-low", "medium", "high", "strong")
COUNT = 1000


@pytest.fixture(scope="module")
def images():
    """(1000, 16, 16, 3) uint8, each the same: dark to the right, red more than blue, with a bright centre."""
    image = torch.arange(240, 80, -10, dtype=torch.uint8).repeat(16, 1)[:, :, None].repeat(1, 1, 3)
    image[..., 2] //= 2
    return image.repeat(COUNT, 1, 1, 1)


def changed(images, level, seed=0):
    torch.manual_seed(seed)
    return to_float(augmented(images, level))


def is_flipped(floats):
    return floats[:, 0, 8, 2] < floats[:, 0, 8, 13]


def is_grey(floats):
    return (floats[:, 0] - floats[:, 2]).abs().flatten(1).amax(1) < 1e-6


def is_turned(floats):
    """A rotation leaves the corners to what is beyond the picture, a crop does not."""
    return floats[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].amin((1, 2)) < 0.1


def share(which):
    return float(which.float().mean())


def test_none_changes_nothing(images):
    assert augmented(images, "none") is images


def test_low_flips_half_of_them_and_no_more(images):
    torch.manual_seed(0)
    low = augmented(images, "low")
    flipped = (low == images.flip(2)).flatten(1).all(1)
    assert low.dtype == torch.uint8
    assert 0.45 < share(flipped) < 0.55
    assert torch.equal(low[~flipped], images[~flipped])


@pytest.mark.parametrize(("level", "grey"), [("medium-low", 0.4 / 3), ("medium", 0.15), ("high", 0.15)])
def test_pictures_are_flipped_and_made_grey_as_often_as_said(images, level, grey):
    floats = changed(images, level)
    assert floats.shape == (COUNT, 3, 16, 16)
    assert 0.45 < share(is_flipped(floats)) < 0.55
    assert share(is_grey(floats)) == pytest.approx(grey, abs=0.035)


@pytest.mark.parametrize(("level", "turned"), [("medium-low", 1 / 3), ("medium", 1 / 2), ("high", 1)])
def test_one_of_several_is_chosen_for_each_picture(images, level, turned):
    # of those that are turned, the angle is large enough to be seen for three in four, and not cropped off
    assert 0.5 * turned < share(is_turned(changed(images, level))) <= turned + 0.05


def test_a_grey_picture_of_medium_low_is_neither_cropped_nor_turned(images):
    floats = changed(images, "medium-low")
    grey = floats[is_grey(floats) & ~is_flipped(floats)]
    weights = torch.tensor([0.299, 0.587, 0.114])
    expected = (to_float(images[:1]) * weights[:, None, None]).sum(1)
    assert torch.allclose(grey[:, 0], expected.expand(len(grey), -1, -1), atol=1e-3)


def test_crops_keep_what_is_in_them_within_the_level(images):
    """A ramp's steepness tells the crop's width: from 1 down to the least area of a level."""
    floats = changed(images, "medium")
    width = (floats[:, 0, 8, 2] - floats[:, 0, 8, 13]).abs() / (110 / 255)
    cropped = width[~is_turned(floats) & ~is_grey(floats)]
    assert 0.85 - 0.01 < float(cropped.min()) < 0.9
    assert float(cropped.max()) <= 1.001


@pytest.mark.parametrize("level", LEVELS)
def test_a_seed_gives_the_same(images, level):
    assert torch.equal(changed(images, level, 3), changed(images, level, 3))
    if level != "none":
        assert not torch.equal(changed(images, level, 3), changed(images, level, 4))


@pytest.mark.parametrize("level", LEVELS[:-1])
def test_pictures_of_any_shape_stay_in_range(level):
    floats = changed(torch.full((7, 20, 33, 3), 255, dtype=torch.uint8), level)
    assert floats.shape == (7, 3, 20, 33)
    assert 0 <= float(floats.min()) <= float(floats.max()) <= 1 + 1e-6


def test_strong_changes_colours_and_cuts_out_a_part_of_the_pictures():
    grey = torch.full((COUNT, 32, 32, 3), 128, dtype=torch.uint8)
    floats = changed(grey, "strong")
    brightness = floats.amax((1, 2, 3)) / (128 / 255)
    assert 0.8 <= float(brightness.min()) < 0.85
    assert 1.15 < float(brightness.max()) <= 1.2 + 1e-6
    dots = torch.zeros(COUNT, 32, 32, 3, dtype=torch.uint8)
    dots[:, ::2, ::2] = 255  # what is cut out is even
    floats = changed(dots, "strong")
    even = (floats[:, 0, 1:, 1:] == floats[:, 0, :-1, :-1]).flatten(1).float().mean(1)
    assert 0.25 < share(even > 10 / 961) < 0.35


def test_beyond_the_edge_of_a_strong_one_is_the_pictures_reflection():
    assert float(changed(torch.full((COUNT, 16, 16, 3), 255, dtype=torch.uint8), "strong").min()) > 0.7


def test_more_is_done_at_each_level(images):
    original = to_float(images)
    differences = [float((changed(images, level) - original).abs().mean()) for level in LEVELS]
    assert differences[0] == 0
    assert differences == sorted(differences)
