import pytest
import torch

from balltrain.tasks.coco.augment import jitter


def lit(batch=64, height=64, width=96):
    """Black images with a white rectangle, and its box; a second box far in the corner."""
    images = torch.zeros(batch, height, width, 3, dtype=torch.uint8)
    images[:, 16:40, 24:56] = 255
    boxes = torch.tensor([[24.0, 16, 56, 40], [88, 60, 96, 64]]).repeat(batch, 1, 1)
    return images, boxes, torch.tensor([[3, 5]]).repeat(batch, 1)


def found(image):
    """x1 y1 x2 y2 of what is white."""
    rows, columns = torch.nonzero(image[..., 0] > 190, as_tuple=True)
    return torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@pytest.mark.parametrize(("flip", "scale_jitter"), [(True, 0.0), (False, 0.3), (True, 0.3)])
def test_boxes_go_where_their_objects_go(flip, scale_jitter):
    torch.manual_seed(0)
    before, truth, labels = lit()
    images, boxes, _ = jitter(before, truth, labels, flip=flip, scale_jitter=scale_jitter)
    for image, box in zip(images, boxes[:, 0], strict=True):
        assert torch.allclose(found(image), box, atol=1.0)
    assert len({tuple(box) for box in boxes[:, 0].tolist()}) > 1


def test_without_options_nothing_changes():
    before = lit()
    for found, expected in zip(jitter(*before, flip=False, scale_jitter=0.0), before, strict=True):
        assert torch.equal(found.to(expected.dtype), expected)


def test_objects_that_are_cut_off_are_none_and_boxes_stay_inside():
    torch.manual_seed(0)
    _, boxes, labels = jitter(*lit(), flip=False, scale_jitter=0.3)
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([96.0, 64, 96, 64])).all()
    gone = labels[:, 1] == -1
    assert 0 < gone.sum() < 64
    area = (boxes[:, 1, 2:] - boxes[:, 1, :2]).prod(dim=1)
    assert area[gone].max() < 0.25 * 32 * 1.3**2
    assert area[~gone].min() > 0.25 * 32 * 0.7**2


def test_what_comes_in_at_the_edges_is_padding():
    torch.manual_seed(0)
    images, _, _ = jitter(*lit(), flip=False, scale_jitter=0.3)
    smaller = images[(images[:, -1, -1] - torch.tensor([123.675, 116.28, 103.53])).abs().amax(dim=1) < 1e-3]
    assert len(smaller) > 5
