import math

import pytest
import torch
import torch.nn.functional as F

from balltrain.tasks.coco.losses import box_regression_loss, detection_losses, focal_loss, generalized_iou

NONE = torch.empty(0, dtype=torch.long)


def test_focal_loss_of_one_anchor_by_hand():
    """p = 0.9 for the object's class, 0.2 for the other: -0.25 * 0.1^2 * log 0.9 - 0.75 * 0.2^2 * log 0.8."""
    logits = torch.tensor([[math.log(9), -math.log(4)]])
    found = focal_loss(logits, torch.tensor([0]), torch.tensor([0]), torch.tensor([True]), alpha=0.25, gamma=2.0)
    expected = -0.25 * 0.1**2 * math.log(0.9) - 0.75 * 0.2**2 * math.log(0.8)
    assert float(found) == pytest.approx(expected, abs=5e-7)  # differences of sums of order 1


def test_focal_loss_without_focus_is_half_of_cross_entropy():
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    positive, classes = torch.tensor([3, 20]), torch.tensor([6, 0])
    targets = torch.zeros(50, 7)
    targets[positive, classes] = 1
    found = focal_loss(logits, positive, classes, torch.ones(50, dtype=torch.bool), alpha=0.5, gamma=0.0)
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_anchors_that_are_not_trained_do_not_count():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    some = torch.tensor([True, False, True, False])
    found = focal_loss(logits, NONE, NONE, some, alpha=0.25, gamma=2.0)
    alone = focal_loss(logits[some], NONE, NONE, some[some], alpha=0.25, gamma=2.0)
    assert float(found) == pytest.approx(float(alone))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_focal_loss_is_finite_with_finite_gradients(logit, gamma):
    logits = torch.full((2, 2), logit, requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0]), torch.tensor([1]), torch.ones(2, dtype=torch.bool), 0.25, gamma)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),  # the enclosing box is covered
        ([0, 0, 10, 10], [10, 10, 20, 20], -0.5),  # 200 of 400 covered
        ([0, 0, 1, 1], [9, 0, 10, 1], -0.8),  # 2 of 10
    ],
)
def test_giou_by_hand(a, b, expected):
    found = generalized_iou(torch.tensor([a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32))
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_smooth_l1_by_hand():
    """Offsets all 0; the box is shifted by a whole anchor width, and else the anchor: |1| - beta / 2."""
    anchors = torch.tensor([[0.0, 0, 10, 10]])
    found = box_regression_loss(torch.zeros(1, 4), anchors, torch.tensor([[10.0, 0, 20, 10]]), "smooth_l1")
    assert float(found) == pytest.approx(1 - 1 / 18)


def test_giou_is_that_of_the_decoded_box():
    """Offsets of half an anchor to the right, where the box is a whole one away: a third is common."""
    anchors = torch.tensor([[0.0, 0, 10, 10]])
    offsets = torch.tensor([[0.5, 0, 0, 0]])
    found = box_regression_loss(offsets, anchors, torch.tensor([[10.0, 0, 20, 10]]), "giou")
    assert float(found) == pytest.approx(1 - 1 / 3)


def test_losses_are_divided_by_the_anchors_that_answer_for_objects():
    """One object, and two anchors on it; both say nothing, of one class: log 2 / 4, weighted by 0.25."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    boxes, labels = torch.tensor([[[0.0, 0, 10, 10]]]), torch.zeros(1, 1)
    crowd = torch.zeros(1, 1, dtype=torch.bool)
    options = {"alpha": 0.25, "gamma": 2.0, "box_loss": "smooth_l1"}
    found = detection_losses(torch.zeros(1, 2, 1), torch.zeros(1, 2, 4), anchors, boxes, labels, crowd, **options)
    assert float(found) == pytest.approx(0.25 * 0.25 * math.log(2), rel=1e-5)


def losses(logits, offsets, boxes, labels, crowd=None, box_loss="smooth_l1"):
    anchors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    crowd = torch.zeros_like(labels, dtype=torch.bool) if crowd is None else crowd
    options = {"alpha": 0.25, "gamma": 2.0, "box_loss": box_loss}
    return detection_losses(logits, offsets, anchors, boxes, labels, crowd, **options)


@pytest.mark.parametrize("box_loss", ["smooth_l1", "giou"])
def test_images_without_objects_have_a_loss_and_gradients(box_loss):
    logits, offsets = torch.zeros(1, 2, 3, requires_grad=True), torch.zeros(1, 2, 4, requires_grad=True)
    loss = losses(logits, offsets, torch.zeros(1, 1, 4), torch.full((1, 1), -1), box_loss=box_loss)
    loss.sum().backward()
    assert loss.item() == pytest.approx(6 * 0.75 * 0.25 * math.log(2), rel=1e-5)
    assert (logits.grad > 0).all()
    assert (offsets.grad == 0).all()


def test_each_image_counts_by_its_own_objects():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [50, 50, 60, 60]], [[0, 0, 10, 10], [0, 0, 0, 0]]])
    labels = torch.tensor([[0, 1], [2, -1]])
    logits, offsets = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 2, 4)
    both = losses(logits, offsets, boxes, labels)
    for n in range(2):
        alone = losses(logits[n : n + 1], offsets[n : n + 1], boxes[n : n + 1], labels[n : n + 1])
        assert float(alone) == pytest.approx(float(both[n]), rel=1e-6)


def test_boxes_without_extent_and_crowds_are_no_objects():
    boxes = torch.tensor([[[5.0, 5, 5, 9], [0, 0, 12, 12]]])
    found = losses(
        torch.zeros(1, 2, 3), torch.zeros(1, 2, 4), boxes, torch.zeros(1, 2), torch.tensor([[False, True]])
    )
    # the first anchor lies in the crowd, the second is background
    assert float(found) == pytest.approx(3 * 0.75 * 0.25 * math.log(2), rel=1e-5)
