"""COCO as other tools export it: where its files lie, how they name pictures, and what types their values have."""

import json
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from balltrain.api.arguments import Data
from balltrain.data.cache import data_key, load_data
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.tasks.coco.annotations import image_ids
from balltrain.tasks.coco.task import task

REF = TaskRef("coco")
SIZE = (24, 16)
ROOT = {"id": 0, "name": "pets", "supercategory": "none"}  # Roboflow's: the project, which no annotation uses
CATEGORIES = [{"id": 1, "name": "cat", "supercategory": "pets"}, {"id": 2, "name": "dog", "supercategory": "pets"}]


def write_pictures(folder, names, first=1):
    """Each of one grey value: its number."""
    for number, name in enumerate(names, first):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE, number).save(path, "PNG")


def content(names, categories=CATEGORIES):
    numbers = range(1, len(names) + 1)
    return {
        "images": [
            {"id": n, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for n, name in zip(numbers, names, strict=True)
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + n % 2, "bbox": [2, 3, 8, 6], "area": 48, "iscrowd": 0}
            for n in numbers
        ],
        "categories": categories,
    }


def write(path, made):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made))


def load(source, tmp_path, **options):
    return load_data(REF, task, DataRequest(str(source), options={"image_size": 32, **options}), tmp_path / "data")


def greys(dataset):
    """The number in each picture, by image id."""
    return dict(zip(dataset.arrays["image_id"].tolist(), dataset.arrays["images"][:, 5, 5, 0].tolist(), strict=True))


NAMES = [f"{number}.png" for number in range(1, 7)]
RIGHT = {number: number for number in range(1, 7)}


class TestLayouts:
    def test_roboflow(self, tmp_path):
        """A file in each split's folder, beside its pictures; ids begin anew in each."""
        for split, count in (("train", 6), ("valid", 3), ("test", 2)):
            write_pictures(tmp_path / "set" / split, NAMES[:count])
            write(tmp_path / "set" / split / "_annotations.coco.json", content(NAMES[:count], [ROOT, *CATEGORIES]))
        (tmp_path / "set" / "README.roboflow.txt").write_text("made by Roboflow")
        for source in (tmp_path / "set", tmp_path):  # and one folder below
            dataset = load(source, tmp_path)
            assert [len(dataset.splits[name]) for name in ("train", "val", "test")] == [6, 3, 2]
            assert [category["name"] for category in dataset.facts["categories"]] == ["cat", "dog"]
            assert dataset.arrays["images"][:, 5, 5, 0].tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3, 1, 2]
        single = load(tmp_path / "set" / "train" / "_annotations.coco.json", tmp_path)
        assert greys(single) == RIGHT
        assert len(single.splits["val"]) > 0
        assert image_ids(tmp_path / "set" / "valid") == {"1.png": 1, "2.png": 2, "3.png": 3}

    def test_a_split_that_roboflow_did_not_export_is_named(self, tmp_path):
        for split in ("train", "test"):
            write_pictures(tmp_path / "set" / split, NAMES)
            write(tmp_path / "set" / split / "_annotations.coco.json", content(NAMES))
        with pytest.raises(BalltrainError, match=r"no annotation file of the split val beside train/_annotations"):
            load(tmp_path / "set", tmp_path)

    @pytest.mark.parametrize("prefix", ["images/", "images\\", "./images/", "../images/"])
    def test_label_studio(self, tmp_path, prefix):
        """`result.json`, whose names are relative to it, with the slashes of its system."""
        folder = tmp_path / "set" / ("annotations" if prefix.startswith("..") else "")
        write_pictures(tmp_path / "set" / "images", NAMES)
        write(folder / "result.json", content([prefix + name for name in NAMES]))
        assert greys(load(folder / "result.json", tmp_path)) == RIGHT
        assert greys(load(tmp_path / "set", tmp_path)) == RIGHT

    @pytest.mark.parametrize(
        "name",
        [
            "/label-studio/data/media/upload/1/{}",
            "http://localhost:8080/data/upload/1/{}",
            "/data/local-files/?d=upload/1/{}",
            "C:\\Users\\ann\\{}",
            "upload/1/{}",
            "https://host/{}?token=1",
        ],
    )
    def test_names_of_another_machine_lead_to_the_pictures_that_came_along(self, tmp_path, name):
        write_pictures(tmp_path / "set" / "images", NAMES)
        write(tmp_path / "set" / "result.json", content([name.format(each) for each in NAMES]))
        assert greys(load(tmp_path / "set", tmp_path)) == RIGHT

    def test_pictures_of_one_name_in_several_folders_are_not_mixed_up(self, tmp_path):
        names = ["a/1.png", "b/1.png", "a/2.png", "b/2.png"]
        write_pictures(tmp_path / "set" / "images", names)
        write(tmp_path / "set" / "result.json", content([f"/mnt/disk/{name}" for name in names]))
        assert greys(load(tmp_path / "set", tmp_path)) == {1: 1, 2: 2, 3: 3, 4: 4}
        (tmp_path / "set" / "images" / "b" / "1.png").rename(tmp_path / "set" / "images" / "1.png")
        with pytest.raises(BalltrainError, match=r"b/1.png cannot be read: No such file"):
            load(tmp_path / "set", tmp_path)

    @pytest.mark.parametrize("subset", ["default", "Train"])
    @pytest.mark.parametrize("nested", [False, True])
    def test_cvat(self, tmp_path, subset, nested):
        folder = tmp_path / "set" / "images" / (subset if nested else "")
        write_pictures(folder, NAMES)
        write(tmp_path / "set" / "annotations" / f"instances_{subset}.json", content(NAMES))
        assert greys(load(tmp_path / "set", tmp_path)) == RIGHT

    def test_cvat_with_subsets(self, tmp_path):
        for subset, count in (("Train", 6), ("Validation", 2)):
            write_pictures(tmp_path / "set" / "images" / subset, NAMES[:count])
            write(tmp_path / "set" / "annotations" / f"instances_{subset}.json", content(NAMES[:count]))
        assert [len(load(tmp_path / "set", tmp_path).splits[name]) for name in ("train", "val")] == [6, 2]

    @pytest.mark.parametrize("absolute", [False, True])
    def test_fiftyone(self, tmp_path, absolute):
        data = tmp_path / "set" / "data"
        write_pictures(data, NAMES)
        write(tmp_path / "set" / "labels.json", content([str(data / name) if absolute else name for name in NAMES]))
        assert greys(load(tmp_path / "set", tmp_path)) == RIGHT

    @pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}", "file://localhost{}"])
    def test_pictures_elsewhere_by_absolute_names(self, tmp_path, form):
        elsewhere = tmp_path / "else where"
        write_pictures(elsewhere, NAMES)
        names = [form.format(elsewhere / name) for name in NAMES]
        if ":" in form:
            names = [name.replace(" ", "%20") for name in names]
        write(tmp_path / "set" / "mine.json", content(names))
        assert greys(load(tmp_path / "set", tmp_path)) == RIGHT

    def test_files_named_after_splits_in_one_folder(self, tmp_path):
        write_pictures(tmp_path / "set" / "images", NAMES)
        for name in ("train", "val"):
            write(tmp_path / "set" / f"{name}.json", content(NAMES))
        (tmp_path / "set" / "package.json").write_text('{"name": "not an annotation file"}')
        dataset = load(tmp_path / "set", tmp_path)
        assert [len(dataset.splits[name]) for name in ("train", "val")] == [6, 6]

    def test_the_folder_of_annotations_can_be_given(self, tmp_path):
        write_pictures(tmp_path / "set" / "train2017", NAMES)
        write_pictures(tmp_path / "set" / "val2017", NAMES)
        for name in ("instances_train2017", "instances_val2017", "person_keypoints_train2017"):
            write(tmp_path / "set" / "annotations" / f"{name}.json", content(NAMES))
        assert len(load(tmp_path / "set" / "annotations", tmp_path)) == 12

    def test_several_files_of_no_split_are_named(self, tmp_path):
        for name in ("first", "second"):
            write(tmp_path / "set" / f"{name}.json", content(NAMES))
        with pytest.raises(BalltrainError, match=r"several annotation files \(first.json, second.json\); give one"):
            load(tmp_path / "set", tmp_path)

    def test_a_name_that_leads_out_of_the_source_is_not_followed(self, tmp_path):
        write_pictures(tmp_path, ["secret.png"])
        write_pictures(tmp_path / "set" / "images", NAMES)
        write(tmp_path / "set" / "result.json", content(["../secret.png", *NAMES[1:]]))
        with pytest.raises(BalltrainError, match=r"image 1 has the file_name '../secret.png', which lies outside"):
            load(tmp_path / "set", tmp_path)


class TestNames:
    @pytest.mark.parametrize(("stored", "named"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_unicode_s_forms_of_a_file_s_name_are_one_name(self, tmp_path, stored, named):
        names = ["Süd/Käfer 1.png", "Süd/Käfer 2.png"]
        write_pictures(tmp_path / "set" / "images", [unicodedata.normalize(stored, name) for name in names])
        write(tmp_path / "set" / "result.json", content([unicodedata.normalize(named, name) for name in names]))
        assert greys(load(tmp_path / "set", tmp_path)) == {1: 1, 2: 2}

    @pytest.mark.parametrize(
        ("stored", "named"),
        [("a b+{}.png", "a%20b+{}.png"), ("a%20b{}.png", "a b{}.png"), ("{}.PNG", "{}.png"), ("50%{}.png",) * 2],
    )
    def test_percent_signs_and_case(self, tmp_path, stored, named):
        write_pictures(tmp_path / "set", [stored.format(n) for n in (1, 2)])
        write(tmp_path / "set" / "result.json", content([named.format(n) for n in (1, 2)]))
        assert greys(load(tmp_path / "set", tmp_path)) == {1: 1, 2: 2}

    def test_two_names_of_one_picture_are_refused(self, tmp_path):
        write_pictures(tmp_path / "set", ["A.png"])
        write(tmp_path / "set" / "result.json", content(["A.png", "a.png"]))
        with pytest.raises(BalltrainError, match=r"'a.png' and 'A.png' are both taken for .*A.png; rename them"):
            load(tmp_path / "set", tmp_path)


class TestCategories:
    def written(self, tmp_path, categories, edit=lambda made: None):
        write_pictures(tmp_path / "set", NAMES)
        made = content(NAMES, categories)
        edit(made)
        write(tmp_path / "set" / "result.json", made)
        return tmp_path / "set"

    def test_a_project_that_is_called_like_its_class(self, tmp_path):
        """The root has the name of a class."""
        categories = [{"id": 0, "name": "cat", "supercategory": "none"}]
        categories += [{**category, "supercategory": "cat"} for category in CATEGORIES]
        dataset = load(self.written(tmp_path, categories), tmp_path)
        assert dataset.facts["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]

    def test_a_category_without_annotations_that_is_no_root_stays(self, tmp_path):
        source = self.written(tmp_path, [*CATEGORIES, {"id": 7, "name": "horse", "supercategory": "horse"}])
        assert [category["id"] for category in load(source, tmp_path).facts["categories"]] == [1, 2, 7]

    def test_a_category_above_some_of_the_others_stays(self, tmp_path):
        """It may have annotations in another file of the same set."""
        source = self.written(tmp_path, [ROOT, *CATEGORIES, {"id": 3, "name": "car", "supercategory": "vehicles"}])
        assert [category["id"] for category in load(source, tmp_path).facts["categories"]] == [0, 1, 2, 3]

    def test_of_a_category_that_is_there_twice_that_with_annotations_stays(self, tmp_path):
        source = self.written(tmp_path, [*CATEGORIES, {"id": 8, "name": "dog"}, {"id": 9, "name": "dog"}])
        assert [category["id"] for category in load(source, tmp_path).facts["categories"]] == [1, 2]

    def test_a_root_with_annotations_stays(self, tmp_path):
        source = self.written(
            tmp_path, [ROOT, *CATEGORIES], lambda made: made["annotations"][0].update(category_id=0)
        )
        assert [category["id"] for category in load(source, tmp_path).facts["categories"]] == [0, 1, 2]

    def test_one_name_for_two_categories_with_annotations_is_refused(self, tmp_path):
        source = self.written(tmp_path, [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}])
        with pytest.raises(BalltrainError, match="'cat' is there twice, with annotations of both ids, 1 and 2"):
            load(source, tmp_path)

    @pytest.mark.parametrize(
        ("chosen", "ids"),
        [
            ("cup, small", [1]),
            ("cup,small,dog", [1, 2]),
            ('"cup, small",dog', [1, 2]),
            ('["cup, small"]', [1]),
            (["cup, small", "dog"], [1, 2]),
            ("dog", [2]),
            (unicodedata.normalize("NFD", "dog,Käfer"), [2, 3]),
            ("traffic light", [4]),
        ],
    )
    def test_names_with_commas_and_in_other_forms_can_be_chosen(self, tmp_path, chosen, ids):
        names = ("cup, small", "dog", "Käfer", "traffic%20light")
        categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
        source = self.written(
            tmp_path,
            categories,
            lambda made: [a.update(category_id=1 + n % 4) for n, a in enumerate(made["annotations"])],
        )
        facts = load(source, tmp_path, categories=chosen).facts
        assert [category["id"] for category in facts["categories"]] == ids

    def test_a_part_of_a_name_with_a_comma_is_unknown(self, tmp_path):
        source = self.written(tmp_path, [{"id": 1, "name": "cup, small"}, {"id": 2, "name": "dog"}])
        with pytest.raises(UsageError, match="has no category 'small'"):
            load(source, tmp_path, categories="small,dog")


def change_all(key, change):
    def edit(made):
        for entry in made[key]:
            change(entry)

    return edit


class TestLooseTypes:
    """JSON that went through pandas or a spreadsheet."""

    @pytest.mark.parametrize(
        "edit",
        [
            change_all("images", lambda e: e.update(id=float(e["id"]))),
            change_all("images", lambda e: e.update(id=str(e["id"]))),
            change_all("images", lambda e: e.update(id=f"{e['id']}.0")),
            change_all("images", lambda e: e.update(width=24.0, height="16")),
            change_all("images", lambda e: e.update(width=None, height=None)),  # as in the picture
            change_all("images", lambda e: (e.pop("width"), e.pop("height"))),
            change_all("annotations", lambda e: e.update(image_id=float(e["image_id"]), id=str(e["id"]))),
            change_all("annotations", lambda e: e.update(category_id=str(e["category_id"]))),
            change_all("annotations", lambda e: e.update(bbox=[str(value) for value in e["bbox"]])),
            change_all("annotations", lambda e: e.update(bbox=json.dumps(e["bbox"]))),
            change_all("annotations", lambda e: e.update(area=None)),
            change_all("annotations", lambda e: e.update(area=float("nan"))),
            change_all("annotations", lambda e: e.update(area="48.0")),
            change_all("annotations", lambda e: e.pop("area")),
            *(change_all("annotations", lambda e, v=v: e.update(iscrowd=v)) for v in ("0", 0.0, False, None, "")),
            change_all("annotations", lambda e: e.pop("iscrowd")),
            change_all("categories", lambda e: e.update(id=float(e["id"]))),
        ],
    )
    def test_they_mean_what_they_meant(self, tmp_path, edit):
        write_pictures(tmp_path / "set", NAMES)
        made = content(NAMES)
        write(tmp_path / "set" / "result.json", made)
        plain = load(tmp_path / "set", tmp_path)
        edit(made)
        write(tmp_path / "set" / "result.json", made)
        assert load(tmp_path / "set", tmp_path).fingerprint == plain.fingerprint

    @pytest.mark.parametrize("value", ["1", 1.0, True, "true"])
    def test_crowds_are_crowds(self, tmp_path, value):
        write_pictures(tmp_path / "set", NAMES)
        made = content(NAMES)
        made["annotations"][0]["iscrowd"] = value
        write(tmp_path / "set" / "result.json", made)
        assert load(tmp_path / "set", tmp_path).arrays["crowd"][:, 0].tolist() == [True] + [False] * 5

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (
                lambda m: m["images"][0].update(id="first"),
                "an image has the id 'first', but it must be a whole",
            ),
            (lambda m: m["images"][0].update(id=1.5), "an image has the id 1.5, but it must be a whole number"),
            (lambda m: m["images"][0].update(id=2.0**60), "but it must be a whole number"),
            (lambda m: m["images"][0].update(id=True), "has the id True"),
            (lambda m: m["annotations"][0].update(bbox="[1, 2, 3]"), "annotation 1 has the bbox '.1, 2, 3.'"),
            (lambda m: m["annotations"][0].update(bbox=None), "annotation 1 has the bbox None, but it must be four"),
            (lambda m: m["annotations"][0].update(bbox=["1", "2", "-3", "4"]), "a box of negative size"),
            (lambda m: m["annotations"][0].update(iscrowd=2), "annotation 1 has iscrowd 2, but it must be 0 or 1"),
        ],
    )
    def test_what_is_not_clear_is_named(self, tmp_path, edit, message):
        write_pictures(tmp_path / "set", NAMES)
        made = content(NAMES)
        edit(made)
        write(tmp_path / "set" / "result.json", made)
        with pytest.raises(BalltrainError, match=message):
            load(tmp_path / "set", tmp_path)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_a_byte_order_mark(self, tmp_path, encoding):
        write_pictures(tmp_path / "set", NAMES)
        (tmp_path / "set" / "result.json").write_bytes(json.dumps(content(NAMES)).encode(encoding))
        assert greys(load(tmp_path / "set", tmp_path)) == RIGHT
        assert greys(load(tmp_path / "set" / "result.json", tmp_path)) == RIGHT

    def test_a_list_that_is_null_is_empty(self, tmp_path):
        for split, annotations in (("train", content(NAMES)["annotations"]), ("valid", None), ("test", [])):
            write_pictures(tmp_path / "set" / split, NAMES)
            write(tmp_path / "set" / split / "_annotations.coco.json", {**content(NAMES), "annotations": annotations})
        with pytest.raises(BalltrainError, match="its 6 images have no object to learn or to find"):
            load(tmp_path / "set", tmp_path)
        write(tmp_path / "set" / "valid" / "_annotations.coco.json", content(NAMES))
        assert len(load(tmp_path / "set", tmp_path)) == 18


class TestOrientation:
    """White on top in what people saw, whatever way the pixels are stored; the box is of the white part."""

    def write(self, tmp_path, cases):
        """`cases`: orientation, whether the picture was annotated as it is stored, and its size as it is seen."""
        images, annotations = [], []
        for number, (orientation, as_stored, (width, height)) in enumerate(cases, 1):
            pixels = np.zeros((height, width, 3), np.uint8)
            pixels[: height // 2] = 255
            seen = Image.fromarray(pixels)
            stores = {1: None, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM}
            turn = {**stores, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
            stored = seen if turn is None or as_stored else seen.transpose(turn)
            exif = Image.Exif()
            exif[0x0112] = orientation
            stored.save(tmp_path / f"{number}.png", exif=exif)
            images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
            box = [0, 0, width, height // 2]
            annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
        write(tmp_path / "result.json", {"images": images, "annotations": annotations, "categories": CATEGORIES[:1]})
        return tmp_path / "result.json"

    def shows_what_is_boxed(self, dataset):
        for image, (height, width) in zip(dataset.arrays["images"], dataset.arrays["resized"], strict=True):
            half = image[:height, :width].astype(int).mean(axis=(1, 2))
            assert half[: height // 3].min() > 200 > 60 > half[-height // 3 :].max()

    @pytest.mark.parametrize("size", [(24, 16), (16, 24), (20, 20)])
    def test_pictures_are_turned_as_they_were_seen(self, tmp_path, size):
        source = self.write(tmp_path, [(orientation, False, size) for orientation in (1, 3, 4, 6, 8)])
        self.shows_what_is_boxed(load(source, tmp_path))

    def test_a_set_that_was_annotated_as_it_is_stored_is_read_so(self, tmp_path):
        """One whose size tells is enough for those that could be either."""
        source = self.write(tmp_path, [(1, True, (24, 16)), (3, True, (24, 16)), (6, True, (24, 16))])
        dataset = load(source, tmp_path)
        self.shows_what_is_boxed(dataset)
        (note,) = [note for note in dataset.facts["notes"] if "EXIF" in note]
        assert note.startswith("2 pictures were annotated as they are stored")

    def test_a_set_of_both_is_refused(self, tmp_path):
        source = self.write(tmp_path, [(6, True, (24, 16)), (6, False, (24, 16))])
        with pytest.raises(BalltrainError, match=r"1.png was annotated as it is stored, and .*2.png as EXIF"):
            load(source, tmp_path)


class TestBadPictures:
    @pytest.fixture
    def source(self, tmp_path):
        write_pictures(tmp_path / "set", NAMES)
        (tmp_path / "set" / "1.png").write_bytes(b"")
        (tmp_path / "set" / "2.png").unlink()
        Image.new("L", (5, 5)).save(tmp_path / "set" / "4.png")
        write(tmp_path / "set" / "result.json", content(NAMES))
        return tmp_path / "set"

    def test_all_are_named_at_once(self, source, tmp_path):
        with pytest.raises(
            BalltrainError, match=r"^3 of 6 pictures cannot be read: .*1.png \(the file is empty\), .*"
        ) as e:
            load(source, tmp_path)
        assert "2.png (No such file or directory)" in str(e.value)
        assert "4.png (is 5 x 5 px, but its annotations (image 4) are for 24 x 16)" in str(e.value)

    def test_the_others_are_learned_from_where_that_is_asked_for(self, source, tmp_path):
        dataset = load(source, tmp_path, skip_bad=True)
        assert greys(dataset) == {3: 3, 5: 5, 6: 6}
        assert dataset.arrays["truth"].shape == (3, 1, 4)
        (note,) = dataset.facts["notes"]
        assert note.startswith("3 of 6 pictures cannot be read and are left out: ")


class TestChanges:
    def written(self, root):
        write_pictures(root / "images", NAMES)
        write(root / "annotations" / "instances_all.json", content(NAMES))
        return root

    def key(self, source):
        return data_key(REF, task, DataRequest(str(source)))

    def test_pictures_of_a_single_file_count(self, tmp_path):
        root = self.written(tmp_path / "set")
        source = root / "annotations" / "instances_all.json"
        first = load(source, tmp_path)
        write_pictures(root / "images", NAMES, first=11)
        for name in NAMES:  # of the old times
            os.utime(root / "images" / name, ns=(1, 1))
        second = load(source, tmp_path)
        assert greys(second) == {number: number + 10 for number in range(1, 7)} != greys(first)

    def test_pictures_elsewhere_count(self, tmp_path):
        write_pictures(tmp_path / "elsewhere", NAMES)
        write(tmp_path / "set" / "result.json", content([str(tmp_path / "elsewhere" / name) for name in NAMES]))
        keys = {self.key(tmp_path / "set"), self.key(tmp_path / "set" / "result.json")}
        Image.new("RGB", SIZE, "red").save(tmp_path / "elsewhere" / "1.png")
        assert not keys & {self.key(tmp_path / "set"), self.key(tmp_path / "set" / "result.json")}

    def test_linked_folders_count(self, tmp_path):
        root = self.written(tmp_path / "store")
        (tmp_path / "set").mkdir()
        for name in ("annotations", "images"):
            (tmp_path / "set" / name).symlink_to(root / name)
        assert greys(load(tmp_path / "set", tmp_path)) == RIGHT
        write(root / "annotations" / "instances_all.json", content(NAMES[:4]))
        assert len(load(tmp_path / "set", tmp_path)) == 4

    @pytest.mark.parametrize("beside", ["link", "target"])
    def test_pictures_lie_beside_a_linked_file_or_its_target(self, tmp_path, beside):
        """Data in git-annex or a cache of downloads is links to files of other names."""
        write(tmp_path / "objects" / "0a1b", content(NAMES))
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "result.json").symlink_to(tmp_path / "objects" / "0a1b")
        write_pictures(tmp_path / ("set" if beside == "link" else "objects") / "images", NAMES)
        source = Data(source=tmp_path / "set" / "result.json").request(0).source
        assert greys(load(source, tmp_path)) == RIGHT
        before = self.key(source)
        write_pictures(tmp_path / ("set" if beside == "link" else "objects") / "images", ["1.png"], first=9)
        assert self.key(source) != before

    def test_a_picture_that_comes_later_counts(self, tmp_path):
        root = self.written(tmp_path / "set")
        source = root / "annotations" / "instances_all.json"
        shutil.move(root / "images" / "1.png", tmp_path / "1.png")
        before = self.key(source)
        shutil.move(tmp_path / "1.png", root / "images" / "1.png")
        assert self.key(source) != before

    def test_a_folder_with_all_its_pictures_needs_no_look_into_its_files(self, tmp_path):
        root = self.written(tmp_path / "set")
        assert list(task.source_files(DataRequest(str(root)))) == []
        assert [
            Path(path).name for path in task.source_files(DataRequest(str(root / "annotations/instances_all.json")))
        ] == NAMES
