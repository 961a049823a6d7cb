import math

import pytest
import torch

from balltrain.tasks.coco.anchors import IGNORED, NEGATIVE, assign, box_iou, decode, encode, make_anchors


def test_anchors_have_the_paper_s_sizes_shapes_and_places():
    anchors = make_anchors(256, 320, 4.0)
    # 32 x 40 places at stride 8, 16 x 20, 8 x 10, 4 x 5, and 2 x 3 at stride 128
    assert len(anchors) == 9 * (1280 + 320 + 80 + 20 + 6)
    sizes = anchors[:9, 2:] - anchors[:9, :2]
    assert torch.allclose(sizes[1], torch.tensor([32.0, 32.0]))  # of the smallest octave the square one
    assert torch.allclose(sizes[4], torch.full((2,), 32 * 2 ** (1 / 3)))
    assert torch.allclose(sizes[0], torch.tensor([32 * math.sqrt(2), 32 / math.sqrt(2)]))  # ratio 1/2: wide
    assert torch.allclose(sizes[2], torch.tensor([32 / math.sqrt(2), 32 * math.sqrt(2)]))
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert torch.allclose(centers[:9], torch.tensor([4.0, 4.0]))
    assert torch.allclose(centers[9], torch.tensor([12.0, 4.0]))  # the next place is to the right
    assert torch.allclose(centers[9 * 40], torch.tensor([4.0, 12.0]))
    second = anchors[9 * 1280 + 1]  # of P4
    assert torch.allclose(second, torch.tensor([8.0 - 32, 8 - 32, 8 + 32, 8 + 32]))


def test_iou_is_that_of_the_areas():
    a = torch.tensor([[0.0, 0, 10, 10], [5, 5, 5, 9]])
    b = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert box_iou(a, b).tolist() == [[1.0, pytest.approx(1 / 3), 0.0], [0.0, 0.0, 0.0]]


def test_anchors_answer_for_what_they_overlap_by_half():
    box = torch.tensor([[0.0, 0, 10, 10]])
    anchors = torch.tensor(
        [
            [0.0, 0, 10, 10],  # IoU 1
            [0, 0, 10, 20],  # 0.5
            [0, 0, 10, 22],  # 0.4545…
            [0, 0, 10, 26],  # 0.3846…
            [50, 50, 60, 60],
        ]
    )
    assert assign(anchors, box, torch.empty(0, 4)).tolist() == [0, 0, IGNORED, NEGATIVE, NEGATIVE]


def test_of_two_boxes_an_anchor_answers_for_the_closer_one():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 12]])
    assert assign(torch.tensor([[0.0, 0, 10, 11.5]]), boxes, torch.empty(0, 4)).tolist() == [1]


def test_a_box_that_no_anchor_fits_gets_those_that_fit_best():
    thin = torch.tensor([[4.0, 0, 5, 40], [100, 100, 110, 110]])
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 40], [0, 40, 10, 50], [100, 100, 110, 110]])
    assert assign(anchors, thin, torch.empty(0, 4)).tolist() == [NEGATIVE, 0, NEGATIVE, 1]


def test_thin_boxes_leave_other_objects_their_anchors_and_share_by_overlap():
    anchors = torch.tensor([[0.0, 0, 10, 10], [100, 0, 110, 10]])
    # inside the first anchor, which answers for another object; two inside the second, the wider one overlaps it more
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 1, 10], [100, 0, 103, 10], [104, 0, 106, 10], [300, 0, 301, 10]])
    assert assign(anchors, boxes, torch.empty(0, 4)).tolist() == [0, 2]


def test_a_box_that_no_anchor_meets_has_none():
    anchors, box = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[300.0, 0, 310, 10]])
    assert assign(anchors, box, torch.empty(0, 4)).tolist() == [NEGATIVE]


def test_anchors_in_a_crowd_are_not_trained_unless_an_object_is_there():
    crowd = torch.tensor([[0.0, 0, 100, 100]])
    anchors = torch.tensor([[10.0, 10, 20, 20], [95, 0, 105, 10], [97, 0, 107, 10], [40, 40, 50, 50]])
    box = torch.tensor([[40.0, 40, 50, 50]])
    assert assign(anchors, box, crowd).tolist() == [IGNORED, IGNORED, NEGATIVE, 0]


def test_an_image_without_objects_is_all_background():
    none = torch.empty(0, 4)
    assert assign(torch.tensor([[0.0, 0, 10, 10]]), none, none).tolist() == [NEGATIVE]


def test_boxes_are_coded_as_offsets_in_anchor_sizes_and_decoded_again():
    anchors = torch.tensor([[0.0, 0, 10, 20]])
    box = torch.tensor([[5.0, 0, 25, 40]])  # its centre 10 to the right, 10 below; twice as wide and as high
    offsets = encode(box, anchors)
    assert torch.allclose(offsets, torch.tensor([[1.0, 0.5, math.log(2), math.log(2)]]))
    assert torch.allclose(decode(offsets, anchors), box)


def test_a_box_is_not_decoded_to_infinity():
    assert torch.isfinite(decode(torch.tensor([[0.0, 0, 1000, 1000]]), torch.tensor([[0.0, 0, 10, 10]]))).all()
