import json

import numpy as np
import pytest
from PIL import Image

from balltrain.balls.coco import write_coco
from balltrain.balls.world import COLORS
from balltrain.errors import BalltrainError


@pytest.fixture
def balls():
    """Two images; the second has a red ball over 12 x 11 pixels, and a magenta one."""
    images = np.random.default_rng(0).integers(0, 255, (2, 100, 100, 3)).astype(np.uint8)
    presence, boxes = np.zeros((2, 9), np.uint8), np.zeros((2, 9, 4), np.int16)
    presence[1, [0, 8]] = 1
    boxes[1, 0], boxes[1, 8] = (10, 20, 21, 30), (0, 0, 10, 10)
    return images, presence, boxes


def test_boxes_end_after_their_last_pixel(balls, tmp_path):
    write_coco(tmp_path / "out", *balls, {"train": np.array([0]), "val": np.array([1])})
    content = json.loads((tmp_path / "out" / "annotations" / "instances_val.json").read_text())
    assert [category["name"] for category in content["categories"]] == list(COLORS)
    (image,) = content["images"]
    red, magenta = content["annotations"]
    assert (red["bbox"], red["area"], red["category_id"], red["image_id"]) == ([10, 20, 12, 11], 132, 1, image["id"])
    assert magenta["category_id"] == 9
    pixels = np.asarray(Image.open(tmp_path / "out" / "val" / image["file_name"]))
    np.testing.assert_array_equal(pixels, balls[0][1])


def test_a_folder_that_is_not_empty_is_refused(balls, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BalltrainError, match="the folder is not empty"):
        write_coco(tmp_path, *balls, {"train": np.array([0, 1])})
