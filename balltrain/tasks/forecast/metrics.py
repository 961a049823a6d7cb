"""Figures of a forecast on a whole split, and those of the simplest forecasts beside them.

Boxes are xyxy in pixels unless they are called scaled, which is pixels / BOX_SCALE.
"""

from __future__ import annotations

import torch
from torch import Tensor

from balltrain.balls.world import BOX_SCALE

ROLLOUT_START = 10  # the first frame that a rollout predicts: it sees t = 0 … 9
# A second difference of whole-pixel centres is off by 0.5 px a coordinate (standard deviation), and so longer
# than this in 1 of 3 000 free flights.
COLLISION_PX = 2.0


def scaled(boxes: Tensor) -> Tensor:
    """Pixels / BOX_SCALE: (…, 4)."""
    return boxes.float() / torch.tensor(BOX_SCALE, dtype=torch.float32, device=boxes.device)


def to_pixels(boxes: Tensor) -> Tensor:
    """Boxes / BOX_SCALE to pixels, as fine as they were predicted."""
    return boxes * torch.tensor(BOX_SCALE, dtype=torch.float32, device=boxes.device)


def mean_squared_error(predicted: Tensor, boxes: Tensor) -> float:
    """Over all balls and coordinates, scaled, of boxes in pixels."""
    return float((scaled(predicted) - scaled(boxes)).square().mean())


def pixel_error(predicted: Tensor, boxes: Tensor) -> float:
    """Mean distance of the centres of predicted and true boxes, px."""
    return float((centers(predicted) - centers(boxes)).norm(dim=-1).mean())


def centers(boxes: Tensor) -> Tensor:
    """(…, 2) x, y of boxes (…, 4)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def collides_at_the_end(boxes: Tensor) -> Tensor:
    """(n,) bool: whether a ball of the sequence changes its velocity in the last steps, of boxes (n, 20, 3, 4).

    It does where the second difference of its centre, at t = 17 or t = 18, is longer than COLLISION_PX: a
    bounce within 16 < t < 19, off a wall or a ball. The truth at t = 19 is looked at.
    """
    path = centers(boxes[:, -4:])  # t = 16 … 19
    bends = path[:, 2:] - 2 * path[:, 1:-1] + path[:, :-2]  # (n, 2, 3, 2)
    lengths: Tensor = torch.linalg.vector_norm(bends, dim=-1)  # (n, 2, 3)
    return (lengths > COLLISION_PX).flatten(1).any(dim=1)


def copy_last(boxes: Tensor, num_steps: int = 1) -> Tensor:
    """The last of the boxes (n, steps, 3, 4), `num_steps` times: (n, num_steps, 3, 4)."""
    return boxes[:, -1:].expand(-1, num_steps, -1, -1)


def extrapolate(boxes: Tensor, num_steps: int = 1) -> Tensor:
    """A straight line through the last two of the boxes (n, steps, 3, 4), gone on: (n, num_steps, 3, 4)."""
    steps = torch.arange(1, num_steps + 1, device=boxes.device)[None, :, None, None]
    return boxes[:, -1:] + steps * (boxes[:, -1:] - boxes[:, -2:-1])


def baselines(boxes: Tensor) -> dict[str, float]:
    """What copying the last box and a straight line reach on the boxes (n, 20, 3, 4), at t = 19 and rolled out."""
    seen, truth = boxes[:, :-1], boxes[:, -1:]
    start, rest = boxes[:, :ROLLOUT_START], boxes[:, ROLLOUT_START:]
    return {
        "copy_last_mse": mean_squared_error(copy_last(seen), truth),
        "linear_mse": mean_squared_error(extrapolate(seen), truth),
        "copy_last_rollout_mse": mean_squared_error(copy_last(start, rest.shape[1]), rest),
        "linear_rollout_mse": mean_squared_error(extrapolate(start, rest.shape[1]), rest),
    }
