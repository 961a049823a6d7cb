"""COCO's test sets, which have no labels: predicted by the file that names them; results checked in form."""

import json

import pytest
import torch
from PIL import Image

from balltrain.cli import main
from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tasks.coco.task import task
from balltrain.training.checkpoint import CheckpointConfig, save_best, save_config

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 3, "name": "traffic light"}, {"id": 90, "name": "dog"}]
IDS = {"b.png": 700001, "a.png": 41, "c.png": 7}  # of no order, and not in their names


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_.value.code or 0, json.loads(captured.out) if captured.out.startswith("{") else captured.err

    return run


@pytest.fixture
def unlabelled(awkward):
    """The file of a test set of three images, beside training and validation."""
    images = awkward.root / "test2017"
    images.mkdir()
    entries = []
    for name, number in IDS.items():
        Image.new("RGB", (60, 40), (number % 255, 90, 30)).save(images / name)
        entries.append({"id": number, "file_name": name, "width": 60, "height": 40})
    file = awkward.root / "annotations" / "image_info_test2017.json"
    file.write_text(json.dumps({"images": entries, "categories": CATEGORIES}))
    return file


@pytest.fixture
def checkpoint(awkward, tmp_path):
    """One that finds something everywhere, untrained."""
    request = DataRequest(str(awkward.root), options={"image_size": 64})
    dataset = load_data(TaskRef("coco"), task, request, tmp_path / "data")
    hp = resolve(task, {"channels": 8, "head_convs": 0})
    torch.manual_seed(0)
    model = task.build_model(hp, dataset.facts)
    torch.nn.init.zeros_(model.class_head[-1].bias)
    folder = tmp_path / "checkpoint"
    config = CheckpointConfig(
        TaskRef("coco"), hp.model_dump(mode="json"), 0, request, dataset.facts, dataset.fingerprint
    )
    save_config(folder, config)
    save_best(folder, model, 1, 0.0)
    return folder


def result(**values):
    return {"image_id": 41, "category_id": 3, "bbox": [1, 2, 30, 20], "score": 0.5, **values}


def test_a_test_set_is_predicted_by_the_file_that_names_its_images(cli, checkpoint, unlabelled, tmp_path):
    code, found = cli("predict", checkpoint, unlabelled, "--out", tmp_path / "out", "--json")
    assert code == 0, found
    assert [entry["image_id"] for entry in found["predictions"]] == list(IDS.values())
    results = tmp_path / "out" / "results.json"
    assert {entry["image_id"] for entry in json.loads(results.read_text())} == set(IDS.values())
    # by its folder too, where the file is looked up
    _, by_folder = cli("predict", checkpoint, unlabelled.parents[1] / "test2017", "--out", tmp_path / "f", "--json")
    assert sorted(entry["image_id"] for entry in by_folder["predictions"]) == sorted(IDS.values())
    # what was written has the right form, by the file, its folder, or a checkpoint's categories
    for arguments in (
        ("coco", "--source", unlabelled),
        ("coco", "--source", unlabelled.parents[1], "--split", "test"),
        (checkpoint,),
    ):
        code, form = cli("evaluate", *arguments, "--results", results, "--check", "--json")
        assert code == 0, form
        assert (form["results"], form["images"]) == (len(json.loads(results.read_text())), 3)


def test_the_data_is_made_without_the_test_set(awkward, unlabelled, tmp_path):
    dataset = load_data(TaskRef("coco"), task, DataRequest(str(awkward.root), options={"image_size": 32}), tmp_path)
    assert {name: len(rows) for name, rows in dataset.splits.items()} == {"train": 6, "val": 3, "test": 0, "all": 9}


def test_images_of_test_dev_lie_among_those_of_the_test_set(cli, checkpoint, unlabelled, tmp_path):
    file = unlabelled.rename(unlabelled.with_name("image_info_test-dev2017.json"))
    code, found = cli("predict", checkpoint, file, "--out", tmp_path / "out", "--json")
    assert code == 0, found
    assert [entry["image_id"] for entry in found["predictions"]] == list(IDS.values())


def test_what_is_wrong_with_a_test_set_is_named(cli, checkpoint, unlabelled, tmp_path):
    predict = ("predict", checkpoint, unlabelled, "--out", tmp_path / "out")
    code, error = cli(*predict[:3], unlabelled.parents[1] / "val2017", *predict[3:])
    assert code == 2
    assert "image_info_test2017.json names images and their ids: predict from it by itself" in error
    (unlabelled.parents[1] / "test2017" / "a.png").unlink()
    code, error = cli(*predict)
    assert code == 1
    assert "a.png: is not there; 1 of the 3 images that" in error
    unlabelled.write_text('{"annotations": []}')
    assert "is no COCO annotation file; it has no list of images" in cli(*predict)[1]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"results": []}, "is no list of COCO results"),
        ([result(), 3], "result 2 is no object with image_id, category_id, bbox and score"),
        ([result(image_id="41")], "result 1 has the image_id '41', but it must be a whole number"),
        ([result(bbox=[1, 2, 3])], "result 1 has the bbox [1, 2, 3], but it must be four numbers"),
        ([result(bbox=[1, 2, -3, 4])], "result 1 has a box of negative size"),
        ([result(score=None)], "result 1 has the score None, but it must be a number"),
        (
            [result(image_id=139)],
            "result 1 is of image 139, which is not among the images of image_info_test2017.json",
        ),
        ([result(category_id=2)], "result 1 is of category 2, which the data does not have"),
    ],
)
def test_results_of_a_wrong_form_are_refused(cli, unlabelled, tmp_path, entries, message):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(entries))
    code, error = cli("evaluate", "coco", "--source", unlabelled, "--results", file, "--check")
    assert code == 1
    assert message in error
    assert len(error.splitlines()) == 1


def test_the_form_alone_is_checked_without_a_source_and_what_is_odd_is_noted(cli, unlabelled, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps([result(image_id=5, category_id=77), *[result(bbox=[80, 2, 3, 4])] * 101]))
    check = ("evaluate", "coco", "--results", file, "--check", "--json")
    code, form = cli(*check)
    assert (code, form["results"], form["images"], form["categories"], form["against"]) == (0, 102, 2, 2, [])
    assert form["notes"] == [
        "1 images have more than 100 results, of which the figures count those with the largest scores; "
        "image 41 has 101"
    ]
    file.write_text(json.dumps([result(bbox=[80, 2, 3, 4])]))
    code, form = cli(*check, "--source", unlabelled)
    assert code == 0
    assert form["notes"] == [
        "1 boxes lie outside their image, as the box [80.0, 2.0, 3.0, 4.0] of image 41",
        "2 of 3 images have no result",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("coco", "--check"), 2, "--check needs a file of results: give --results FILE"),
        (("coco", "--check", "--results", "r.json", "--with", "x"), 2, "leave out --with"),
        (("coco", "--check", "--results", "r.json", "--source", "none"), 1, "--source none: there is no such file"),
        (("coco", "--check", "--results", "none.json"), 1, "none.json: cannot be read"),
        (("cifar10", "--check", "--results", "r.json"), 1, "cifar10 has no format of results"),
    ],
)
def test_what_cannot_be_checked_is_told(cli, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.json").write_text("[]")
    found, error = cli("evaluate", *arguments)
    assert found == code
    assert message in error
