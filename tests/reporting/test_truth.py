"""What an item really is, on the right of a prediction that does not show it."""

import numpy as np
from PIL import Image

from balltrain.reporting.gallery import _has_truth, _put_beside


def test_the_truth_is_put_on_the_right_as_high_as_the_prediction(tmp_path):
    Image.new("RGB", (40, 60), "red").save(tmp_path / "a.png")
    _put_beside(tmp_path / "a.png", np.full((30, 50, 3), 200, np.uint8))
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    assert pixels.shape == (60, 40 + 100, 3)
    assert (pixels[30, 20].tolist(), pixels[30, 90].tolist()) == ([255, 0, 0], [200] * 3)


def test_predictions_that_show_it_are_left_as_they_are():
    assert _has_truth({"truth": "Cat"})
    assert _has_truth({"balls": [{"truth": [1, 2, 3, 4]}]})
    assert not _has_truth({"objects": []})
