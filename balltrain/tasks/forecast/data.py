"""Sequences of boxes: simulated, or read from a mini_balls_seq folder or archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from balltrain.balls.formats import (
    read_sequence_file,
    read_sequences,
    write_sequences,
)
from balltrain.balls.simulate import simulate
from balltrain.balls.world import COLORS, NUM_BALLS, NUM_COLORS, NUM_STEPS
from balltrain.tasks.base import Arrays, DataRequest


def prepare(request: DataRequest, arrays: Arrays, default_size: int) -> dict[str, Any]:
    """Arrays `boxes` (n, 20, 3, 4) float32, pixels, of the present balls in colour order, and their `colors`
    (n, 3) uint8, rising. Real boxes are whole pixels; a source with finer ones keeps them.
    """
    if request.source is not None:
        presence, boxes = read_sequences(Path(request.source), request.size)
    else:
        sequences = simulate(request.size or default_size, request.seed)
        presence, boxes = sequences.presence, sequences.boxes
    arrays["boxes"], arrays["colors"] = present_only(presence, boxes)
    return {"colors": list(COLORS), "num_steps": NUM_STEPS}


def export(folder: Path, data: Mapping[str, np.ndarray]) -> list[str]:
    """Write the sequences as a mini_balls_seq folder."""
    present, colors = data["boxes"], data["colors"].astype(np.int64)
    rows = np.arange(len(colors))[:, None]
    presence = np.zeros((len(colors), NUM_COLORS), np.uint8)
    presence[rows, colors] = 1
    boxes = np.zeros((len(colors), NUM_STEPS, NUM_COLORS, 4), np.float32)
    boxes[rows, :, colors] = present.swapaxes(1, 2)  # fancy indexing puts the balls before the steps
    write_sequences(folder, presence, boxes)
    return [f"{len(colors)} sequences in {folder}"]


def present_only(presence: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From presence (n, 9) and boxes (n, steps, 9, 4) to the three balls' boxes (n, steps, 3, 4) float32 and
    colours (n, 3) uint8.
    """
    colors = np.nonzero(presence)[1].reshape(-1, NUM_BALLS)
    rows = np.arange(len(colors))[:, None]
    return boxes[rows, :, colors].swapaxes(1, 2).astype(np.float32), colors.astype(np.uint8)


def read_sequence_files(paths: Sequence[Path]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes (steps, 3, 4) and colours (3,) of each `seq_bb_*.npy`, whose `p_*.npy` lies beside it.

    A sequence has 20 steps, or 19 where the truth is not known. Raises BalltrainError naming a file that is
    no such sequence or has no partner.
    """
    return [_present(*read_sequence_file(path)) for path in paths]


def _present(presence: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    present, colors = present_only(presence[None], boxes[None])
    return present[0], colors[0]
