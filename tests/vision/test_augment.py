"""What each level does to a known batch: what it says, as often as it says."""

import math
import random

import pytest
import torch

from balltrain.vision.augment import augmented
from balltrain.vision.pixels import to_float

LEVELS = ("normal", "low", "medium-low", "medium", "high", "strong")
COUNT, SIZE = 4000, 64
# resized to so many pixels, least area, least and largest ratio
CROPS = {"medium": (80, 0.85, 0.8, 1.2), "high": (90, 0.8, 0.75, 1.25), "medium-low": (64, 0.95, 0.95, 1.05)}


@pytest.fixture(scope="module")
def maps():
    """(4000, 64, 64, 3) uint8, each the same: red says where a pixel is from left to right, green from top to
    bottom, 3 of 255 a pixel; blue is even."""
    place = torch.arange(SIZE, dtype=torch.uint8) * 3
    image = torch.stack([place.repeat(SIZE, 1), place.repeat(SIZE, 1).T, torch.full((SIZE, SIZE), 200)], 2)
    return image.to(torch.uint8).repeat(COUNT, 1, 1, 1)


@pytest.fixture(scope="module")
def images():
    """(1000, 16, 16, 3) uint8, each the same: dark to the right, red more than blue, with a bright centre."""
    image = torch.arange(240, 80, -10, dtype=torch.uint8).repeat(16, 1)[:, :, None].repeat(1, 1, 3)
    image[..., 2] //= 2
    return image.repeat(1000, 1, 1, 1)


def changed(images, level, seed=0):
    torch.manual_seed(seed)
    return to_float(augmented(images, level))


def is_grey(floats):
    return (floats[:, 0] - floats[:, 2]).abs().flatten(1).amax(1) < 1e-6


def share(which):
    return float(which.float().mean())


def about(probability, count=COUNT):
    """Within four standard deviations of the share of so many."""
    return pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / count))


class Seen:
    """How the pictures of `maps` that are not grey were changed, read off the middle of each."""

    def __init__(self, floats):
        self.floats = floats[~is_grey(floats)]
        x, y = (self.floats[:, channel] * 255 / 3 for channel in (0, 1))  # where each pixel is from
        middle = slice(24, 40)
        # pixels of the original that are passed in one step to the right, or down
        self.right = torch.stack([(place[:, 32, 39] - place[:, 32, 24]) / 15 for place in (x, y)], 1)
        self.down = torch.stack([(place[:, 39, 32] - place[:, 24, 32]) / 15 for place in (x, y)], 1)
        self.center = torch.stack([place[:, middle, middle].mean((1, 2)) for place in (x, y)], 1)
        self.flipped = self.right[:, 0] < 0
        self.turned = self.right[:, 1].abs() > 1e-4
        self.degrees = torch.atan2(self.right[:, 1], self.right[:, 0]) * 180 / math.pi

    def sides(self, resized):
        """Width and height of the crop, in pixels."""
        return torch.stack([self.right[:, 0].abs() * resized, self.down[:, 1] * resized], 1)


def torchvisions_crop(generator, least_area, ratios):
    """Width and height by the words of torchvision's RandomResizedCrop, written anew."""
    for _ in range(10):
        area = SIZE * SIZE * generator.uniform(least_area, 1)
        ratio = math.exp(generator.uniform(math.log(ratios[0]), math.log(ratios[1])))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if width <= SIZE and height <= SIZE:
            return width, height
    return SIZE, SIZE


def test_normal_changes_nothing(maps):
    assert augmented(maps, "normal") is maps


def test_low_makes_grey_and_flips_and_no_more(maps):
    floats, original = changed(maps, "low"), to_float(maps)
    grey = is_grey(floats)
    assert floats.shape == (COUNT, 3, SIZE, SIZE)
    assert share(grey) == about(0.15)
    assert share(floats[:, 0, 0, 0] > floats[:, 0, 0, -1]) == about(0.5)
    assert share(grey & (floats[:, 0, 0, 0] > floats[:, 0, 0, -1])) == about(0.075)
    weighted = (original[:1] * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    either = [original[0], original[0].flip(2), *(w.expand(3, -1, -1) for w in (weighted[0], weighted[0].flip(2)))]
    same = torch.stack([(floats - one).abs().flatten(1).amax(1) < 1e-6 for one in either])
    assert bool((same.sum(0) == 1).all())


@pytest.mark.parametrize("level", ["medium", "high"])
def test_medium_and_high_make_grey_flip_and_crop_all(maps, level):
    floats = changed(maps, level)
    assert floats.shape == (COUNT, 3, SIZE, SIZE)
    assert share(is_grey(floats)) == about(0.15)
    seen = Seen(floats)
    assert share(seen.flipped) == about(0.5, len(seen.floats))
    assert not seen.turned.any()


@pytest.mark.parametrize("level", CROPS)
def test_crops_are_those_of_torchvision(maps, level):
    """Whole pixels within the level's area and ratio, as often as by its words, anywhere in the picture."""
    resized, least_area, *ratios = CROPS[level]
    seen = Seen(changed(maps, level))
    sides = seen.sides(resized)[~seen.turned & ~seen.flipped]
    center = seen.center[~seen.turned & ~seen.flipped]
    whole = sides.round()
    assert float((sides - whole).abs().max()) < 0.05
    assert float(whole.prod(1).min()) >= (least_area * SIZE - 1) * SIZE
    assert float(whole.max()) == SIZE
    generator = random.Random(0)
    expected = torch.tensor([torchvisions_crop(generator, least_area, ratios) for _ in range(20_000)]).float()
    if level == "medium-low":  # what is not flipped is as it was, and looks like a crop of all
        whole, expected = (some[(some < SIZE).any(1)] for some in (whole, expected))
    for name in ("mean", "std"):
        found, wanted = (getattr(torch.Tensor, name)(some, 0) for some in (whole, expected))
        assert torch.allclose(found, wanted, atol=float(6 * expected.std() / math.sqrt(len(whole))))
    start = center - (sides - 1) / 2  # of the crop, whose middle is also that of what is seen
    assert -0.1 < float(start.min()) < 0.1
    ends = start + sides
    assert SIZE - 0.1 < float(ends.max()) < SIZE + 0.1
    room = (SIZE - sides.round()).clamp(min=0)
    assert float(start.mean()) == pytest.approx(float(room.mean()) / 2, abs=0.1)


def test_exactly_one_thing_is_done_to_a_picture_of_medium_low(maps):
    floats = changed(maps, "medium-low")
    assert share(is_grey(floats)) == about(0.4)
    seen = Seen(floats)
    count = len(seen.floats)
    cropped = (seen.sides(64) < SIZE - 0.5).any(1) & ~seen.turned
    assert share(seen.turned) == about(1 / 3, count)
    assert share(seen.flipped) == about(1 / 3 * 0.75, count)
    assert not (seen.turned & seen.flipped).any()
    assert not (cropped & seen.flipped).any()
    original = to_float(maps)[0]
    untouched = (seen.floats - original).abs().flatten(1).amax(1) < 2e-3
    mirrored = (seen.floats - original.flip(2)).abs().flatten(1).amax(1) < 1e-6
    assert torch.equal(mirrored, seen.flipped)
    assert torch.equal(seen.turned | cropped | mirrored | untouched, torch.ones(count, dtype=torch.bool))
    assert share(untouched | cropped) == about(1 / 3 + 1 / 3 * 0.25, count)


def test_rotations_of_medium_low_are_even_up_to_15_degrees_and_black_beyond(maps):
    seen = Seen(changed(maps, "medium-low"))
    degrees = seen.degrees[seen.turned]
    assert float(degrees.abs().max()) <= 15.01
    assert float(degrees.abs().max()) > 14.5
    assert float(degrees.mean()) == pytest.approx(0, abs=4 * 8.66 / math.sqrt(len(degrees)))
    assert float(degrees.abs().mean()) == pytest.approx(7.5, abs=4 * 4.33 / math.sqrt(len(degrees)))
    assert torch.allclose(seen.center[seen.turned], torch.tensor(31.5), atol=0.02)
    tilted = seen.floats[seen.turned & (seen.degrees.abs() > 5)]
    assert float(tilted[:, 2, [0, 0, -1, -1], [0, -1, 0, -1]].max()) < 0.2


@pytest.mark.parametrize("level", LEVELS)
def test_a_seed_gives_the_same(images, level):
    assert torch.equal(changed(images, level, 3), changed(images, level, 3))
    if level != "normal":
        assert not torch.equal(changed(images, level, 3), changed(images, level, 4))


@pytest.mark.parametrize("level", LEVELS[:-1])
def test_pictures_of_any_shape_stay_in_range(level):
    floats = changed(torch.full((7, 20, 33, 3), 255, dtype=torch.uint8), level)
    assert floats.shape == (7, 3, 20, 33)
    assert 0 <= float(floats.min()) <= float(floats.max()) <= 1 + 1e-6


def test_strong_changes_colours_and_cuts_out_a_part_of_the_pictures():
    grey = torch.full((1000, 32, 32, 3), 128, dtype=torch.uint8)
    floats = changed(grey, "strong")
    brightness = floats.amax((1, 2, 3)) / (128 / 255)
    assert 0.8 <= float(brightness.min()) < 0.85
    assert 1.15 < float(brightness.max()) <= 1.2 + 1e-6
    dots = torch.zeros(1000, 32, 32, 3, dtype=torch.uint8)
    dots[:, ::2, ::2] = 255  # what is cut out is even
    floats = changed(dots, "strong")
    even = (floats[:, 0, 1:, 1:] == floats[:, 0, :-1, :-1]).flatten(1).float().mean(1)
    assert 0.25 < share(even > 10 / 961) < 0.35


def test_beyond_the_edge_of_a_strong_one_is_the_pictures_reflection():
    assert float(changed(torch.full((1000, 16, 16, 3), 255, dtype=torch.uint8), "strong").min()) > 0.7
