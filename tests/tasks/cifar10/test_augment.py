"""What training pictures go through: mirrored, shifted and partly cut out, each in its own way."""

import torch

from balltrain.tasks.cifar10.augment import MEAN_RGB, cut_out, mirrored_and_shifted


def pictures(count):
    """Whose pixels say their place, in red the column and in green the row."""
    place = torch.arange(32, dtype=torch.uint8)
    picture = torch.stack([place.expand(32, 32), place[:, None].expand(32, 32), torch.zeros(32, 32)], dim=-1)
    return picture.byte().expand(count, -1, -1, -1)


def test_half_of_the_pictures_are_mirrored():
    torch.manual_seed(0)
    images = pictures(400)
    changed = mirrored_and_shifted(images, flip=True, most_px=0)
    mirrored = (changed == images.flip(2)).flatten(1).all(1)
    assert torch.logical_or(mirrored, (changed == images).flatten(1).all(1)).all()
    assert 150 < mirrored.sum() < 250


def test_pictures_are_shifted_each_way_and_reflected_at_the_edges():
    torch.manual_seed(0)
    changed = mirrored_and_shifted(pictures(400), flip=False, most_px=3).int()
    columns, rows = changed[:, 16, 16, 0] - 16, changed[:, 16, 16, 1] - 16
    assert set(columns.tolist()) == set(rows.tolist()) == set(range(-3, 4))
    assert set(zip(columns.tolist(), rows.tolist(), strict=True)) > {(-3, 3), (3, -3), (0, 0)}
    left = changed[columns == -2][0, 16, :4, 0]  # two columns came in
    assert left.tolist() == [2, 1, 0, 1]
    right = changed[columns == 2][0, 16, -4:, 0]
    assert right.tolist() == [30, 31, 30, 29]


def test_a_square_is_cut_out_of_each_picture():
    torch.manual_seed(0)
    images = torch.zeros(200, 32, 32, 3, dtype=torch.uint8)
    gone = (cut_out(images, 8) == torch.tensor(MEAN_RGB)).all(3)
    areas = gone.flatten(1).sum(1)
    assert areas.max() == 64
    assert areas.min() >= 16  # the centre is in the picture
    assert len({tuple(map(tuple, picture.nonzero().tolist())) for picture in gone}) > 100


def test_what_is_drawn_depends_on_the_seed_alone():
    def drawn(seed):
        torch.manual_seed(seed)
        return cut_out(mirrored_and_shifted(pictures(8), flip=True, most_px=2), 6)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
