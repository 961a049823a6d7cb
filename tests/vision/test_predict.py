"""Predicting from files, folders and archives of pictures of any size, and what is written of it."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from balltrain.errors import BalltrainError
from balltrain.vision.predict import (
    MAX_DRAWN,
    WRONG_RGB,
    draw_classes,
    draw_one,
    list_inputs,
    predict_pictures,
    write_submission,
)


def write_picture(path, size=(16, 16), color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


@pytest.fixture
def numbered(tmp_path):
    """A folder of 10 numbered pictures and a file beside them."""
    for number in range(1, 11):
        write_picture(tmp_path / "test" / f"{number}.png", color=(number, 0, 0))
    (tmp_path / "test" / "readme.txt").write_text("pictures")
    return tmp_path / "test"


class TestInputs:
    def test_a_folders_pictures_come_by_number(self, numbered):
        found = list_inputs([numbered])
        assert [each.number for each in found] == list(range(1, 11))
        assert found[9].name == str(numbered / "10.png")

    def test_an_archive_gives_what_its_folder_gives(self, numbered, tmp_path):
        with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
            for path in numbered.glob("*.png"):
                archive.write(path, f"testset/test/{path.name}")
        found = list_inputs([tmp_path / "test.zip"])
        assert [each.number for each in found] == list(range(1, 11))
        assert [each.read() for each in found] == [each.read() for each in list_inputs([numbered])]

    def test_files_and_folders_of_other_names_have_no_number(self, numbered, tmp_path):
        write_picture(numbered / "cat.png")
        assert {each.number for each in list_inputs([numbered, numbered / "1.png"])} == {None}

    def test_equal_numbers_in_two_folders_are_refused(self, numbered, tmp_path):
        write_picture(tmp_path / "more" / "3.png")
        with pytest.raises(BalltrainError, match=r"test/3.png and .*more/3.png have the same number"):
            list_inputs([numbered, tmp_path / "more"])

    def test_a_folder_without_pictures_is_refused(self, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "notes.txt").write_text("none")
        with pytest.raises(BalltrainError, match=r"empty holds no pictures that can be read: notes.txt \(no image"):
            list_inputs([tmp_path / "empty"])

    def test_pictures_of_all_formats_are_found_and_the_rest_is_named(self, tmp_path, caplog):
        for suffix in ("jpg", "jfif", "jpe", "ppm", "JP2", "tiff"):
            write_picture(tmp_path / "test" / f"a.{suffix}")
        (tmp_path / "test" / "a.jpg").rename(tmp_path / "test" / "nameless")
        (tmp_path / "test" / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(16))
        (tmp_path / "test" / "c.jpg").write_bytes(b"")
        (tmp_path / "test" / "Thumbs.db").write_bytes(b"")
        (tmp_path / "linked").symlink_to(tmp_path / "test")
        assert len(list_inputs([tmp_path / "linked"])) == 6
        (said,) = caplog.messages
        assert "2 of 8 files of " in said
        assert "c.jpg (the file is empty)" in said
        assert "b.heic (it is HEIC, which Pillow reads after pip install pillow-heif)" in said

    def test_a_damaged_archive_is_named(self, tmp_path):
        (tmp_path / "test.zip").write_bytes(b"PK\3\4 and nothing else")
        with pytest.raises(BalltrainError, match=r"test.zip is neither a folder nor a whole zip"):
            list_inputs([tmp_path / "test.zip"])

    def test_of_a_large_folder_the_first_are_drawn(self, tmp_path):
        write_picture(tmp_path / "0.png")
        content = (tmp_path / "0.png").read_bytes()
        with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
            for number in range(MAX_DRAWN + 5):
                archive.writestr(f"{number}.png", content)
        assert sum(each.drawn for each in list_inputs([tmp_path / "many.zip"])) == MAX_DRAWN


class TestShapes:
    @pytest.fixture
    def inputs(self, tmp_path):
        sizes = {"wide": (64, 32), "small": (4, 8), "square": (16, 16), "as long as the data's": (9, 16)}
        for name, size in sizes.items():
            write_picture(tmp_path / f"{name}.png", size)
        return list_inputs([tmp_path / f"{name}.png" for name in sizes])

    @pytest.mark.parametrize(
        ("keeps_shape", "shapes"), [(False, [(16, 16)] * 4), (True, [(16, 32), (32, 16), (16, 16), (16, 9)])]
    )
    def test_pictures_are_squashed_or_scaled_and_results_keep_their_order(self, inputs, keeps_shape, shapes):
        found = predict_pictures(
            inputs, 16, keeps_shape, lambda images: torch.tensor([list(images.shape[1:3])] * len(images))
        )
        assert [tuple(shape) for shape in found.tolist()] == shapes

    def test_a_file_that_is_no_picture_is_named(self, tmp_path):
        (tmp_path / "text.jpg").write_text("no picture")
        with pytest.raises(BalltrainError, match=r"text.jpg cannot be read: no image"):
            predict_pictures(list_inputs([tmp_path / "text.jpg"]), 16, False, lambda images: images)


class TestDrawings:
    def test_likeliest_classes_come_first(self, numbered, tmp_path):
        inputs = list_inputs([numbered])[:2]
        (tmp_path / "out").mkdir()
        probabilities = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
        votes = torch.tensor([[1, 2], [0, 0]])
        first, second = draw_classes(inputs, probabilities, votes, ("a", "b", "c"), tmp_path / "out")
        assert (first["id"], first["label"], first["class"], first["votes"]) == (1, 1, "b", ["b", "c"])
        assert first["top"] == [
            {"class": "b", "probability": 0.7},
            {"class": "c", "probability": 0.2},
            {"class": "a", "probability": 0.1},
        ]
        assert second["label"] == 0
        assert Image.open(first["picture"]).size == (600, 320)

    def test_the_truth_is_the_folder_that_is_called_as_a_class(self, tmp_path):
        write_picture(tmp_path / "Cat" / "1.png")
        write_picture(tmp_path / "elsewhere" / "2.png")
        inputs = list_inputs([tmp_path / "Cat" / "1.png", tmp_path / "elsewhere" / "2.png"])
        (tmp_path / "out").mkdir()
        first, second = draw_classes(inputs, torch.tensor([[0.2, 0.8]] * 2), None, ("Cat", "Dog"), tmp_path / "out")
        assert (first["truth"], "truth" in second) == ("Cat", False)
        wrong = [(np.asarray(Image.open(each["picture"])) == WRONG_RGB).all(axis=2).any() for each in (first, second)]
        assert wrong == [True, False]

    def test_pictures_of_one_name_do_not_overwrite_each_other(self, tmp_path):
        write_picture(tmp_path / "a" / "1.png")
        write_picture(tmp_path / "b" / "1.png")
        inputs = list_inputs([tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"])
        found = draw_classes(inputs, torch.tensor([[1.0, 0.0]] * 2), None, ("a", "b"), tmp_path)
        assert len({entry["picture"] for entry in found}) == 2
        assert "votes" not in found[0]

    def test_a_bar_is_as_long_as_its_probability(self):
        drawing = np.asarray(draw_one(np.zeros((10, 20, 3), np.uint8), [("a", 0.75), ("b", 0.25)]))
        blue = (drawing == (0x0B, 0x62, 0xC4)).all(axis=2).sum(axis=1)
        long, short = sorted(set(blue[blue > 0].tolist()), reverse=True)
        assert long / short == pytest.approx(3, rel=0.03)
        assert not drawing[150:160, :320].any()  # the picture, enlarged

    def test_a_picture_larger_than_the_drawing_is_shown_whole(self):
        pixels = np.full((900, 600, 3), 200, np.uint8)
        drawing = np.asarray(draw_one(pixels, [("a", 1.0)]))
        assert (drawing[:, :320] == 200).all(axis=2).sum() == pytest.approx(320 * 213, rel=0.02)


class TestSubmission:
    def rows(self, ids):
        return [{"id": number, "label": number % 2} for number in ids]

    def test_rows_are_id_and_label_from_one_on(self, tmp_path):
        said = write_submission(self.rows([3, 1, 2, 10, *range(4, 10)]), tmp_path / "s.csv")
        assert said == "submission of 10 pictures"
        lines = (tmp_path / "s.csv").read_bytes().split(b"\n")
        assert lines[:4] == [b"id,label", b"1,1", b"2,0", b"3,1"]
        assert lines[10:] == [b"10,0", b""]

    def test_numbers_that_are_missing_are_said(self, tmp_path):
        said = write_submission(self.rows([1, 4, 5]), tmp_path / "s.csv")
        assert said == "submission of 3 pictures, without 2 up to 5 that are not there (2, 3)"
        assert (tmp_path / "s.csv").read_text() == "id,label\n1,1\n4,0\n5,1\n"

    def test_what_has_no_number_is_left_out(self, tmp_path):
        write_submission([*self.rows([1]), {"label": 1}], tmp_path / "s.csv")
        assert (tmp_path / "s.csv").read_text() == "id,label\n1,1\n"
