"""Figures of a classifier, against numbers worked by hand or printed in textbooks."""

import pytest
import torch

from balltrain.vision.metrics import calibration_error, combined, confusion_matrix, interval, risk_coverage


@pytest.mark.parametrize(
    ("right", "items", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),  # 1 - 0.025^(1/10)
        (10, 10, 0.6915, 1.0),
        (1, 20, 0.0013, 0.2487),
        (10, 20, 0.2720, 0.7280),
        # Newcombe, Stat. Med. 17 (1998), 857-872, table I, method 5
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_the_interval_is_that_of_clopper_and_pearson(right, items, low, high):
    assert interval(right, items) == pytest.approx((low, high), abs=5e-5)


def logits_of(*probabilities):
    return torch.tensor(probabilities).log()


def test_the_calibration_error_weighs_bins_by_their_items():
    """Of 15 bins: three items near 0.9 of which two are right, one of 0.65 that is right."""
    probabilities = torch.tensor([[0.90, 0.10], [0.88, 0.12], [0.08, 0.92], [0.35, 0.65]])
    label = torch.tensor([0, 1, 1, 1])
    # 0.90, 0.88 and 0.92 fall into (13/15, 14/15], 0.65 into (9/15, 10/15]
    expected = 3 / 4 * abs(0.90 - 2 / 3) + 1 / 4 * abs(0.65 - 1)
    assert calibration_error(probabilities, label) == pytest.approx(expected, abs=1e-6)


def test_what_is_as_sure_as_it_is_right_has_no_calibration_error():
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert calibration_error(sure, torch.tensor([0, 1])) == 0
    assert calibration_error(sure, torch.tensor([1, 0])) == 1
    half = torch.tensor([[0.75, 0.25]] * 4)
    assert calibration_error(half, torch.tensor([0, 0, 0, 1])) == pytest.approx(0)


def test_rows_of_the_confusion_matrix_are_true_classes():
    label, predicted = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 1, 1, 1, 0])
    assert confusion_matrix(predicted, label, 3).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]


class TestSeveralTogether:
    def test_their_mean_is_that_of_probabilities_not_of_logits(self):
        members = [logits_of([0.999, 0.001]), logits_of([0.3, 0.7]), logits_of([0.3, 0.7])]
        together = combined(members, majority=False).exp()
        torch.testing.assert_close(together, torch.tensor([[(0.999 + 0.6) / 3, (0.001 + 1.4) / 3]]))

    def test_the_majority_wins_however_sure_the_minority_is(self):
        members = [logits_of([0.999, 0.001]), logits_of([0.4, 0.6]), logits_of([0.4, 0.6])]
        assert combined(members, majority=False).argmax() == 0
        assert combined(members, majority=True).argmax() == 1

    def test_between_as_many_votes_the_mean_probability_decides(self):
        members = [logits_of([0.6, 0.4, 0.0]), logits_of([0.1, 0.8, 0.1])]
        assert combined(members, majority=True).argmax() == 1
        assert combined(members[::-1], majority=True).argmax() == 1
        members = [logits_of([0.9, 0.1, 0.0]), logits_of([0.1, 0.8, 0.1])]
        assert combined(members, majority=True).argmax() == 0

    def test_a_class_that_has_no_vote_does_not_win_a_tie(self):
        """The mean probability of class 2 is the largest."""
        members = [logits_of([0.51, 0.0, 0.49]), logits_of([0.0, 0.51, 0.49])]
        assert combined(members, majority=True).argmax() in (0, 1)

    def test_probabilities_sum_to_one_and_none_is_zero(self):
        members = [torch.tensor([[200.0, -200.0]]), torch.tensor([[200.0, -200.0]])]
        for majority in (False, True):
            together = combined(members, majority)
            assert together.isfinite().all()
            torch.testing.assert_close(together.exp().sum(), torch.tensor(1.0))


def test_accuracy_by_coverage_takes_equal_confidences_together():
    threshold, coverage, accuracy = risk_coverage([0.9, 0.6, 0.8, 0.6], [True, False, True, True])
    assert threshold.tolist() == [0.9, 0.8, 0.6]
    assert coverage.tolist() == [0.25, 0.5, 1.0]
    assert accuracy.tolist() == [1.0, 1.0, 0.75]
