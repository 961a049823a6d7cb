"""Folders and zips of pictures are read in order, and what is wrong with them is said."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from balltrain.errors import BalltrainError
from balltrain.vision.files import NUM_NAMED, list_classes, note_of_others, refuse_bad

CLASSES = ("Cat", "Dog")


def picture(path, color=(255, 0, 0), size=(64, 64), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path)


def zipped(folder, archive):
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder.parent))
    return archive


@pytest.fixture
def trainset(tmp_path):
    """Three cats, of which the number is the red value, and two dogs."""
    for n in (10, 2, 1):
        picture(tmp_path / "trainset" / "Cat" / f"{n}.Cat.png", (n, 0, 0))
    for n in (3, 20):
        picture(tmp_path / "trainset" / "Dog" / f"{n}.Dog.png", (n, 0, 0))
    return tmp_path / "trainset"


def read(source, size=None):
    pictures, labels = list_classes(source, CLASSES, size)
    images = np.zeros((len(pictures), 64, 64, 3), np.uint8)
    converted, bad = pictures.decode(images)
    if bad:
        refuse_bad(list(bad.values()), len(pictures))
    return images, labels, converted


def message_of(call):
    with pytest.raises(BalltrainError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", ["itself", "parent", "zip", "folder with zip", "zip of the folders alone"])
def test_all_forms_of_a_source_give_the_same_in_order(trainset, tmp_path, form):
    source = trainset
    if form == "parent":
        source = trainset.parent
    elif form == "zip":
        source = zipped(trainset, tmp_path / "any.zip")
    elif form == "folder with zip":
        (tmp_path / "download").mkdir()
        source = zipped(trainset, tmp_path / "download" / "trainset.zip").parent
    elif form == "zip of the folders alone":
        source = tmp_path / "flat.zip"
        with zipfile.ZipFile(source, "w") as file:
            for path in trainset.rglob("*.png"):
                file.write(path, path.relative_to(trainset))
    images, labels, converted = read(source)
    assert images[:, 0, 0, 0].tolist() == [1, 2, 10, 3, 20]
    assert labels.tolist() == [0, 0, 0, 1, 1]
    assert converted == []


def test_size_takes_the_first_of_each_class(trainset):
    images, labels, _ = read(trainset, 3)
    assert images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert labels.tolist() == [0, 0, 1]
    assert "takes 3 of Dog, but" in message_of(lambda: read(trainset, 6))


def test_other_kinds_and_sizes_are_converted_and_named(trainset):
    picture(trainset / "Cat" / "4.png", (200, 0, 0), mode="L")
    picture(trainset / "Cat" / "5.png", (200, 0, 0), size=(100, 40))
    picture(trainset / "Cat" / "6.png", (204, 0, 0), mode="P")  # a colour of the palette
    Image.new("RGBA", (64, 64), (200, 0, 0, 0)).save(trainset / "Cat" / "7.png")
    Image.new("RGBA", (64, 64), (200, 0, 0, 255)).save(trainset / "Cat" / "8.png")
    images, _, converted = read(trainset)
    assert [Path(name).name for name in converted] == ["4.png", "5.png", "6.png", "7.png", "8.png"]
    assert [images[row, 9, 9].tolist() for row in (2, 3, 4, 5, 6)] == [
        [60, 60, 60],
        [200, 0, 0],
        [204, 0, 0],
        [255, 255, 255],  # what is transparent is white
        [200, 0, 0],
    ]


def test_what_file_managers_leave_is_passed_over(trainset):
    (trainset / "Cat" / "Thumbs.db").write_bytes(b"no picture")
    (trainset / "Dog" / ".DS_Store").write_bytes(b"no picture")
    assert len(read(trainset)[0]) == 5


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_file_that_is_no_image_is_named(trainset, tmp_path, content, as_zip):
    if content is None:  # cut off
        content = (trainset / "Dog" / "3.Dog.png").read_bytes()[:60]
    (trainset / "Dog" / "666.jpg").write_bytes(content)
    source = zipped(trainset, tmp_path / "trainset.zip") if as_zip else trainset
    assert "666.jpg cannot be read: " in message_of(lambda: read(source))


@pytest.mark.parametrize("left", ["empty", "missing"])
def test_one_class_alone_is_refused(trainset, left):
    for path in (trainset / "Dog").iterdir():
        path.unlink()
    if left == "missing":
        (trainset / "Dog").rmdir()
    assert "has no pictures in a folder Dog" in message_of(lambda: read(trainset))


def test_a_source_without_classes_is_refused(tmp_path, trainset):
    picture(tmp_path / "other" / "1.png")
    assert "no folders Cat and Dog with pictures" in message_of(lambda: read(tmp_path / "other"))
    assert "does not exist" in message_of(lambda: read(tmp_path / "nowhere"))
    picture(tmp_path / "again" / "Cat" / "1.png")
    assert "in several places (again, trainset)" in message_of(lambda: read(tmp_path))


@pytest.mark.parametrize("name", ["../Cat/1.png", "/Cat/1.png", "a/../../1.png", "..\\1.png", "C:/Cat/1.png"])
def test_a_zip_with_members_outside_is_refused(trainset, tmp_path, name):
    archive = zipped(trainset, tmp_path / "evil.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(name, b"x")
    assert "lies outside" in message_of(lambda: read(archive))


def test_a_damaged_zip_is_refused(trainset, tmp_path):
    archive = zipped(trainset, tmp_path / "trainset.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[:-30])
    assert "neither a folder nor a whole zip" in message_of(lambda: read(archive))
    start = content.index(b"\x89PNG")
    archive.write_bytes(content[:start] + b"\0" * 20 + content[start + 20 :])
    assert "Cat/" in (message := message_of(lambda: read(archive)))
    assert "is damaged" in message


def test_linked_class_folders_and_chains_of_links_are_folders(trainset, tmp_path):
    source = tmp_path / "linked"
    source.mkdir()
    (tmp_path / "middle").symlink_to(trainset / "Dog")
    (source / "Dog").symlink_to(tmp_path / "middle")
    (source / "Cat").symlink_to(trainset / "Cat")
    (trainset / "Cat" / "loop").symlink_to(trainset / "Cat")
    images, labels, _ = read(source)
    assert images[:, 0, 0, 0].tolist() == [1, 2, 10, 3, 20]
    assert labels.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("as_zip", [False, True])
def test_what_is_no_picture_is_left_out_and_named(trainset, tmp_path, as_zip):
    (trainset / "Cat" / "readme.txt").write_text("cats")
    (trainset / "Dog" / "labels.csv").write_text("1,2")
    (trainset / "Dog" / "empty").write_text("")
    picture(trainset / "Dog" / "more" / "5.png")
    (trainset / "Dog" / "3.Dog.png").rename(trainset / "Dog" / "3")  # a picture without a suffix
    source = zipped(trainset, tmp_path / "trainset.zip") if as_zip else trainset
    assert read(source)[0][:, 0, 0, 0].tolist() == [1, 2, 10, 3, 20]
    (note,) = note_of_others(list_classes(source, CLASSES)[0])
    assert "4 of the files are no pictures of a class and are left out: " in note
    assert all(name in note for name in ("readme.txt", "labels.csv", "empty", "more/5.png"))


def test_all_that_cannot_be_read_are_named_at_once(trainset, caplog):
    (trainset / "Cat" / "666.jpg").write_bytes(b"")
    (trainset / "Dog" / "11702.jpg").write_bytes(b"no picture")
    message = message_of(lambda: read(trainset))
    assert message.startswith("2 of 7 pictures cannot be read: ")
    assert "Cat/666.jpg (the file is empty), " in message
    assert "Dog/11702.jpg (no image that Pillow knows); remove them, or leave them out by --skip-bad" in message
    for number in range(100, 100 + NUM_NAMED):
        (trainset / "Cat" / f"{number}.jpg").write_bytes(b"")
    assert " and 2 more, which are listed above; remove" in message_of(lambda: read(trainset))
    assert len(caplog.messages) == NUM_NAMED + 2
