"""`balltrain predict`: a picture, an animation and an answer for each sequence."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from balltrain.balls.formats import write_sequences
from balltrain.balls.simulate import simulate
from balltrain.balls.world import COLORS
from balltrain.tasks.base import resolve
from balltrain.tasks.forecast.task import task


@pytest.fixture
def drawn(tmp_path):
    sequences = simulate(2, seed=9)
    write_sequences(tmp_path / "in", sequences.presence, sequences.boxes)
    unknown = tmp_path / "in" / "seq_bb_00001.npy"
    np.save(unknown, np.load(unknown)[:19])  # its last step is not known
    paths = [tmp_path / "in" / "seq_bb_00000.npy", unknown]
    (tmp_path / "out").mkdir()
    hp = resolve(task, {})
    model = task.build_model(hp, {}).eval()
    found = task.draw_predictions(model, hp, torch.device("cpu"), paths, tmp_path / "out")
    return sequences, found


def test_every_sequence_has_a_picture_and_an_animation(drawn):
    _, found = drawn
    for result in found:
        with Image.open(result["picture"]) as picture, Image.open(result["animation"]) as animation:
            assert picture.size == animation.size == (600, 600)
            assert animation.n_frames == 20
            assert len(picture.getcolors(600 * 600)) > 5


def test_the_answer_is_json_and_names_the_balls(drawn):
    sequences, found = drawn
    json.dumps(found, allow_nan=False)
    known, unknown = found
    assert [ball["color"] for ball in known["balls"]] == [COLORS[c] for c in np.flatnonzero(sequences.presence[0])]
    for ball in known["balls"]:
        truth = sequences.boxes[0, 19, COLORS.index(ball["color"])]
        assert ball["truth"] == truth.tolist()
        middle = [(ball["box"][k] + ball["box"][k + 2] - truth[k] - truth[k + 2]) / 2 for k in (0, 1)]
        assert ball["pixel_error"] == pytest.approx(np.hypot(*middle), abs=0.01)
    assert all("truth" not in ball for ball in unknown["balls"])
