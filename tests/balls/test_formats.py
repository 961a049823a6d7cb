"""Both public formats: what is written can be read, and what is wrong is named in one line."""

import io
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from balltrain.balls.formats import (
    list_images,
    load_images,
    read_sequences,
    write_images,
    write_sequences,
)
from balltrain.balls.images import render_images
from balltrain.balls.simulate import simulate
from balltrain.errors import BalltrainError

NUM_IMAGES = 6
REAL = Path(os.environ.get("BALLTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "balls"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no public balls data in {REAL}")


def arrays(n):
    return np.zeros((n, 100, 100, 3), np.uint8), np.zeros((n, 9), np.uint8), np.zeros((n, 9, 4), np.uint8)


@pytest.fixture(scope="module")
def written_images(tmp_path_factory):
    images, presence, boxes = arrays(NUM_IMAGES)
    render_images(NUM_IMAGES, 3, images, presence, boxes)
    folder = tmp_path_factory.mktemp("images") / "mini_balls"
    write_images(folder, images, presence, boxes)
    return folder, images, presence, boxes


@pytest.fixture
def image_folder(written_images, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(written_images[0], tmp_path / "mini_balls"))


@pytest.fixture
def sequence_folder(tmp_path):
    sequences = simulate(4, seed=5)
    write_sequences(tmp_path / "mini_balls_seq", sequences.presence, sequences.boxes)
    return tmp_path / "mini_balls_seq"


def pack(folder, archive, mode="w:gz"):
    with tarfile.open(archive, mode) as tar:
        tar.add(folder, folder.name)
    return archive


def load(folder):
    paths = list_images(folder)
    loaded = arrays(len(paths))
    load_images(paths, *loaded)
    return loaded


def check_error(call, *words):
    """The call fails with one line that holds all the words."""
    with pytest.raises(BalltrainError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def test_images_round_trip(written_images):
    folder, images, presence, boxes = written_images
    read_images, read_presence, read_boxes = load(folder)
    np.testing.assert_array_equal(read_presence, presence)
    np.testing.assert_array_equal(read_boxes, boxes)
    difference = np.abs(read_images.astype(int) - images.astype(int))
    assert difference.mean() < 4  # JPEG, twice


def test_images_have_the_public_layout(written_images):
    folder, _, presence, boxes = written_images
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(f"{n}" for i in range(NUM_IMAGES) for n in (f"img_{i:05d}.jpg", f"p_bb_{i:05d}.npy"))
    label = np.load(folder / "p_bb_00004.npy")
    assert (label.shape, label.dtype) == ((9, 5), np.float32)
    np.testing.assert_array_equal(label, np.column_stack([presence[4], boxes[4]]))


def test_images_are_found_one_folder_down_and_sorted_by_number(image_folder):
    (image_folder / "img_00005.jpg").rename(image_folder / "img_100000.jpg")
    (image_folder / "p_bb_00005.npy").rename(image_folder / "p_bb_100000.npy")
    (image_folder / "notes.txt").write_text("left alone")
    names = [path.name for path in list_images(image_folder.parent)]
    assert names == [f"img_0000{n}.jpg" for n in range(5)] + ["img_100000.jpg"]


@pytest.mark.parametrize("as_archive", ["", "w:gz", "w", "w:xz"])
def test_sequences_round_trip(sequence_folder, tmp_path, as_archive):
    source = pack(sequence_folder, tmp_path / "seq.archive", as_archive) if as_archive else sequence_folder
    sequences = simulate(4, seed=5)
    presence, boxes = read_sequences(source)
    np.testing.assert_array_equal(presence, sequences.presence)
    np.testing.assert_array_equal(boxes, sequences.boxes)
    assert (presence.dtype, boxes.dtype) == (np.uint8, np.float32)


def test_sequences_can_be_limited(sequence_folder):
    presence, boxes = read_sequences(sequence_folder, 3)
    np.testing.assert_array_equal(boxes, simulate(3, seed=5).boxes)
    assert len(presence) == 3
    check_error(lambda: read_sequences(sequence_folder, 5), sequence_folder, "4", "5")
    check_error(lambda: read_sequences(sequence_folder, 0), "size is 0")


def test_archive_leaves_nothing_on_disk(sequence_folder, tmp_path, monkeypatch):
    archive = pack(sequence_folder, tmp_path / "seq.tgz")
    shutil.rmtree(sequence_folder)
    monkeypatch.chdir(tmp_path)
    read_sequences(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["seq.tgz"]


def test_writers_keep_what_is_in_a_folder(written_images, sequence_folder):
    folder, *data = written_images
    check_error(lambda: write_images(folder, *data), folder, "not empty")
    sequences = simulate(1, seed=0)
    check_error(lambda: write_sequences(sequence_folder, sequences.presence, sequences.boxes), "not empty")


@pytest.mark.parametrize("read", [list_images, read_sequences])
def test_wrong_source_is_named(read, tmp_path):
    check_error(lambda: read(tmp_path / "nowhere"), tmp_path / "nowhere", "no such")
    check_error(lambda: read(tmp_path), tmp_path, "00000")
    (tmp_path / "file.txt").write_text("no archive")
    check_error(lambda: read(tmp_path / "file.txt"), "file.txt", "not a")


def test_two_folders_of_images_are_refused(image_folder):
    shutil.copytree(image_folder, image_folder.parent / "second")
    check_error(lambda: list_images(image_folder.parent), "mini_balls, second")


def test_image_without_label(image_folder):
    (image_folder / "p_bb_00002.npy").unlink()
    check_error(lambda: list_images(image_folder), "img_00002.jpg", "p_bb_00002.npy")


def test_truncated_image(image_folder):
    path = image_folder / "img_00001.jpg"
    path.write_bytes(path.read_bytes()[:700])
    check_error(lambda: load(image_folder), path)
    path.write_bytes(b"no image")
    check_error(lambda: load(image_folder), path)


def test_image_of_another_size(image_folder):
    Image.new("RGB", (120, 100)).save(image_folder / "img_00003.jpg")
    check_error(lambda: load(image_folder), "img_00003.jpg", "120 x 100", "100 x 100")


def spoiled_labels():
    good = np.zeros((9, 5), np.float32)
    good[[0, 1, 2]] = (1, 10, 10, 20, 20)
    for name, row, value in [
        ("NaN", 0, (1, np.nan, 10, 20, 20)),
        ("outside", 0, (1, 10, 10, 100, 20)),
        ("negative", 0, (1, -1, 10, 20, 20)),
        ("swapped", 0, (1, 20, 10, 10, 20)),
        ("presence", 0, (0.5, 10, 10, 20, 20)),
        ("absent with a box", 3, (0, 10, 10, 20, 20)),
    ]:
        label = good.copy()
        label[row] = value
        yield pytest.param(label, id=name)
    yield pytest.param(good[:, :4], id="shape")
    yield pytest.param(good.astype(str), id="strings")


@pytest.mark.parametrize("label", spoiled_labels())
def test_spoiled_label(image_folder, label):
    np.save(image_folder / "p_bb_00002.npy", label)
    check_error(lambda: load(image_folder), image_folder / "p_bb_00002.npy")


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_label_is_not_run(image_folder, tmp_path):
    label = image_folder / "p_bb_00002.npy"
    trap = Trap(tmp_path / "trapped")
    label.write_bytes(pickle.dumps(trap))
    check_error(lambda: load(image_folder), label)
    np.save(label, np.array([trap], dtype=object), allow_pickle=True)
    check_error(lambda: load(image_folder), label)
    assert not (tmp_path / "trapped").exists()


def test_spoiled_sequence(sequence_folder):
    path = sequence_folder / "seq_bb_00001.npy"
    good = np.load(path)
    for spoiled in (good[:19], np.where(good == good.max(), np.nan, good), good + 50):
        np.save(path, spoiled)
        check_error(lambda: read_sequences(sequence_folder), path)
    path.write_bytes(b"\x93NUMPY")
    check_error(lambda: read_sequences(sequence_folder), path)
    np.save(path, good)
    np.save(sequence_folder / "p_00002.npy", np.ones(9, np.float32))
    check_error(lambda: read_sequences(sequence_folder), "p_00002.npy", "must be 3")


@pytest.mark.parametrize("lost", ["p_00003.npy", "seq_bb_00003.npy"])
def test_half_a_sequence(sequence_folder, lost):
    (sequence_folder / lost).unlink()
    check_error(lambda: read_sequences(sequence_folder), lost, "missing")


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2", "w"])
def test_truncated_archive(sequence_folder, tmp_path, mode):
    archive = pack(sequence_folder, tmp_path / "seq.archive", mode)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])
    check_error(lambda: read_sequences(archive), archive, "truncated")


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


@pytest.mark.parametrize(
    ("info", "word"),
    [
        (member("../p_00000.npy"), "outside"),
        (member("/tmp/p_00000.npy"), "outside"),
        (member("p_00000.npy", tarfile.SYMTYPE, "/etc/hostname"), "link"),
        (member("p_00000.npy", tarfile.LNKTYPE, "seq_bb_00000.npy"), "link"),
    ],
)
def test_untrustworthy_archive(tmp_path, info, word):
    with tarfile.open(tmp_path / "seq.tar", "w") as tar:
        tar.addfile(info)
    check_error(lambda: read_sequences(tmp_path / "seq.tar"), "seq.tar", info.name, word)


def test_archive_with_a_huge_or_a_repeated_member(sequence_folder, tmp_path):
    content = (sequence_folder / "p_00000.npy").read_bytes()
    for size, words in ((2_000_000, ("2000000",)), (len(content), ("p_00000.npy", "twice"))):
        with tarfile.open(tmp_path / "seq.tar", "w") as tar:
            tar.add(sequence_folder, "mini_balls_seq")
            info = member("again/p_00000.npy")
            info.size = size
            tar.addfile(info, io.BytesIO(content.ljust(size, b"\0")))
        check_error(lambda: read_sequences(tmp_path / "seq.tar"), "seq.tar", *words)


@needs_real
def test_public_images_are_read():
    images, presence, boxes = load(REAL / "mini_balls")
    assert len(images) == 45
    assert (presence.sum(1) == 3).all()
    assert boxes.max() <= 99


@needs_real
def test_public_sequences_are_read():
    presence, boxes = read_sequences(REAL / "mini_balls_seq.tgz", 1000)
    assert boxes.shape == (1000, 20, 9, 4)
    assert boxes.reshape(-1, 4).max(0).tolist() == [89, 88, 99, 99]
    # image n shows sequence n // 3 at step 0, 10 or 19
    _, image_presence, image_boxes = load(REAL / "mini_balls")
    np.testing.assert_array_equal(image_boxes[1::3], boxes[:15, 10])
    np.testing.assert_array_equal(image_presence[1::3], presence[:15])
