"""What the forecasters are told to be: shapes, symmetries, and where they start from."""

import itertools

import pytest
import torch
from torch import nn

from balltrain.balls.simulate import simulate
from balltrain.errors import UsageError
from balltrain.tasks.base import resolve
from balltrain.tasks.forecast.data import present_only
from balltrain.tasks.forecast.metrics import centers, extrapolate, scaled, to_pixels
from balltrain.tasks.forecast.model import MIDDLE, build_forecaster, mirrored
from balltrain.tasks.forecast.task import task

SEEN = 19


@pytest.fixture(scope="module")
def batch():
    sequences = simulate(24, seed=3)
    boxes, colors = present_only(sequences.presence, sequences.boxes)
    return {"boxes": torch.from_numpy(boxes), "colors": torch.from_numpy(colors)}


def hyperparameters(**values):
    return resolve(task, values)


def model_of(hp, *, trained=False):
    torch.manual_seed(0)
    model = task.build_model(hp, {}).eval()
    if trained:  # any weights, where those of an untrained model make a symmetry trivial
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.3)
    return model


def forecast(model, boxes, colors):
    return to_pixels(model(boxes, colors)).detach()


def turned(boxes, flip_x, flip_y, swap):
    """Boxes (…, 4) in one of the square's symmetries, written out coordinate by coordinate."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    if flip_x:
        x1, x2 = 2 * MIDDLE[0] - x2, 2 * MIDDLE[0] - x1
    if flip_y:
        y1, y2 = 2 * MIDDLE[1] - y2, 2 * MIDDLE[1] - y1
    if swap:
        shift = MIDDLE[0] - MIDDLE[1]
        x1, y1, x2, y2 = y1 + shift, x1 - shift, y2 + shift, x2 - shift
    return torch.stack([x1, y1, x2, y2], dim=-1)


SYMMETRIES = [(x, y, s) for x in (False, True) for y in (False, True) for s in (False, True)]
MODELS = [{}, {"colors": True}, {"symmetry": "none"}, {"residual": False}, {"model": "reference"}]


@pytest.mark.parametrize("values", MODELS)
def test_shapes_and_gradients(batch, values):
    hp = hyperparameters(**values)
    model = model_of(hp)
    assert model(batch["boxes"][:, :SEEN], batch["colors"]).shape == (24, 3, 4)
    task.loss(model, task.augment(batch, hp), hp).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("values", [{}, {"colors": True}, {"symmetry": "none"}])
def test_permuting_the_balls_permutes_the_forecast(batch, values):
    model = model_of(hyperparameters(**values), trained=True)
    order = [2, 0, 1]
    straight = forecast(model, batch["boxes"][:, :SEEN], batch["colors"])
    permuted = forecast(model, batch["boxes"][:, :SEEN, order], batch["colors"][:, order])
    torch.testing.assert_close(permuted, straight[:, order], atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_turning_the_square_turns_the_forecast(batch, symmetry):
    model = model_of(hyperparameters(), trained=True)
    boxes = batch["boxes"][:, :SEEN]
    moved = (centers(boxes[:, -1]) - centers(boxes[:, -4])).abs()
    # a ball that flies along an axis or a diagonal to the pixel has two frames
    clear = ((moved > 0).all(dim=-1) & (moved[..., 0] != moved[..., 1])).all(dim=1)
    assert clear.sum() > 5
    expected = turned(forecast(model, boxes, batch["colors"]), *symmetry)[clear]
    found = forecast(model, turned(boxes, *symmetry), batch["colors"])[clear]
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


def test_augmentation_draws_from_the_eight_symmetries(batch):
    torch.manual_seed(0)
    boxes = batch["boxes"].repeat(4, 1, 1, 1)
    candidates = torch.stack([turned(boxes, *symmetry) for symmetry in SYMMETRIES])  # (8, n, 20, 3, 4)
    same = (candidates - mirrored(boxes)).abs().flatten(2).amax(dim=2) < 1e-4  # (8, n)
    assert same.any(dim=0).all()
    assert same.any(dim=1).all()


def test_an_untrained_model_forecasts_a_straight_line(batch):
    boxes = batch["boxes"][:, :SEEN]
    found = forecast(model_of(hyperparameters()), boxes, batch["colors"])
    torch.testing.assert_close(centers(found), centers(extrapolate(boxes)[:, 0]), atol=1e-3, rtol=0)


def test_colours_matter_where_they_are_told(batch):
    boxes, colors = batch["boxes"][:, :SEEN], batch["colors"]
    for told in (False, True):
        model = model_of(hyperparameters(colors=told), trained=True)
        same = torch.equal(model(boxes, colors), model(boxes, 8 - colors))
        assert same is not told


def test_the_loss_counts_every_window(batch):
    hp = hyperparameters(windows=3)
    model = model_of(hp)
    errors = [
        (model(batch["boxes"][:, :step], batch["colors"]) - scaled(batch["boxes"][:, step])).square().mean()
        for step in (17, 18, 19)
    ]
    torch.testing.assert_close(task.loss(model, batch, hp), torch.stack(errors).mean())


def test_the_reference_is_the_originals(batch):
    hp = hyperparameters(model="reference")
    assert (hp.lr, hp.batch_size, hp.optimizer, hp.epochs) == (9.891933484569264e-05, 16, "adam", 400)
    model = model_of(hp)
    widths = [19 * 3 * 4 + 9, 512, 256, 128, 128, 12]
    expected = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 304_140
    assert [type(layer).__name__ for layer in model.layers].count("Dropout") == 4


def test_what_is_given_wins_over_the_references_defaults():
    hp = hyperparameters(model="reference", lr=0.5)
    assert (hp.lr, hp.batch_size) == (0.5, 16)
    assert resolve(task, hp.model_dump(mode="json")) == hp


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"history": 10, "windows": 11}, "history 10 \\+ windows 11 is more than a sequence's 20 steps"),
        ({"widths": [0]}, "a width in widths"),
        ({"history": 11}, "less than or equal to 10"),
    ],
)
def test_impossible_hyperparameters_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        hyperparameters(**values)


def test_the_reference_starts_as_the_original_does():
    """Glorot normal with the gain of tanh, and torch's own biases."""
    torch.manual_seed(0)
    for layer in build_forecaster(hyperparameters(model="reference")).modules():
        if isinstance(layer, nn.Linear):
            std = 5 / 3 * (2 / (layer.in_features + layer.out_features)) ** 0.5
            assert layer.weight.detach().std().item() == pytest.approx(std, rel=0.1)
            assert 0 < layer.bias.detach().abs().max().item() <= layer.in_features**-0.5


def test_a_reference_that_an_earlier_version_trained_goes_on_as_it_began():
    earlier = resolve(task, {"model": "reference"}).model_dump(mode="json")
    assert earlier.pop("dropout_epochs") == 1
    assert resolve(task, earlier).dropout_epochs is None


def test_dropout_of_the_reference_acts_in_the_first_epoch_alone():
    assert [hyperparameters(model="reference").in_training_mode(epoch) for epoch in (1, 2, 3)] == [True, False, False]
    every = hyperparameters(model="reference", dropout_epochs=None)
    assert every.in_training_mode(400)
    assert hyperparameters().in_training_mode(60)
