import json

import numpy as np
import pytest
from PIL import Image

from balltrain.data.cache import data_key, load_data
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.tasks.coco.data import LANDSCAPE, PORTRAIT, SQUARE, canvas_of
from balltrain.tasks.coco.pictures import PADDING_RGB
from balltrain.tasks.coco.task import task

REF = TaskRef("coco")


def load(source, tmp_path, size=None, seed=0, **options):
    return load_data(REF, task, DataRequest(str(source), size, seed, options), tmp_path / "data")


def row_of(dataset, image_id):
    (row,) = np.flatnonzero(dataset.arrays["image_id"] == image_id)
    return row


class TestAwkwardData:
    def test_splits_are_those_of_the_files_and_categories_those_with_gaps(self, awkward, tmp_path):
        dataset = load(awkward.root, tmp_path, image_size=64)
        assert [len(dataset.splits[name]) for name in ("train", "val", "test")] == [6, 3, 0]
        assert [category["id"] for category in dataset.facts["categories"]] == [1, 3, 90]
        assert dataset.arrays["labels"][row_of(dataset, 9)].tolist() == [0, 2]

    def test_images_are_resized_to_the_longer_side_with_their_boxes(self, awkward, tmp_path):
        dataset = load(awkward.root, tmp_path, image_size=96)
        row = row_of(dataset, 25)
        assert dataset.arrays["original"][row].tolist() == [60, 40]
        assert dataset.arrays["resized"][row].tolist() == [96, 64]
        row = row_of(dataset, 9)
        np.testing.assert_allclose(dataset.arrays["boxes"][row, 0], [16, 8, 48, 56])  # 1.6 times x1 y1 x2 y2
        image = dataset.arrays["images"][row]
        assert image.shape == (96, 96, 3)
        assert (image[64:] == PADDING_RGB).all()
        with Image.open(awkward.root / "train2017" / "000000000009.png") as original:
            expected = np.asarray(original.resize((96, 64), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(image[:64], expected)

    def test_a_grey_image_has_three_equal_channels(self, awkward, tmp_path):
        image = load(awkward.root, tmp_path, image_size=64).arrays["images"][3]
        assert (image[:21] == image[:21, :, :1]).all()

    def test_boxes_beyond_the_image_are_clipped_for_training_alone_and_named(self, awkward, tmp_path, caplog):
        dataset = load(awkward.root, tmp_path, image_size=60)
        row = row_of(dataset, 9)
        np.testing.assert_allclose(dataset.arrays["boxes"][row, 1], [30.5, 10, 60, 30])
        np.testing.assert_allclose(dataset.arrays["truth"][row, 1], [30.5, 10, 40, 20])
        clipped, empty = dataset.facts["notes"]
        assert "1 boxes reach beyond their image: clipped for training; annotations 8" in clipped
        assert "1 boxes have no extent in their image: not trained; annotations 12" in empty
        assert clipped in caplog.text

    def test_crowds_thin_boxes_areas_and_empty_images_are_kept(self, awkward, tmp_path):
        arrays = load(awkward.root, tmp_path, image_size=60).arrays
        assert arrays["crowd"][1].tolist() == [False, True]
        assert arrays["truth"][1, 0].tolist() == [5, 5, 0.6, 50]
        assert arrays["area"][5, 0] == 200.5  # of the mask, where the file has it
        assert (arrays["labels"][3] == -1).all()

    def test_images_share_a_canvas_by_their_shape(self, awkward, tmp_path):
        dataset = load(awkward.root, tmp_path, image_size=320)
        buckets = dataset.arrays["bucket"][dataset.splits["train"]]
        assert buckets.tolist() == [LANDSCAPE, PORTRAIT, SQUARE, LANDSCAPE, LANDSCAPE, LANDSCAPE]
        for bucket, shape in ((LANDSCAPE, (256, 320)), (PORTRAIT, (320, 256)), (SQUARE, (320, 320))):
            assert canvas_of(np.array([bucket]), 320) == shape
            assert (dataset.arrays["resized"][dataset.arrays["bucket"] == bucket] <= shape).all()
        assert canvas_of(np.array([LANDSCAPE, PORTRAIT]), 320) == (320, 320)

    def test_size_is_shared_out_among_the_files(self, awkward, tmp_path):
        dataset = load(awkward.root, tmp_path, size=4, image_size=32)
        assert [len(dataset.splits[name]) for name in ("train", "val")] == [3, 1]
        with pytest.raises(BalltrainError, match="holds 9 images, but --size is 10"):
            load(awkward.root, tmp_path, size=10)

    def test_a_single_file_is_split_at_random(self, awkward, tmp_path):
        splits = [
            load(awkward.annotation_file("train2017"), tmp_path, seed=seed, image_size=32).splits
            for seed in (0, 0, 1)
        ]
        assert [len(splits[0][name]) for name in ("train", "val", "test")] == [4, 1, 1]
        assert splits[0]["val"] == splits[1]["val"]
        assert any(splits[0][name].tolist() != splits[2][name].tolist() for name in ("val", "test"))


class TestCategories:
    def test_a_subset_has_its_own_labels_and_leaves_out_training_images_without_them(self, awkward, tmp_path):
        dataset = load(awkward.root, tmp_path, categories="dog, cat", image_size=32)
        assert [category["name"] for category in dataset.facts["categories"]] == ["cat", "dog"]
        arrays = dataset.arrays
        assert arrays["image_id"][dataset.splits["train"]].tolist() == [9, 30, 36, 42]
        assert arrays["image_id"][dataset.splits["val"]].tolist() == [139, 285, 632]  # all, as COCO's figures want
        assert arrays["labels"][row_of(dataset, 36)].tolist() == [1, -1]

    def test_another_subset_is_other_data(self, awkward, tmp_path):
        requests = [DataRequest(str(awkward.root), options={"categories": name}) for name in ("cat", "dog")]
        assert len({data_key(REF, task, request) for request in requests}) == 2
        first, second = (load(awkward.root, tmp_path, categories=name, image_size=32) for name in ("cat", "dog"))
        assert first.fingerprint != second.fingerprint

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"categories": "traffic lihgt"}, "has no category 'traffic lihgt': did you mean traffic light"),
            ({"categories": "zebra"}, "has no category 'zebra': it has cat, traffic light, dog"),
            ({"categories": ","}, 'categories = ",": '),
            ({"image_size": 8}, "image_size = 8: should be greater than or equal to 32"),
        ],
    )
    def test_what_cannot_be_chosen_is_refused(self, awkward, tmp_path, options, message):
        with pytest.raises(UsageError, match=message):
            load(awkward.root, tmp_path, **options)


def change(folder, split, edit):
    """Edit a split's annotation file."""
    content = json.loads(folder.annotation_file(split).read_text())
    edit(content)
    folder.annotation_file(split).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("images"), "is no COCO annotation file; it has no list of images"),
        (lambda c: c["annotations"].append(3), "its annotations must be objects"),
        (lambda c: c["annotations"][0].update(image_id=5), "annotation 7 is of image 5, which is not in the file"),
        (lambda c: c["annotations"][0].update(category_id=2), "annotation 7 is of category 2, which is not in"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]), r"annotation 7 has a box of negative size \[1.0"),
        (lambda c: c["annotations"][0].update(bbox=[70, 2, 3, 4]), "annotation 7 has the box .* outside its image 9"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "annotation 7 has the bbox .* four numbers"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3, float("nan")]), "four numbers"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3, 10**400]), "four numbers"),
        (
            lambda c: c["annotations"][0].update(iscrowd="yes"),
            "annotation 7 has iscrowd 'yes', but it must be 0 or 1",
        ),
        (lambda c: c["annotations"][0].update(id=2**70), "has the id 1180591620717411303424, which has more than 64"),
        (lambda c: c["images"][0].update(width=10**12), "image 9 is 1000000000000 x 40 px; correct it"),
        (lambda c: c["images"][0].update(file_name="a\0b"), "image 9 has no file_name"),
        (
            lambda c: [a.update(iscrowd=1) for a in c["annotations"]],
            "its 6 images have no object to learn or to find",
        ),
        (lambda c: c["annotations"][0].update(area="big"), "annotation 7 has the area 'big'"),
        (lambda c: c["annotations"][0].pop("id"), "an annotation has the id None, but it must be a whole number"),
        (lambda c: c["annotations"][1].update(id=7), "the annotation id 7 is there twice"),
        (lambda c: c["images"][1].update(id=9), "the image id 9 is there twice"),
        (lambda c: c["images"][0].update(width="wide"), "image 9 has the width 'wide'"),
        (lambda c: c["images"][0].update(file_name="../secret.png"), "lies outside its folder"),
        (lambda c: c["images"][0].update(file_name="absent.png"), "absent.png cannot be read: No such file"),
        (lambda c: c["images"][0].update(height=41), "is 60 x 40 px, but its annotations .image 9. are for 60 x 41"),
        (lambda c: c["categories"][0].update(id=3), "the category id 3 is there twice"),
        (lambda c: c.update(categories=[]), "has no categories"),
        (lambda c: c["categories"][0].update(name="lion"), "the categories of .* differ"),
    ],
)
def test_what_is_wrong_with_annotations_is_named(awkward, tmp_path, edit, message):
    change(awkward, "train2017", edit)
    with pytest.raises(BalltrainError, match=message):
        load(awkward.root, tmp_path, image_size=32)


def test_a_file_that_is_not_json_is_named(awkward, tmp_path):
    awkward.annotation_file("val2017").write_text('{"images": [')
    with pytest.raises(BalltrainError, match=r"instances_val2017.json: is not JSON, or is truncated"):
        load(awkward.root, tmp_path)


@pytest.mark.parametrize("content", [b"no image", b""])
def test_an_image_that_cannot_be_read_is_named(awkward, tmp_path, content):
    (awkward.root / "train2017" / "000000000030.png").write_bytes(content)
    with pytest.raises(BalltrainError, match=r"000000000030.png cannot be read: "):
        load(awkward.root, tmp_path)


def test_a_truncated_image_is_named(awkward, tmp_path):
    path = awkward.root / "train2017" / "000000000030.png"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BalltrainError, match=r"000000000030.png cannot be read: "):
        load(awkward.root, tmp_path)


def test_a_folder_that_is_none_of_coco_s_is_told_what_is_missing(awkward, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BalltrainError, match=r"has no annotations/instances_\*.json"):
        load(tmp_path / "empty", tmp_path)
    (awkward.root / "val2017").rename(awkward.root / "elsewhere")
    with pytest.raises(
        BalltrainError, match=r"none of its images is there, such as .*; put their folder at .*val2017"
    ):
        load(awkward.root, tmp_path)


def test_a_source_that_is_no_json_file_is_refused(tmp_path):
    (tmp_path / "coco.zip").write_bytes(b"PK")
    with pytest.raises(BalltrainError, match=r"coco.zip: is no annotation file \(.json\)"):
        load(tmp_path / "coco.zip", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("instances_minival.json", "of several annotation files each must be instances_train"),
        ("instances_val2014.json", "there are several files instances_val"),
    ],
)
def test_files_whose_split_is_not_clear_are_refused(awkward, tmp_path, name, message):
    (awkward.root / "annotations" / name).write_text(awkward.annotation_file("val2017").read_text())
    (awkward.root / name.removeprefix("instances_").removesuffix(".json")).mkdir()
    with pytest.raises(BalltrainError, match=message):
        load(awkward.root, tmp_path)


def test_without_a_source_the_user_is_told_where_data_comes_from(tmp_path):
    with pytest.raises(
        BalltrainError, match=r"--source .*or make one: balltrain data export detect DIR --format coco"
    ):
        load_data(REF, task, DataRequest(), tmp_path)


def test_other_tasks_refuse_the_options_of_coco(tmp_path):
    from balltrain.tasks.detect.task import task as detect

    with pytest.raises(UsageError, match="the data of detect has no image_size: leave out --data image_size"):
        load_data(TaskRef("detect"), detect, DataRequest(options={"image_size": 64}), tmp_path)


def test_the_same_options_typed_otherwise_are_the_same_data(awkward):
    keys = [
        data_key(REF, task, DataRequest(str(awkward.root), options=options))
        for options in ({}, {"image_size": 320}, {"categories": "cat,dog"}, {"categories": "cat, dog"})
    ]
    assert keys[0] == keys[1] != keys[2] == keys[3]
