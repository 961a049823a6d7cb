"""The variants that the original describes: what is learned, in which order corners lie, what augmentation moves."""

import numpy as np
import pytest
import torch
from PIL import Image

from balltrain.balls.images import render_images
from balltrain.balls.world import BOX_SCALE, COLOR_RGB, COLORS, IMAGE_SIZE, NUM_COLORS
from balltrain.errors import UsageError
from balltrain.tasks.base import resolve
from balltrain.tasks.detect.augment import SHIFT_PX, augmented
from balltrain.tasks.detect.data import read_labels_beside
from balltrain.tasks.detect.draw import ZOOM, draw_detections
from balltrain.tasks.detect.model import Detections, colors_of_boxes
from balltrain.tasks.detect.task import disorder, task
from balltrain.training.precision import choose_algorithms


@pytest.fixture(scope="module")
def batch():
    """Thirty-two generated images with their labels."""
    images = torch.empty(32, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)
    presence = torch.empty(32, NUM_COLORS, dtype=torch.uint8)
    boxes = torch.empty(32, NUM_COLORS, 4, dtype=torch.int16)
    render_images(32, 0, images.numpy(), presence.numpy(), boxes.numpy())
    return {"images": images, "presence": presence, "boxes": boxes}


def hyperparameters(**values):
    return resolve(task, {"model": "reference", **values})


def figures(outputs, batch, **values):
    targets = {name: batch[name] for name in ("presence", "boxes")}
    return task.metrics(outputs, targets, hyperparameters(**values), thorough=False)


def test_colors_alone_are_learned_and_judged_by_their_part_of_the_loss(batch):
    torch.manual_seed(0)
    hp = hyperparameters(learn="colors")
    model = task.build_model(hp, {}).eval()
    with torch.inference_mode():
        outputs, loss = task.predict(model, batch, hp), task.loss(model, batch, hp)
    assert not outputs["boxes"].any()
    shown = figures(outputs, batch, learn="colors")
    assert shown["loss"] == pytest.approx(0.1 * shown["bce"])
    assert float(loss) == pytest.approx(shown["loss"], rel=1e-5)


def test_of_boxes_alone_the_colors_are_deduced(batch):
    """The three largest boxes are those of the balls: right boxes say all colours right."""
    right = batch["boxes"].float() / torch.tensor(BOX_SCALE)
    outputs = {"logits": colors_of_boxes(right), "boxes": right}
    shown = figures(outputs, batch, learn="boxes")
    assert (shown["loss"], shown["color_accuracy"], shown["iou"]) == (0.0, 1.0, 1.0)
    hp = hyperparameters(learn="boxes")
    assert task.loss(lambda _: Detections(outputs["logits"], right), batch, hp) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": "heatmap", "learn": "colors"},
            "learn colors needs the model reference, not heatmap: add --set model=reference",
        ),
        ({"learn": "boxes", "boxes": "present"}, "deduces the colours from nine boxes: leave out boxes present"),
        ({"order_scale": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_learned_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        hyperparameters(**values)


def test_disorder_is_how_far_edges_lie_on_the_wrong_side():
    scale = torch.tensor(BOX_SCALE)
    assert disorder(torch.tensor([[10.0, 20.0, 30.0, 40.0], [5.0, 5.0, 5.0, 5.0]]) / scale) == 0
    # x2 lies 20 px before x1, y2 behind y1: two differences
    assert float(disorder(torch.tensor([[30.0, 20.0, 10.0, 40.0]]) / scale)) == pytest.approx(0.20 / 2)


def test_the_loss_favours_ordered_boxes_where_it_is_asked_to(batch):
    right = batch["boxes"].float() / torch.tensor(BOX_SCALE)
    swapped = right[..., [2, 3, 0, 1]]

    def loss(boxes, **values):
        return float(task.loss(lambda _: Detections(right[..., 0], boxes), batch, hyperparameters(**values)))

    assert loss(right, order_scale=3.0) == loss(right)
    assert loss(swapped, order_scale=3.0) == pytest.approx(loss(swapped) + 3 * float(disorder(swapped)))
    assert disorder(swapped) > 0


@pytest.mark.parametrize("level", ["mirror", "shift", "mirror_shift"])
def test_augmentation_moves_boxes_with_their_balls(level):
    """A ball of one colour on black: its pixels fill its box before and after."""
    torch.manual_seed(0)
    corners = torch.randint(0, 60, (64, 3, 2))
    corners[:, 1:] += 15  # not all in one corner
    sizes = torch.tensor([[11, 7], [9, 12], [13, 5]])
    colors = torch.tensor([1, 4, 8])
    batch = {
        "images": torch.zeros(64, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8),
        "presence": torch.zeros(64, NUM_COLORS, dtype=torch.uint8),
        "boxes": torch.zeros(64, NUM_COLORS, 4, dtype=torch.int16),
    }
    batch["presence"][:, colors] = 1
    batch["boxes"][:, colors] = torch.cat([corners, corners + sizes], dim=2).to(torch.int16)
    for image, boxes in zip(batch["images"], batch["boxes"], strict=True):
        for color in colors.tolist():
            x1, y1, x2, y2 = boxes[color].tolist()
            image[y1 : y2 + 1, x1 : x2 + 1, 0] += 10 * color + 10  # where two lie on each other, their sum
    moved = augmented(batch, level)
    assert {name: value.dtype for name, value in moved.items()} == {name: v.dtype for name, v in batch.items()}
    assert not torch.equal(moved["boxes"], batch["boxes"])
    assert not moved["boxes"][:, [0, 2, 3, 5, 6, 7]].any()
    for image, boxes in zip(moved["images"], moved["boxes"], strict=True):
        drawn = torch.zeros_like(image)
        for color in colors.tolist():
            x1, y1, x2, y2 = boxes[color].tolist()
            assert 0 <= x1 <= x2 < IMAGE_SIZE
            assert 0 <= y1 <= y2 < IMAGE_SIZE
            drawn[y1 : y2 + 1, x1 : x2 + 1, 0] += 10 * color + 10
        assert torch.equal(image, drawn)  # also where a ball touches an edge, whose pixels are repeated


def test_shifts_use_their_range_and_keep_balls_inside(batch):
    torch.manual_seed(0)
    many = {name: value.repeat(20, *[1] * (value.ndim - 1)) for name, value in batch.items()}
    moved = augmented(many, "shift")
    present = many["presence"].bool()
    by = (moved["boxes"] - many["boxes"])[present]
    assert (by.min(), by.max()) == (-SHIFT_PX, SHIFT_PX)
    assert moved["boxes"].min() >= 0
    assert moved["boxes"].max() < IMAGE_SIZE


def test_augmentation_is_of_training_alone_where_it_is_asked_for(batch):
    assert task.augment(batch, hyperparameters()) is batch
    assert not torch.equal(task.augment(batch, hyperparameters(augmentation="mirror"))["images"], batch["images"])


def test_colors_without_boxes_are_listed_on_the_picture(tmp_path):
    image = np.zeros((1, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    presence = np.array([[0.9, 0.1, 0.8, 0, 0, 0, 0, 0, 0]])
    (found,) = draw_detections([tmp_path / "a.jpg"], image, presence, np.zeros((1, NUM_COLORS, 4), int), tmp_path)
    assert [(ball["color"], ball["box"]) for ball in found["balls"]] == [("red", None), ("blue", None)]
    from PIL import Image

    shown = np.asarray(Image.open(tmp_path / "a.png"))
    assert tuple(shown[1, 1]) == tuple(int(value) for value in COLOR_RGB[0])
    assert not shown[-100:].any()


def test_cudnn_times_its_algorithms_on_gpus_alone_and_for_who_asked():
    assert hyperparameters().cudnn_benchmark
    assert not resolve(task, {}).cudnn_benchmark
    try:
        choose_algorithms(True, torch.device("cuda"))
        assert torch.backends.cudnn.benchmark
        choose_algorithms(False, torch.device("cuda"))
        assert not torch.backends.cudnn.benchmark
        choose_algorithms(True, torch.device("cpu"))
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False


def test_a_box_that_is_inside_out_is_drawn_between_its_edges(tmp_path):
    """Such as the reference predicts in its first epochs. The answer keeps it as it is."""
    image, presence = np.full((1, 100, 100, 3), 200, np.uint8), np.eye(NUM_COLORS)[:1]
    boxes = np.zeros((1, NUM_COLORS, 4), int)
    boxes[0, 0] = 60, 70, 20, 30
    (found,) = draw_detections([tmp_path / "a.jpg"], image, presence, boxes, tmp_path)
    assert found["balls"][0]["box"] == [60, 70, 20, 30]
    pixels = np.asarray(Image.open(found["picture"]))
    assert pixels[250, 20 * ZOOM].min() == pixels[250, 61 * ZOOM].min() == 255


def test_labels_beside_an_image_are_drawn_with_what_is_found(tmp_path):
    image, presence = np.full((1, 100, 100, 3), 200, np.uint8), np.zeros((1, NUM_COLORS))
    label = np.zeros((NUM_COLORS, 5), np.float32)
    label[2] = 1, 10, 20, 29, 39
    np.save(tmp_path / "p_bb_00007.npy", label)
    truths = [read_labels_beside(tmp_path / "img_00007.jpg"), read_labels_beside(tmp_path / "other.jpg")]
    assert truths[1] is None
    boxes = np.zeros((1, NUM_COLORS, 4), int)
    (found,) = draw_detections([tmp_path / "img_00007.jpg"], image, presence, boxes, tmp_path, truths[:1])
    assert found["truth"] == [{"color": COLORS[2], "box": [10, 20, 29, 39]}]
    pixels = np.asarray(Image.open(found["picture"]))
    assert (pixels[125, 61], pixels[150, 120]) == (pytest.approx(0), pytest.approx(200))
