"""Sequences come in from the public format or the simulation, and go out again."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from balltrain.balls.formats import write_sequences
from balltrain.balls.simulate import simulate
from balltrain.data.cache import ArrayFolder
from balltrain.errors import BalltrainError
from balltrain.tasks.base import DataRequest
from balltrain.tasks.forecast import data
from balltrain.tasks.forecast.metrics import copy_last, extrapolate, mean_squared_error
from balltrain.tasks.forecast.task import task

REAL = Path(os.environ.get("BALLTRAIN_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "balls"


@pytest.fixture
def folder(tmp_path):
    """Four sequences in the public format, to read or to damage."""
    sequences = simulate(4, seed=5)
    write_sequences(tmp_path / "mini_balls_seq", sequences.presence, sequences.boxes)
    return tmp_path / "mini_balls_seq"


def prepared(tmp_path, request):
    arrays = ArrayFolder(tmp_path)
    task.prepare(request, arrays)
    return arrays.arrays


def message_of(call):
    with pytest.raises(BalltrainError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_present_balls_come_in_colour_order(tmp_path):
    sequences = simulate(3, seed=1)
    arrays = prepared(tmp_path, DataRequest(size=3, seed=1))
    for n in range(3):
        colors = np.flatnonzero(sequences.presence[n])
        np.testing.assert_array_equal(arrays["colors"][n], colors)
        np.testing.assert_array_equal(arrays["boxes"][n], sequences.boxes[n][:, colors])


@pytest.mark.parametrize("as_archive", [False, True])
def test_a_source_gives_what_was_exported(folder, tmp_path, as_archive):
    source = folder
    if as_archive:
        source = tmp_path / "seq.tgz"
        with tarfile.open(source, "w:gz") as tar:
            tar.add(folder, folder.name)
    for name in ("real", "simulated"):
        (tmp_path / name).mkdir()
    real = prepared(tmp_path / "real", DataRequest(str(source)))
    simulated = prepared(tmp_path / "simulated", DataRequest(size=4, seed=5))
    for name in ("boxes", "colors"):
        np.testing.assert_array_equal(real[name], simulated[name])
    task.export(DataRequest(), tmp_path / "out", real)
    for path in folder.iterdir():
        np.testing.assert_array_equal(np.load(tmp_path / "out" / path.name), np.load(path))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no public balls data in {REAL}")
def test_the_public_sequences_have_the_published_baselines(tmp_path):
    """The figures of shared/data/README.md are those of 7 000 sequences, of which 6 300 are here."""
    boxes = torch.from_numpy(np.array(prepared(tmp_path, DataRequest(str(REAL / "mini_balls_seq.tgz")))["boxes"]))
    assert boxes.shape == (6300, 20, 3, 4)
    seen, truth = boxes[:, :-1], boxes[:, -1:]
    assert mean_squared_error(copy_last(seen), truth) == pytest.approx(1.21e-3, rel=0.01)
    assert mean_squared_error(extrapolate(seen), truth) == pytest.approx(3.39e-4, rel=0.01)


def spoil(path, change):
    array = np.load(path)
    np.save(path, change(array))


def outside(boxes):
    boxes[3, boxes[0].any(axis=1), 2] = 120
    return boxes


def four_balls(presence):
    presence[np.flatnonzero(presence == 0)[0]] = 1
    return presence


WRONG = {
    "p_00002.npy": [(None, "partner"), (four_balls, "4 colours"), (lambda p: p[:8], "shape")],
    "seq_bb_00002.npy": [(None, "partner"), (outside, "120"), (lambda b: b[:, :8], "shape")],
}
CASES = [(name, change, word) for name, cases in WRONG.items() for change, word in cases]


@pytest.mark.parametrize(("name", "change", "word"), CASES)
def test_a_wrong_file_of_a_source_is_named(folder, tmp_path, name, change, word):
    if change is None:
        (folder / name).unlink()
    else:
        spoil(folder / name, change)
    message = message_of(lambda: prepared(tmp_path, DataRequest(str(folder))))
    assert "00002.npy" in message
    assert word in message


@pytest.mark.parametrize(("name", "change", "word"), CASES)
def test_a_wrong_input_of_predict_is_named(folder, name, change, word):
    path = folder / "seq_bb_00002.npy"
    if change is not None:
        spoil(folder / name, change)
    elif name.startswith("p_"):
        (folder / name).unlink()
    else:
        path.write_bytes(b"nothing of the kind")
        word = "not a plain .npy"
    message = message_of(lambda: data.read_sequence_files([folder / "seq_bb_00001.npy", path]))
    assert "00002.npy" in message
    assert word in message


def test_predict_takes_boxes_only(folder):
    assert "seq_bb_00000.npy" in message_of(lambda: data.read_sequence_files([folder / "p_00000.npy"]))


@pytest.mark.parametrize("name", ["../p_00000.npy", "/tmp/p_00000.npy"])
def test_a_hostile_archive_is_refused(tmp_path, name):
    source = tmp_path / "hostile.tgz"
    with tarfile.open(source, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    message = message_of(lambda: prepared(tmp_path, DataRequest(str(source))))
    assert "hostile.tgz" in message
    assert name in message


def test_a_truncated_archive_is_refused(folder, tmp_path):
    source = tmp_path / "seq.tgz"
    with tarfile.open(source, "w:gz") as tar:
        tar.add(folder, folder.name)
    source.write_bytes(source.read_bytes()[:700])
    assert "seq.tgz" in message_of(lambda: prepared(tmp_path, DataRequest(str(source))))
