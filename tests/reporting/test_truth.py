"""What an item really is, on the right of a prediction that does not show it."""

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from balltrain.reporting.gallery import _has_truth, _put_beside, draw_rows


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


class Named:
    """Exports grey pictures by the names of their images, which are not in the items' order, and draws them."""

    predicts_from = "*.png"

    def export(self, request, folder, data):
        folder.mkdir(parents=True)
        for pixels, name in zip(data["images"], data["image_id"], strict=True):
            Image.fromarray(pixels).save(folder / f"{name}.png")

    def draw_predictions(self, model, hp, device, paths, out):
        for path in paths:
            Image.open(path).save(out / path.name)
        return [{"picture": str(out / path.name)} for path in paths]

    def draw_items(self, batch, facts):
        return [(pixels, "") for pixels in batch["images"].numpy()]


def test_predictions_and_truths_are_in_the_order_of_the_items_whatever_their_files_are_called(tmp_path):
    grey = np.arange(4, dtype=np.uint8)[:, None, None, None] * 60
    images = np.broadcast_to(grey, (4, 8, 8, 3)).copy()
    dataset = SimpleNamespace(
        arrays={"images": images, "image_id": np.array([40, 30, 20, 10])}, request=None, facts={}
    )
    loaded = SimpleNamespace(task=Named(), model=None, hp=None)
    pictures = draw_rows(loaded, dataset, np.array([3, 0, 2]), tmp_path, torch.device("cpu"))
    for row, path in zip([3, 0, 2], pictures, strict=True):
        pixels = np.asarray(Image.open(path))
        assert pixels.shape == (8, 16, 3)
        assert (pixels == images[row, 0, 0, 0]).all()  # of the prediction on the left and of the truth on the right
