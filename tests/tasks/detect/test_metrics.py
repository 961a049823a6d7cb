import pytest
import torch

from balltrain.balls.world import BOX_SCALE, NUM_COLORS
from balltrain.tasks.detect.metrics import box_iou, color_accuracy, mean_average_precision, mean_iou
from balltrain.tasks.detect.model import DetectHyperparameters
from balltrain.tasks.detect.task import Detect, scaled, task, to_pixels

COLORS_OF_IMAGES = ((0, 3, 7), (1, 3, 8))


@pytest.fixture
def truth():
    """Presence (2, 9) and boxes (2, 9, 4) in px of two images: each ball covers 12 x 12 pixels."""
    presence = torch.zeros(2, NUM_COLORS)
    boxes = torch.zeros(2, NUM_COLORS, 4)
    for image, colors in enumerate(COLORS_OF_IMAGES):
        for number, color in enumerate(colors):
            presence[image, color] = 1
            boxes[image, color] = torch.tensor([20.0, 10, 31, 21]) + 20 * number
    return presence, boxes


def sure(presence):
    """Logits without doubt."""
    return (presence - 0.5) * 40


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ([0, 0, 9, 9], [0, 0, 9, 9], 1.0),
        ([3, 5, 3, 5], [3, 5, 3, 5], 1.0),  # a pixel is a box of area 1
        ([0, 0, 9, 9], [5, 0, 14, 9], 50 / 150),
        ([0, 0, 9, 9], [9, 9, 18, 18], 1 / 199),  # the last pixel belongs to both
        ([0, 0, 9, 9], [10, 0, 19, 9], 0.0),
        ([0, 0, 11, 11], [0, 0, 11, 10], 11 / 12),  # one edge off by one
        ([0, 0, 11, 11], [0, 0, 0, 0], 1 / 144),  # what an absent box counts at the corner
        ([8, 8, 4, 4], [0, 0, 9, 9], 0.0),  # turned inside out
    ],
)
def test_box_iou_counts_the_end_pixels(a, b, iou):
    boxes = torch.tensor([a], dtype=torch.float), torch.tensor([b], dtype=torch.float)
    assert box_iou(*boxes).item() == pytest.approx(iou)
    assert box_iou(*reversed(boxes)).item() == pytest.approx(iou)


def test_mean_iou_looks_at_true_boxes_only(truth):
    presence, boxes = truth
    predicted = boxes.clone()
    predicted[0, 5] = torch.tensor([1.0, 1, 50, 50])  # no such ball
    assert mean_iou(predicted, boxes, presence) == 1.0
    predicted[0, 0, 3] -= 1  # 11 of 12 rows
    predicted[1, 8] = 0  # missed
    assert mean_iou(predicted, boxes, presence) == pytest.approx((4 + 11 / 12) / 6)


def test_color_accuracy_wants_all_nine_right(truth):
    presence, _ = truth
    logits = sure(presence)
    assert color_accuracy(logits, presence) == 1.0
    logits[1, 4] = 0.1  # one colour too many
    assert color_accuracy(logits, presence) == 0.5
    logits[0, 0] = -0.1  # one too few
    assert color_accuracy(logits, presence) == 0.0


class TestMeanAveragePrecision:
    def test_perfect_is_one(self, truth):
        presence, boxes = truth
        assert mean_average_precision(sure(presence), boxes, boxes, presence) == pytest.approx(1.0)

    def test_nothing_found_is_zero(self, truth):
        presence, boxes = truth
        assert mean_average_precision(sure(presence), torch.zeros_like(boxes), boxes, presence) == 0.0

    def test_found_elsewhere_is_zero(self, truth):
        presence, boxes = truth
        elsewhere = (boxes + 30) * presence[:, :, None]
        assert mean_average_precision(sure(presence), elsewhere, boxes, presence) == pytest.approx(0.0)

    def test_an_edge_off_by_one_misses_the_strictest_threshold(self, truth):
        """IoU 11/12 = 0.917 passes the nine thresholds up to 0.90 and fails 0.95, for every colour."""
        presence, boxes = truth
        predicted = boxes.clone()
        predicted[:, :, 3] -= presence
        assert mean_average_precision(sure(presence), predicted, boxes, presence) == pytest.approx(0.9)

    def test_colors_are_categories(self, truth):
        """Of five colours that occur, one (yellow) is in both images; its two boxes are swapped there."""
        presence, boxes = truth
        boxes = boxes.clone()
        boxes[0, 3], boxes[1, 3] = torch.tensor([0.0, 60, 11, 71]), torch.tensor([60.0, 0, 71, 11])
        predicted = boxes.clone()
        predicted[:, 3] = boxes[:, 3].flip(0)
        assert mean_average_precision(sure(presence), predicted, boxes, presence) == pytest.approx(4 / 5)

    def test_a_false_alarm_below_the_true_one_costs_nothing_above_it_half(self, truth):
        presence, boxes = truth
        predicted, logits = boxes.clone(), sure(presence)
        predicted[1, 0] = torch.tensor([60.0, 60, 71, 71])  # no red ball in the second image
        logits[1, 0] = -1.0
        assert mean_average_precision(logits, predicted, boxes, presence) == pytest.approx(1.0)
        logits[1, 0] = 30.0
        assert mean_average_precision(logits, predicted, boxes, presence) == pytest.approx((4 + 0.5) / 5)


class TestFiguresOfTheTask:
    def figures(self, logits, boxes, truth, **kwargs):
        presence, true_boxes = truth
        targets = {"presence": presence.to(torch.uint8), "boxes": true_boxes.to(torch.int16)}
        outputs = {"logits": logits, "boxes": boxes}
        return task.metrics(outputs, targets, DetectHyperparameters(), **{"thorough": False, **kwargs})

    def test_objective_is_a_tenth_of_bce_plus_mse_over_nine_boxes(self, truth):
        predicted = scaled(truth[1])
        predicted[0, 0, 0] += 0.3
        predicted[0, 1, 1] += 0.4  # of an absent ball: counts too
        figures = self.figures(torch.zeros(2, NUM_COLORS), predicted, truth)
        assert figures["bce"] == pytest.approx(0.693147, rel=1e-5)
        assert figures["mse"] == pytest.approx((0.09 + 0.16) / 72, rel=1e-5)
        assert figures["loss"] == pytest.approx(0.1 * figures["bce"] + figures["mse"], rel=1e-6)

    def test_perfect_outputs(self, truth):
        presence, boxes = truth
        figures = self.figures(sure(presence), scaled(boxes), truth, thorough=True)
        assert figures["loss"] < 1e-8
        assert figures["color_accuracy"] == figures["iou"] == 1.0
        assert figures["map"] == pytest.approx(1.0)

    def test_names_are_those_of_the_results(self, truth):
        presence, boxes = truth
        names = set(self.figures(sure(presence), scaled(boxes), truth))
        assert names == {"loss", *Detect.metric_names}

    def test_boxes_are_rounded_to_whole_pixels(self):
        boxes = torch.tensor([[20.4, 10.6, 31.49, 20.51]]) / torch.tensor(BOX_SCALE)
        assert to_pixels(boxes).tolist() == [[20, 11, 31, 21]]
