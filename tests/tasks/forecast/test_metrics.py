"""Figures worked out by hand."""

import pytest
import torch

from balltrain.balls.world import BOX_SCALE
from balltrain.tasks.base import resolve
from balltrain.tasks.forecast.metrics import (
    baselines,
    centers,
    collides_at_the_end,
    copy_last,
    extrapolate,
    mean_squared_error,
    pixel_error,
)
from balltrain.tasks.forecast.task import task


def flying(speeds):
    """One sequence of three balls that move along x, `speeds` px a step from step to step: (1, 20, 3, 4)."""
    x = torch.cat([torch.zeros(1), torch.tensor(speeds, dtype=torch.float32).cumsum(0)])  # (20,)
    boxes = torch.tensor([10.0, 20.0, 20.0, 30.0]).repeat(20, 3, 1)
    boxes[..., 0] += x[:, None]
    boxes[..., 2] += x[:, None]
    return boxes[None]


def test_mse_is_over_balls_and_coordinates_scaled():
    truth = torch.zeros(2, 3, 4)
    predicted = truth.clone()
    predicted[0, 1] = torch.tensor(BOX_SCALE)  # off by one in each of 4 coordinates, of 24
    assert mean_squared_error(predicted, truth) == pytest.approx(4 / 24)


def test_pixel_error_is_the_distance_of_centres():
    truth = torch.tensor([[[10.0, 10, 20, 20], [0, 0, 10, 10]]])
    predicted = torch.tensor([[[13.0, 14, 23, 24], [-5, -5, 15, 15]]])  # 5 px off; twice as large, but centred
    assert pixel_error(predicted, truth) == pytest.approx(2.5)


def test_baselines():
    boxes = flying([1.0] * 19)
    unit = (1 / BOX_SCALE[0] ** 2 + 1 / BOX_SCALE[2] ** 2) / 4  # of one pixel along x
    found = baselines(boxes)
    assert found["linear_mse"] == found["linear_rollout_mse"] == pytest.approx(0, abs=1e-12)
    assert found["copy_last_mse"] == pytest.approx(unit, rel=1e-4)
    # frame 9 stands for frames 10 … 19: off by 1 … 10 px
    assert found["copy_last_rollout_mse"] == pytest.approx(unit * sum(k * k for k in range(1, 11)) / 10, rel=1e-4)


def test_simple_forecasts_go_on_from_the_last_boxes():
    boxes = flying([1.0] * 18 + [3.0])
    assert torch.equal(copy_last(boxes, 2), boxes[:, [-1, -1]])
    assert (centers(extrapolate(boxes, 2)) - centers(boxes[:, -1:]))[0, :, 0, 0].tolist() == [3, 6]


@pytest.mark.parametrize(
    ("speeds", "collides"),
    [
        ([2.0] * 19, False),
        ([2.0] * 18 + [-1.0], True),  # between t = 18 and t = 19
        ([2.0] * 17 + [-1.0] * 2, True),  # between t = 17 and t = 18
        ([2.0] * 16 + [-1.0] * 3, False),  # before
        ([2.0, 1.0] * 9 + [2.0], False),  # what rounding does
    ],
)
def test_collisions_are_bends_in_the_last_steps(speeds, collides):
    assert collides_at_the_end(flying(speeds)).tolist() == [collides]


def test_thorough_figures_split_by_collision_and_roll_out():
    boxes = torch.cat([flying([1.0] * 19), flying([1.0] * 18 + [-4.0])])
    outputs = {"boxes": boxes[:, -1].clone(), "rollout": boxes[:, 10:].clone()}
    outputs["boxes"][1] += 1
    outputs["rollout"][:, 0] += torch.tensor(BOX_SCALE)
    hp = resolve(task, {})
    brief = task.metrics(outputs, {"boxes": boxes}, hp, thorough=False)
    assert set(brief) == {"loss", *task.metric_names}
    found = task.metrics(outputs, {"boxes": boxes}, hp, thorough=True)
    assert found["no_collision_mse"] == 0
    assert found["collision_mse"] == pytest.approx(2 * found["mse"])
    assert found["loss"] == found["mse"]
    assert found["rollout_mse"] == pytest.approx(0.1)
    assert found["collision_share"] == 0.5


def test_a_rollout_sees_ten_frames_and_its_own_predictions():
    class Copy(torch.nn.Module):
        """Repeats the last boxes, one pixel further right; counts what it was shown."""

        seen = ()

        def forward(self, boxes, colors):
            self.seen += (boxes.shape[1],)
            return (boxes[:, -1] + torch.tensor([1.0, 0, 1, 0])) / torch.tensor(BOX_SCALE)

    model, boxes = Copy(), flying([1.0] * 10 + [0.0] * 9)
    outputs = task.predict_thorough(model, {"boxes": boxes, "colors": torch.zeros(1, 3)}, resolve(task, {}))
    assert model.seen[:10] == tuple(range(10, 20))
    expected = flying([1.0] * 19)
    torch.testing.assert_close(outputs["rollout"], expected[:, 10:], atol=1e-3, rtol=0)
    torch.testing.assert_close(outputs["boxes"], boxes[:, -2] + torch.tensor([1.0, 0, 1, 0]), atol=1e-3, rtol=0)
