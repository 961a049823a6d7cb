import pytest
import torch

from balltrain.tasks.coco import nms
from balltrain.tasks.coco.anchors import box_iou
from balltrain.tasks.coco.nms import MAX_DETECTIONS, detect, greedy_nms, suppress


def one_by_one(boxes, scores, labels, max_iou):
    """The definition: the best box stays, what overlaps it goes, and so on."""
    left, stay = scores.argsort(descending=True, stable=True).tolist(), []
    while left:
        best = left.pop(0)
        stay.append(best)
        left = [
            other
            for other in left
            if labels[other] != labels[best] or float(box_iou(boxes[[best]], boxes[[other]])) <= max_iou
        ]
    return stay


@pytest.mark.parametrize("seed", range(5))
def test_what_remains_is_what_the_definition_leaves(seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(200, 2, generator=generator) * 30
    boxes = torch.cat([corners, corners + 5 + 10 * torch.rand(200, 2, generator=generator)], dim=1)
    scores, labels = torch.rand(200, generator=generator), torch.randint(0, 3, (200,), generator=generator)
    expected = one_by_one(boxes, scores, labels, 0.5)
    assert 50 < len(expected) < 180
    assert greedy_nms(boxes, scores, labels, 0.5).tolist() == expected
    assert suppress(boxes, scores, labels, 0.5).tolist() == expected


def test_a_chain_keeps_every_other_box():
    """Each overlaps its neighbours alone; the second goes, so that the third stays."""
    left = torch.arange(6) * 3.0
    boxes = torch.stack([left, torch.zeros(6), left + 10, torch.full((6,), 10.0)], dim=1)
    scores = torch.linspace(0.9, 0.4, 6)
    assert greedy_nms(boxes, scores, torch.zeros(6, dtype=torch.long), 0.5).tolist() == [0, 2, 4]


def test_no_boxes_are_left_alone():
    assert greedy_nms(torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.long), 0.5).tolist() == []


def found(logits, offsets, anchors, size=(40, 50)):
    return detect(logits, offsets, anchors, *torch.tensor(size).unbind())


def test_detections_are_the_best_first_within_the_image_and_filled_up():
    anchors = torch.tensor([[-10.0, -10, 10, 10], [30, 20, 60, 60], [0, 0, 5, 5]])
    logits = torch.tensor([[-9.0, 1.0], [3.0, -9], [-9, -9]])  # the third says nothing
    boxes, scores, labels = found(logits, torch.zeros(3, 4), anchors)
    assert boxes.shape == (MAX_DETECTIONS, 4)
    assert boxes[:2].tolist() == [[30, 20, 50, 40], [0, 0, 10, 10]]
    assert scores[:2].tolist() == pytest.approx([0.952574, 0.731059], abs=1e-5)
    assert labels.tolist() == [0, 1] + [-1] * (MAX_DETECTIONS - 2)
    assert (scores[2:] == 0).all()


def test_boxes_of_a_class_may_overlap_by_half():
    """IoU 10 x 5 / 150 and 10 x 8 / 120 of the first box: the third goes."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [0, 2, 10, 12]])
    boxes, _, labels = found(torch.tensor([[3.0], [2.0], [1.0]]), torch.zeros(3, 4), anchors)
    assert labels.tolist().count(0) == 2
    assert boxes[1].tolist() == [5, 0, 15, 10]


def test_boxes_outside_the_image_are_none():
    labels = found(torch.tensor([[3.0]]), torch.zeros(1, 4), torch.tensor([[60.0, 0, 70, 10]]))[2]
    assert (labels == -1).all()


def test_an_anchor_may_show_two_classes():
    labels = found(torch.tensor([[3.0, 2.0]]), torch.zeros(1, 4), torch.tensor([[0.0, 0, 10, 10]]))[2]
    assert labels[:3].tolist() == [0, 1, -1]


def test_outputs_that_are_not_numbers_are_no_detections():
    labels = found(torch.full((2, 3), float("nan")), torch.full((2, 4), float("nan")), torch.zeros(2, 4))[2]
    assert (labels == -1).all()


def test_torchvision_is_used_where_it_imports(monkeypatch):
    import sys
    import types

    module = types.ModuleType("torchvision.ops")
    module.batched_nms = lambda boxes, scores, labels, max_iou: torch.tensor([42])
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", module)
    nms._operator.cache_clear()
    try:
        assert nms.suppress(torch.empty(0, 4), torch.empty(0), torch.empty(0), 0.5).tolist() == [42]
    finally:
        nms._operator.cache_clear()
