"""CIFAR-10 comes in from its archive or its folder; what is anything else is refused."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cifar_files import FOLDER, batch_of, contents, python2_pickle, write_archive

from balltrain.data.cache import ArrayFolder, load_data
from balltrain.errors import BalltrainError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest
from balltrain.tasks.cifar10 import data
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
        write_archive(there / data.ARCHIVE)
    else:
        with tarfile.open(archive) as file:
            file.extractall(there, filter="data")
    found, facts = prepared(tmp_path / "a", there / FOLDER if place == "folder" else there)
    expected, expected_facts = prepared(tmp_path / "b", archive)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert facts == expected_facts


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
    [(Evil(), "posix.system"), (np.float64(1), "multiarray.scalar"), (Path("x"), "pathlib"), (print, "builtins")],
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
        (changed(data=np.zeros((20, 3071), np.uint8)), r"data is \(20, 3071\) uint8, but should be \(20, 3072\) uint8"),
        (changed(data=np.zeros((20, 3072), np.float32)), r"data is \(20, 3072\) float32"),
        (changed(data=[1, 2]), "data is list"),
        (changed(labels=[1, 2]), r"data is \(20, 3072\) uint8, but should be \(2, 3072\)"),
        (changed(labels=[*range(10), *range(1, 11)]), "label 10 is outside 0 to 9"),
        (changed(labels=["cat"] * 20), "labels should be a list of whole numbers"),
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
def test_a_truncated_archive_is_said_to_be_truncated(tmp_path, share):
    archive = write_archive(tmp_path / "c.tar.gz")
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    assert "c.tar.gz is no tar archive, or is truncated or damaged" in message_of(tmp_path, archive)


def test_what_is_no_archive_is_said_to_be_none(tmp_path):
    (tmp_path / "c.tar.gz").write_text("hello")
    assert "is no tar archive" in message_of(tmp_path, tmp_path / "c.tar.gz")
    (tmp_path / "empty").mkdir()
    assert f"holds neither {FOLDER} nor" in message_of(tmp_path, tmp_path / "empty")


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


def test_more_pictures_than_there_are_cannot_be_taken(tmp_path):
    assert "holds 120 pictures, but --size is 121" in message_of(tmp_path, write_archive(tmp_path / "c.tar.gz"), size=121)


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
