"""CIFAR-10 comes in from its archive or its folder; what is anything else is refused."""

import io
import os
import pickle
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cifar_files import FOLDER, batch_of, contents, python2_pickle, write_archive, write_folder, write_zip

from balltrain.data.cache import ArrayFolder, data_key, load_data
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.tasks.cifar10 import data
from balltrain.tasks.cifar10.files import ARCHIVE
from balltrain.tasks.cifar10.task import task
from balltrain.tasks.cifar10.unpickle import unpickle

REAL = Path(os.environ.get("BALLTRAIN_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "cifar10"


def prepared(folder, source, **request):
    folder.mkdir(exist_ok=True)
    arrays = ArrayFolder(folder)
    facts = task.prepare(DataRequest(str(source), **request), arrays)
    return arrays.arrays, facts


def message_of(tmp_path, source, **request):
    with pytest.raises(BalltrainError) as caught:
        prepared(tmp_path / "prepared", source, **request)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_test_batch_is_the_test_split_and_a_tenth_of_the_others_validates(tmp_path):
    arrays, _ = prepared(tmp_path / "a", write_archive(tmp_path / "c.tar.gz", contents(rows=20, test_rows=7)))
    assert arrays["images"].shape == (107, 32, 32, 3)
    assert arrays["split"][:100].tolist().count(1) == 10
    assert arrays["split"][100:].tolist() == [2] * 7
    rows = batch_of(20, 1)
    assert arrays["label"][:20].tolist() == rows[b"labels"]
    red, green, blue = rows[b"data"][3].reshape(3, 32, 32)
    assert np.array_equal(arrays["images"][3], np.stack([red, green, blue], axis=-1))


@pytest.mark.parametrize("count", [1, 16, 99])
def test_so_many_pictures_validate_as_are_asked_for(tmp_path, count):
    """The original's 42 000 and 8 000 are `validation=8000`."""
    archive = write_archive(tmp_path / "c.tar.gz")  # 100 and 20
    arrays, _ = prepared(tmp_path / "a", archive, options={"validation": count})
    assert np.bincount(arrays["split"]).tolist() == [100 - count, count, 20]
    again, _ = prepared(tmp_path / "b", archive, options={"validation": count})
    other, _ = prepared(tmp_path / "c", archive, options={"validation": count}, seed=1)
    assert np.array_equal(arrays["split"], again["split"])
    assert not np.array_equal(arrays["split"], other["split"])
    assert arrays["split"][100:].tolist() == [2] * 20


def test_a_tenth_validates_unless_told_so_that_data_built_before_is_found(tmp_path):
    archive = write_archive(tmp_path / "c.tar.gz")
    default, _ = prepared(tmp_path / "a", archive)
    tenth, _ = prepared(tmp_path / "b", archive, options={"validation": 10})
    assert np.array_equal(default["split"], tenth["split"])
    ref = TaskRef("cifar10")
    keys = [
        data_key(ref, task, DataRequest(str(archive), options=options))
        for options in ({}, {"validation": None}, {"validation": 10})
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "validation = 0: should be greater than or equal to 1"),
        (-3, "validation = -3: should be greater than or equal to 1"),
        ("many", 'validation = "many": should be a valid integer'),
        (0.5, "validation = 0.5: should be a valid integer"),
    ],
)
def test_a_number_that_cannot_validate_is_refused(tmp_path, value, message):
    with pytest.raises(UsageError, match=message):
        prepared(tmp_path / "a", write_archive(tmp_path / "c.tar.gz"), options={"validation": value})


def test_some_pictures_are_left_to_train_on(tmp_path):
    archive = write_archive(tmp_path / "c.tar.gz")
    message = message_of(tmp_path, archive, options={"validation": 100})
    assert "validation = 100 leaves no picture to train on: there are 100" in message
    assert "give at most 49" in message_of(tmp_path, archive, size=60, options={"validation": 8000})


def test_another_seed_validates_with_other_pictures(tmp_path):
    archive = write_archive(tmp_path / "c.tar.gz")
    first, again, other = (prepared(tmp_path / str(n), archive, seed=s)[0]["split"] for n, s in enumerate((0, 0, 1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [2, 7, 60])
def test_size_takes_the_first_pictures_of_both_in_their_proportion(tmp_path, size):
    archive = write_archive(tmp_path / "c.tar.gz")  # 100 and 20
    whole, _ = prepared(tmp_path / "whole", archive)
    part, _ = prepared(tmp_path / "part", archive, size=size)
    num_test = max(1, round(size / 6))
    assert (part["split"] == 2).sum() == num_test
    assert np.array_equal(part["images"][: size - num_test], whole["images"][: size - num_test])
    assert np.array_equal(part["images"][size - num_test :], whole["images"][100 : 100 + num_test])


@pytest.mark.parametrize("place", ["folder", "parent", "parent of the archive"])
def test_folders_give_what_the_archive_gives(tmp_path, place):
    archive = write_archive(tmp_path / "c.tar.gz")
    there = tmp_path / "there"
    there.mkdir()
    if place == "parent of the archive":
        write_archive(there / ARCHIVE)
    else:
        with tarfile.open(archive) as file:
            file.extractall(there, filter="data")
    found, facts = prepared(tmp_path / "a", there / FOLDER if place == "folder" else there)
    expected, expected_facts = prepared(tmp_path / "b", archive)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert facts == expected_facts


PLACES = {
    "zip": lambda folder: write_zip(folder / "c.zip"),
    "zip without a folder": lambda folder: write_zip(folder / "c.zip", folder=""),
    "zip of a folder around it": lambda folder: write_zip(folder / "c.zip", folder=f"cifar-10-python/{FOLDER}/"),
    "zip made on Windows": lambda folder: write_zip(folder / "c.zip", folder=f"cifar-10-python\\{FOLDER}\\"),
    "zip called otherwise": lambda folder: write_zip(folder / "download"),
    "zip of the archive": lambda folder: write_zip(
        folder / "c.zip", {ARCHIVE: write_archive(folder / ARCHIVE).read_bytes()}, ""
    ),
    "zip of both": lambda folder: write_zip(
        folder / "c.zip",
        {ARCHIVE: b"", **{f"{FOLDER}/{name}": content for name, content in contents().items()}},
        "",
    ),
    "folder of a zip": lambda folder: write_zip(folder / "c.zip").parent,
    "folder of the archive, below": lambda folder: nested(
        folder / "below", lambda path: write_archive(path / ARCHIVE)
    ),
    "one folder too deep": lambda folder: write_folder(folder / "cifar-10-python" / FOLDER).parent,
    "two folders too deep": lambda folder: write_folder(folder / "archive" / "cifar-10-python" / FOLDER).parents[1],
    "folder called otherwise": lambda folder: write_folder(folder / "cifar" / "batches").parent,
    "linked folder": lambda folder: linked(folder, write_folder(folder / "elsewhere" / FOLDER)),
}


def nested(folder, write):
    folder.mkdir()
    write(folder)
    return folder.parent


def linked(folder, to):
    (folder / "data").mkdir()
    (folder / "data" / "cifar").symlink_to(to)
    return folder / "data"


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_it_is_read_however_it_was_packed_anew(tmp_path, place):
    (tmp_path / "there").mkdir()
    found, facts = prepared(tmp_path / "a", place(tmp_path / "there"))
    expected, expected_facts = prepared(tmp_path / "b", write_archive(tmp_path / "c.tar.gz"))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert facts == expected_facts


@pytest.mark.parametrize("compression", ["w", "w:bz2", "w:xz"])
def test_the_archive_may_be_compressed_in_another_way(tmp_path, compression):
    with tarfile.open(tmp_path / "c.tar", compression) as archive:
        archive.add(write_folder(tmp_path / FOLDER), FOLDER)
    found, _ = prepared(tmp_path / "a", tmp_path / "c.tar")
    assert len(found["label"]) == 120


def test_what_file_managers_leave_behind_is_no_second_set(tmp_path):
    files = {f"{FOLDER}/{name}": content for name, content in contents().items()}
    files |= {f"__MACOSX/{FOLDER}/._{name}": b"\0" for name in contents()}
    found, _ = prepared(tmp_path / "a", write_zip(tmp_path / "c.zip", files, ""))
    assert len(found["label"]) == 120


def test_several_sets_or_archives_are_refused_by_their_names(tmp_path):
    for name in ("first", "second"):
        write_folder(tmp_path / "folders" / name)
    message = message_of(tmp_path, tmp_path / "folders")
    assert "holds batches in several places (first, second): name one of them" in message
    files = {f"{name}/{batch}": content for name in ("a", "b") for batch, content in contents().items()}
    assert "in several places (a, b)" in message_of(tmp_path, write_zip(tmp_path / "two.zip", files, ""))
    (tmp_path / "zips").mkdir()
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / "zips" / name)
    message = message_of(tmp_path, tmp_path / "zips")
    assert "holds several archives (a.zip, b.zip): give one of them" in message


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.dtype(">i4").type])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_labels_may_be_numbers_of_numpy(tmp_path, kind, protocol):
    labels = [kind(label) for label in batch_of(20)[b"labels"]]
    for found in (labels, tuple(labels), np.array(labels)):
        _, read = data.read_batch(pickle.dumps({**batch_of(20), b"labels": found}, protocol), "it")
        assert read.tolist() == batch_of(20)[b"labels"]


def test_numbers_of_numpys_before_2_are_read():
    text = pickle.dumps({**batch_of(20), b"labels": [np.int64(n % 10) for n in range(20)]}, 2)
    _, read = data.read_batch(text.replace(b"numpy._core", b"numpy.core"), "it")
    assert read.tolist() == batch_of(20)[b"labels"]


@pytest.mark.parametrize("kind", ["int64", "int32", ">i2", "uint16"])
def test_pixels_may_be_integers_of_another_kind(kind):
    images, _ = data.read_batch(pickle.dumps({**batch_of(20), b"data": batch_of(20)[b"data"].astype(kind)}, 2), "it")
    expected, _ = data.read_batch(pickle.dumps(batch_of(20), 2), "it")
    assert images.dtype == np.uint8
    assert np.array_equal(images, expected)


@pytest.mark.parametrize(
    "dump",
    [python2_pickle, *(lambda batch, protocol=protocol: pickle.dumps(batch, protocol) for protocol in (2, 4, 5))],
    ids=["python 2", "2", "4", "5"],
)
def test_pickles_of_python_2_and_3_are_read(tmp_path, dump):
    expected, _ = prepared(tmp_path / "a", write_archive(tmp_path / "c.tar.gz"))
    found, _ = prepared(tmp_path / "b", write_archive(tmp_path / "d.tar.gz", contents(dump=dump)))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_whitened_patches_are_uncorrelated(tmp_path):
    images = np.random.default_rng(0).standard_normal((40, 32, 32, 3))
    images[:, :, 1:] += images[:, :, :-1]  # neighbours are alike
    filters = data.whitening_of(images)
    patches = np.stack([images[:, y : y + 31, x : x + 31] for y in (0, 1) for x in (0, 1)], axis=-1).reshape(-1, 12)
    assert np.cov(patches @ filters.T, rowvar=False) == pytest.approx(np.eye(12), abs=0.01)


class Evil:
    def __reduce__(self):
        return os.system, ("echo run > /dev/null",)


@pytest.mark.parametrize(
    ("held", "named"),
    [(Evil(), "posix.system"), (np.float64(1), "multiarray.scalar"), (Path("x"), "pathlib"), (len, "builtins")],
)
def test_a_pickle_that_holds_anything_else_is_refused(tmp_path, held, named):
    files = contents()
    files["data_batch_3"] = pickle.dumps({**batch_of(20), b"more": [held]}, 2)
    message = message_of(tmp_path, write_archive(tmp_path / "c.tar.gz", files))
    assert "c.tar.gz: data_batch_3 is refused: it holds " in message
    assert named in message.replace("__builtin__", "builtins")


def test_nothing_of_a_refused_pickle_is_run(tmp_path):
    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(BalltrainError):
        unpickle(pickle.dumps(Touch()), "it")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(batch_of(2))[:-300], b"\x80\x02}(U\xffdata"])
def test_what_is_no_pickle_is_said_to_be_none(content):
    with pytest.raises(BalltrainError, match="it is no pickle of arrays, or is damaged"):
        unpickle(content, "it")


def changed(**values):
    return {**batch_of(20), **{key.encode(): value for key, value in values.items()}}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            changed(data=np.zeros((20, 3071), np.uint8)),
            r"data is \(20, 3071\) uint8, but should be \(20, 3072\) uint8",
        ),
        (changed(data=np.zeros((20, 3072), np.float32)), r"data is \(20, 3072\) float32"),
        (changed(data=[1, 2]), "data is list"),
        (changed(data=np.full((20, 3072), 256)), "data has values from 256 to 256, but should have 0 to 255"),
        (changed(data=np.full((20, 3072), -1, np.int8)), "data has values from -1 to -1, but should have 0 to 255"),
        (changed(labels=[1, 2]), r"data is \(20, 3072\) uint8, but should be \(2, 3072\)"),
        (changed(labels=[*range(10), *range(1, 11)]), "label 10 is outside 0 to 9"),
        (changed(labels=[*range(10), *range(9), np.int64(-1)]), "label -1 is outside 0 to 9"),
        (changed(labels=["cat"] * 20), "labels should be a list of whole numbers"),
        (changed(labels=np.zeros(20)), "labels should be a list of whole numbers"),
        ({b"data": np.zeros((1, 3072), np.uint8)}, "has no 'labels': it holds data"),
        ([1, 2], "holds list, but should hold a dict"),
    ],
)
def test_a_batch_that_is_wrong_is_named(tmp_path, batch, message):
    with pytest.raises(BalltrainError, match=f"^it:? {message}"):
        data.read_batch(pickle.dumps(batch), "it")


def test_other_classes_are_refused(tmp_path):
    files = contents()
    files["batches.meta"] = pickle.dumps({"label_names": ["apple", "fish"]}, 2)
    assert "label_names are apple, fish" in message_of(tmp_path, write_archive(tmp_path / "c.tar.gz", files))


def test_a_batch_that_is_missing_is_named(tmp_path):
    files = contents()
    del files["data_batch_4"]
    assert "has no data_batch_4" in message_of(tmp_path, write_archive(tmp_path / "c.tar.gz", files))


@pytest.mark.parametrize("share", [0.3, 0.95])
@pytest.mark.parametrize("write", [write_archive, write_zip])
def test_a_truncated_archive_is_said_to_be_truncated(tmp_path, write, share):
    archive = write(tmp_path / "cifar")
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    assert "cifar is no tar or zip archive, or is truncated or damaged" in message_of(tmp_path, archive)


def test_a_zip_with_damage_in_it_is_said_to_be_damaged(tmp_path):
    archive = write_zip(tmp_path / "c.zip")
    content = bytearray(archive.read_bytes())
    content[2000:2100] = bytes(100)
    archive.write_bytes(content)
    assert "c.zip is no tar or zip archive, or is truncated or damaged" in message_of(tmp_path, archive)


def test_what_is_no_archive_is_said_to_be_none(tmp_path):
    (tmp_path / "c.tar.gz").write_text("hello")
    assert "is no tar or zip archive" in message_of(tmp_path, tmp_path / "c.tar.gz")
    (tmp_path / "empty").mkdir()
    assert f"holds neither {FOLDER} nor" in message_of(tmp_path, tmp_path / "empty")
    assert "gone does not exist: check the path" in message_of(tmp_path, tmp_path / "gone")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../data_batch_1", tarfile.REGTYPE, "lies outside"),
        ("/etc/data_batch_1", tarfile.REGTYPE, "lies outside"),
        (f"{FOLDER}/data_batch_1", tarfile.SYMTYPE, "is a link"),
        (f"{FOLDER}/data_batch_1", tarfile.LNKTYPE, "is a link"),
    ],
)
def test_members_outside_and_links_are_refused(tmp_path, name, kind, message):
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    assert message in message_of(tmp_path, tmp_path / "c.tar.gz")


@pytest.mark.parametrize("name", ["../data_batch_1", "/etc/data_batch_1", "C:\\data_batch_1", "..\\data_batch_1"])
def test_members_of_a_zip_that_lie_outside_are_refused(tmp_path, name):
    assert "lies outside" in message_of(tmp_path, write_zip(tmp_path / "c.zip", {name: b""}, ""))


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        member = zipfile.ZipInfo(f"{FOLDER}/data_batch_1")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    assert "is a link" in message_of(tmp_path, tmp_path / "c.zip")


def test_more_pictures_than_there_are_cannot_be_taken(tmp_path):
    assert "holds 120 pictures, but --size is 121" in message_of(
        tmp_path, write_archive(tmp_path / "c.tar.gz"), size=121
    )


def test_empty_training_batches_are_refused(tmp_path):
    archive = write_archive(tmp_path / "c.tar.gz", contents(rows=0))
    assert "has no training pictures" in message_of(tmp_path, archive)


def test_without_a_source_it_is_said_how_to_get_one(tmp_path):
    with pytest.raises(BalltrainError) as caught:
        load_data(TaskRef("cifar10"), task, DataRequest(), tmp_path)
    for part in ("balltrain data build cifar10", "170 MB", "--source", str(tmp_path / "cifar10")):
        assert part in str(caught.value)


@pytest.mark.skipif(not REAL.exists(), reason="no real pictures on this machine")
def test_real_pictures_are_read(tmp_path):
    arrays, facts = prepared(tmp_path / "a", REAL)
    per_class = np.bincount(arrays["label"][arrays["split"] == 2])
    assert per_class.tolist() == [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]  # of the data's description
    assert facts["mean"] == pytest.approx([0.491, 0.482, 0.447], abs=0.01)  # of all 50 000, as widely published
