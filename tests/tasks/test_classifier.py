"""What every classifier says of a split: figures, the confusion matrix, items to look at."""

import numpy as np
import pytest
import torch
from PIL import Image
from reds import reds

from balltrain.tasks.base import DataRequest

# right: 0 and 3, the one sure and the other hardly; wrong: 1, sure, and 2
LOGITS = torch.tensor([[0.99, 0.01], [0.05, 0.95], [0.599, 0.401], [0.45, 0.55]]).log()
LABEL = torch.tensor([0, 0, 1, 1], dtype=torch.uint8)
OUTPUTS, TARGETS = {"logits": LOGITS}, {"label": LABEL}


def test_thorough_figures_are_numbers_worked_by_hand():
    figures = reds.metrics(OUTPUTS, TARGETS, None, thorough=True)
    assert set(figures) == {
        "loss",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "ece",
        "accuracy_red",
        "accuracy_blue",
    }
    assert (figures["accuracy"], figures["accuracy_red"], figures["accuracy_blue"]) == (0.5, 0.5, 0.5)
    assert figures["loss"] == pytest.approx(-np.log([0.99, 0.05, 0.401, 0.55]).mean())
    assert (figures["accuracy_low"], figures["accuracy_high"]) == pytest.approx((0.0676, 0.9324), abs=5e-5)
    # the bins (14/15, 1], of 0.99 right and 0.95 wrong, and (8/15, 9/15], of 0.55 right and 0.6 wrong
    assert figures["ece"] == pytest.approx(abs(0.99 + 0.95 - 1) / 4 + abs(0.55 + 0.599 - 1) / 4, abs=1e-3)


def test_every_epoch_has_the_declared_figures_alone():
    assert set(reds.metrics(OUTPUTS, TARGETS, None, thorough=False)) == {"loss", "accuracy"}


def test_a_class_without_items_has_no_accuracy():
    figures = reds.metrics({"logits": LOGITS[:2]}, {"label": LABEL[:2]}, None, thorough=True)
    assert "accuracy_blue" not in figures
    assert "accuracy_red" in figures


def test_the_confusion_matrix_names_the_classes():
    table = reds.tables(OUTPUTS, TARGETS, {})["confusion_matrix"]
    assert (table.rows, table.columns) == (["Red", "Blue"], ["Red", "Blue"])
    assert table.values == [[1, 1], [1, 1]]


def test_items_to_look_at_are_those_most_wrong_most_doubtful_and_surest():
    found = reds.examples(OUTPUTS, TARGETS, None)
    assert {title: [row for row, _ in group] for title, group in found.groups.items()} == {
        "The most confidently wrong": [1, 2],
        "Doubtful and wrong": [2, 1],
        "Doubtful and right": [3, 0],
        "The surest right": [0, 3],
    }
    assert found.groups["The most confidently wrong"][0][1] == "Red, taken for Blue: 95.0%"
    assert found.groups["The surest right"][0][1] == "Red: 99.0%"
    assert found.histogram["right"] == pytest.approx([0.99, 0.55])
    assert found.histogram["wrong"] == pytest.approx([0.95, 0.599])


def test_its_data_is_exported_as_an_image_folder(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    lines = reds.export(DataRequest(), tmp_path, {"images": images, "label": np.array([1, 0, 1])})
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")) == [
        "Blue/00000.png",
        "Blue/00002.png",
        "Red/00001.png",
    ]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "Blue/00002.png")), images[2])
    assert "3 pictures" in lines[0]
