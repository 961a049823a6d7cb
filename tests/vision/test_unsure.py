"""What a classifier is not sure of is said to be so."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from balltrain.vision.predict import draw_one
from balltrain.vision.unsure import mark_unsure


@pytest.fixture
def predict(cli, reds, tmp_path):
    """Predict a red and a grey picture; what is printed as JSON, or the error."""
    for name, color in {"red": (230, 60, 60), "grey": (100, 90, 100)}.items():
        Image.new("RGB", (16, 16), color).save(tmp_path / f"{name}.png")

    def run(*more):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        code, out, err = cli("predict", reds / "a", "red.png", "grey.png", "--out", "out", *more)
        return code, out, err

    return run


def test_predictions_below_a_threshold_are_unsure_in_json_and_in_their_picture(predict, tmp_path):
    plain = json.loads(predict("--json")[1])["predictions"]
    assert "unsure" not in plain[0]
    before = np.asarray(Image.open(plain[1]["picture"]))
    chances = [found["top"][0]["probability"] for found in plain]
    low, high = sorted(chances)
    assert low < high
    code, out, err = predict("--unsure-below", high)
    assert (code, err) == (0, "")
    assert f"1 of them are unsure: below {high:g}" in out
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [each["unsure"] for each in found] == [chance < high for chance in chances]  # as sure as it is sure
    assert [each["class"] for each in found] == [each["class"] for each in plain]
    changed = np.asarray(Image.open(found[chances.index(low)]["picture"]))
    assert changed.shape == before.shape
    if chances.index(low) == 1:
        rows = np.flatnonzero((changed != before).any(axis=(1, 2)))
        assert len(rows) > 5
        assert rows.min() > 276  # below the five classes that may stand there


@pytest.mark.parametrize("value", ["0", "1.2", "nan"])
def test_a_threshold_is_a_probability(predict, value):
    code, out, err = predict("--unsure-below", value)
    assert (code, out) == (2, "")
    assert err == f"error: --unsure-below is {float(value):g}, but it is a probability: more than 0, at most 1\n"


def test_predictions_without_a_class_cannot_be_unsure():
    from balltrain.errors import UsageError
    from balltrain.vision.unsure import mark_unsure

    with pytest.raises(UsageError, match="coco predicts no class with a probability: leave out --unsure-below"):
        mark_unsure([{"input": "a.png", "objects": []}], 0.5, "coco")


def test_it_stands_beside_the_truth_and_not_over_it(tmp_path):
    drawing = draw_one(np.zeros((8, 8, 3), np.uint8), [("red", 0.5), ("blue", 0.5)], truth="red")
    drawing.save(tmp_path / "1.png")
    before = np.asarray(drawing)
    mark_unsure([{"top": [{"probability": 0.5}], "picture": str(tmp_path / "1.png")}], 0.9, "reds")
    after = np.asarray(Image.open(tmp_path / "1.png"))
    assert (after != before).any()
    assert (after == before)[(before != 255).any(axis=2)].all()  # what was drawn is as it was
