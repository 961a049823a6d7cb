"""Our figures beside pycocotools' on the same results."""

import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.tasks.coco.metrics import FIGURES, coco_figures
from balltrain.tasks.coco.task import task

DATA = Path(os.environ.get("BALLTRAIN_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
REAL = DATA / "coco" / "annotations" / "instances_val2017.json"


def pycocotools_figures(annotations, results, categories=None):
    """The twelve, and AP by category name."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        if categories:
            evaluation.params.catIds = truth.getCatIds(catNms=categories)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = dict(zip(FIGURES, evaluation.stats.tolist(), strict=True))
    for place, number in enumerate(evaluation.params.catIds):
        precision = evaluation.eval["precision"][:, :, place, 0, -1]
        if (precision > -1).any():
            figures[f"ap/{truth.cats[number]['name']}"] = float(precision.mean())
    return figures


def noisy_results(annotations, path, seed=0):
    """Detections near objects and crowds, doubled, of the wrong category, with equal scores, over 100 an image."""
    rng = np.random.default_rng(seed)
    content = json.loads(annotations.read_text())
    numbers = [category["id"] for category in content["categories"]]
    results = []

    def add(image, category, box):
        score = float(np.round(rng.random(), 2))
        entry = {"image_id": image, "category_id": category, "bbox": [float(v) for v in box], "score": score}
        results.append(entry)

    for entry in content["annotations"]:
        box = np.array(entry["bbox"])
        for _ in range(rng.integers(0, 4)):
            noise = rng.normal(0, 0.08, 4) * np.maximum(box[[2, 3, 2, 3]], 1)
            noisy = box + noise
            add(entry["image_id"], entry["category_id"], [*noisy[:2], *np.abs(noisy[2:])])
        if rng.random() < 0.2:
            add(entry["image_id"], int(rng.choice(numbers)), box)
    for image in content["images"][:2]:
        for _ in range(150):
            corner, size = rng.random(2) * 30, rng.random(2) * 30
            add(image["id"], numbers[0], [*corner, *size])
    path.write_text(json.dumps(results))
    return path


def our_figures(annotations, results, tmp_path, **options):
    request = DataRequest(str(annotations), options={"image_size": 32, **options})
    dataset = load_data(TaskRef("coco"), task, request, tmp_path / "data")
    figures, tables = task.score_results(results, request, dataset.facts, dataset.arrays)
    table = tables["ap_by_category"]
    return figures | {f"ap/{name}": ap for name, (ap,) in zip(table.rows, table.values, strict=True)}


@pytest.fixture
def crowded(folder):
    """30 images with objects of all sizes, crowds, thin and empty boxes, an image without any, a category without."""
    rng = np.random.default_rng(0)
    categories = [{"id": number, "name": name} for number, name in [(1, "a"), (2, "b"), (7, "c"), (90, "none")]]
    folder.add_file("val2017", categories)
    for number in range(1, 31):
        width, height = rng.integers(200, 400, 2).tolist()
        folder.add_image("val2017", number, (width, height))
        for _ in range(rng.integers(0, 12) if number > 1 else 0):
            size = rng.random(2) ** 2 * [width, height] * 0.9
            if rng.random() < 0.1:
                size[0] = rng.choice([0.0, 0.4])
            x, y = (rng.random(2) * ([width, height] - size)).tolist()
            count = len(folder.files["val2017"]["annotations"])
            folder.add_box(
                "val2017",
                count + 1 + (10**12 if count % 2 else 0),
                number,
                int(rng.choice([1, 2, 7])),
                [x, y, *size.tolist()],
                iscrowd=int(rng.random() < 0.1),
                area=float(size.prod() * rng.uniform(0.5, 1)),
                ignore=1,  # which pycocotools overrides with iscrowd
            )
    folder.write()
    return folder.annotation_file("val2017")


@pytest.mark.parametrize("categories", [None, ["a", "c"]])
def test_figures_are_those_of_pycocotools(crowded, tmp_path, categories):
    results = noisy_results(crowded, tmp_path / "results.json")
    options = {"categories": ",".join(categories)} if categories else {}
    found = our_figures(crowded, results, tmp_path, **options)
    assert found == pytest.approx(pycocotools_figures(crowded, results, categories), abs=1e-6)
    assert len(found) == len(FIGURES) + (2 if categories else 3)
    assert min(found[name] for name in FIGURES) > 0.02


@pytest.mark.skipif(not REAL.is_file(), reason=f"no COCO data in {DATA}")
def test_figures_on_real_annotations_are_those_of_pycocotools(tmp_path):
    results = noisy_results(REAL, tmp_path / "results.json")
    found = our_figures(REAL, results, tmp_path)
    assert found == pytest.approx(pycocotools_figures(REAL, results), abs=1e-6)
    assert len(found) == len(FIGURES) + 80


def test_without_detections_all_figures_are_zero_or_none(crowded, tmp_path):
    (tmp_path / "results.json").write_text("[]")
    found = our_figures(crowded, tmp_path / "results.json", tmp_path)
    assert {found[name] for name in FIGURES} == {0.0}


def test_without_objects_there_are_no_figures():
    entry = {"image_id": 0, "category_id": 0, "bbox": [1, 2, 3, 4], "score": 0.5}
    none = {"truth": np.zeros((1, 1, 4)), "labels": np.full((1, 1), -1), "crowd": np.zeros((1, 1), bool)}
    figures, by_label = coco_figures([entry], **none, area=np.zeros((1, 1)))
    assert set(figures.values()) == {-1.0}
    assert by_label == {}


def test_an_object_with_the_id_0_is_found(folder, tmp_path):
    """pycocotools takes it for one that was not."""
    folder.add_file("val2017")
    folder.add_image("val2017", 1)
    folder.add_box("val2017", 0, 1, 1, [5, 5, 20, 20])
    folder.write()
    entry = {"image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "score": 0.5}
    (tmp_path / "results.json").write_text(json.dumps([entry]))
    assert our_figures(folder.annotation_file("val2017"), tmp_path / "results.json", tmp_path)["map"] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "is no list of COCO results"),
        ("[3]", "result 1 is no object with image_id"),
        ('[{"image_id": 1}]', "result 1 has the category_id None"),
        (
            '[{"image_id": 99, "category_id": 1, "bbox": [1,2,3,4], "score": 1}]',
            "result 1 is of image 99, which is not",
        ),
        (
            '[{"image_id": 1, "category_id": 5, "bbox": [1,2,3,4], "score": 1}]',
            "result 1 is of category 5, which the",
        ),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1,2,3], "score": 1}]', "result 1 has the bbox"),
        (
            '[{"image_id": 1, "category_id": 1, "bbox": [1,2,-3,4], "score": 1}]',
            r"result 1 has a box of negative size \[1.0",
        ),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1,2,3,4], "score": NaN}]', "result 1 has the score nan"),
    ],
)
def test_results_that_are_wrong_are_named(crowded, tmp_path, content, message):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(BalltrainError, match=message):
        our_figures(crowded, tmp_path / "results.json", tmp_path)
