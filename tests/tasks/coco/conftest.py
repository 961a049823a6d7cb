"""A small data set in COCO's format, with what is awkward in the real one."""

import json

import numpy as np
import pytest
from PIL import Image

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 3, "name": "traffic light"}, {"id": 90, "name": "dog"}]  # with gaps
BIG_ID = 908400535506


class CocoFolder:
    """COCO's folder layout, filled by a test. `write` makes the files."""

    def __init__(self, root):
        self.root = root
        self.files = {}

    def add_file(self, split, categories=CATEGORIES):
        self.files[split] = {"images": [], "annotations": [], "categories": [dict(c) for c in categories]}
        (self.root / split).mkdir(parents=True, exist_ok=True)

    def add_image(self, split, number, size=(60, 40), mode="RGB"):
        name = f"{number:012d}.png"
        shape = (size[1], size[0]) + ((3,) if mode == "RGB" else ())
        pixels = np.random.default_rng(number).integers(0, 255, shape).astype(np.uint8)
        Image.fromarray(pixels).save(self.root / split / name)
        self.files[split]["images"].append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
        return pixels

    def add_box(self, split, number, image, category, box, **more):
        entry = {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3]}
        self.files[split]["annotations"].append({**entry, "iscrowd": 0, **more})

    def write(self):
        (self.root / "annotations").mkdir(exist_ok=True)
        for split, content in self.files.items():
            self.annotation_file(split).write_text(json.dumps(content))
        return self.root

    def annotation_file(self, split):
        return self.root / "annotations" / f"instances_{split}.json"


@pytest.fixture
def folder(tmp_path):
    return CocoFolder(tmp_path / "coco")


@pytest.fixture
def awkward(folder):
    """Six training and three validation images: wide, tall, square, grey, without objects; crowds, thin boxes, a huge
    annotation id, boxes beyond the image and without extent.
    """
    folder.add_file("train2017")
    for number, size in [
        (9, (60, 40)),
        (25, (40, 60)),
        (30, (50, 50)),
        (34, (60, 20)),
        (36, (60, 40)),
        (42, (61, 40)),
    ]:
        folder.add_image("train2017", number, size, mode="L" if number == 34 else "RGB")
    folder.add_box("train2017", 7, 9, 1, [10, 5, 20, 30])
    folder.add_box("train2017", 8, 9, 90, [30.5, 10, 40, 20])  # 10.5 px beyond the right edge
    folder.add_box("train2017", BIG_ID, 25, 3, [5, 5, 0.6, 50])
    folder.add_box("train2017", 11, 25, 3, [0, 0, 40, 40], iscrowd=1)
    folder.add_box("train2017", 12, 30, 1, [20, 20, 10, 0])
    folder.add_box("train2017", 13, 36, 90, [3, 3, 30, 30])
    folder.add_box("train2017", 14, 42, 1, [3, 3, 30, 30], area=200.5)
    folder.add_file("val2017")
    for number in (139, 285, 632):
        folder.add_image("val2017", number)
    folder.add_box("val2017", 1, 139, 1, [10, 5, 20, 30])
    folder.add_box("val2017", 2, 285, 90, [1, 1, 58, 38])
    folder.write()
    return folder


def draw_rectangles(folder, rng, first, count):
    """Grey noise with a red (category 2) and a blue (category 5) rectangle, some images upright.

    They are half as large again as 64 px, to which tests resize them.
    """
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number in range(first, first + count):
        width, height = (72, 96) if number % 3 == 0 else (96, 72)
        pixels = rng.integers(90, 150, (height, width, 3)).astype(np.uint8)
        for place, (category, color) in enumerate({2: (220, 30, 30), 5: (30, 30, 220)}.items()):
            box_width, box_height = rng.integers(21, 30, 2).tolist()
            x = int(rng.integers(place * width // 2, (place + 1) * width // 2 - box_width + 1))
            y = int(rng.integers(0, height - box_height))
            pixels[y : y + box_height, x : x + box_width] = color
            box = [x, y, box_width, box_height]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box, "iscrowd": 0}
            )
        Image.fromarray(pixels).save(folder / f"{number:012d}.png")
        images.append({"id": number, "file_name": f"{number:012d}.png", "width": width, "height": height})
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 2, "name": "red"}, {"id": 5, "name": "blue"}],
    }


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A folder of 24 training and 6 validation images of rectangles."""
    root = tmp_path_factory.mktemp("rectangles")
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir()
    for split, first, count in (("train", 1, 24), ("val", 101, 6)):
        content = draw_rectangles(root / split, rng, first, count)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root
