"""The originals have the numbers of parameters that are known of them; their regulariser is what it says."""

import math

import pytest
import torch
from torch import nn

from balltrain.errors import UsageError
from balltrain.tasks.base import resolve
from balltrain.tasks.catdogs.model import build_classifier
from balltrain.tasks.catdogs.task import task, weight_norm

COUNTS = {"classifier5": 2_205_602, "classifier5d": 2_205_602, "classifier7": 5_810_338, "vgg": 12_918_427}
SMALL_VGG = {"model": "vgg", "vgg_channels": ((4,), (8, 8)), "vgg_width": 16}


def build(**values):
    return build_classifier(resolve(task, values), {})


@pytest.mark.parametrize(("model", "count"), COUNTS.items())
def test_the_originals_have_their_number_of_parameters(model, count):
    assert sum(parameter.numel() for parameter in build(model=model).parameters()) == count


def test_channels_and_width_of_vgg_are_hyperparameters():
    network = build(**SMALL_VGG).network
    assert [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)] == [4, 8, 8]
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [16, 16, 2]
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in network) == 2


def test_classifier5d_has_tanh_where_classifier5_has_relu():
    kinds = [{type(layer) for layer in build(model=model).network} for model in ("classifier5", "classifier5d")]
    assert kinds[0] - kinds[1] == {nn.ReLU}
    assert kinds[1] - kinds[0] == {nn.Tanh}


@pytest.mark.parametrize("model", ["resnet", "classifier5", "classifier5d", "classifier7"])
def test_uint8_and_float_pictures_give_the_same_logits(model):
    network = build(model=model).eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        logits = network(images)
        assert logits.shape == (2, 2)
        assert torch.allclose(logits, network(images.permute(0, 3, 1, 2) / 255), atol=1e-5)


def test_resnet_takes_pictures_of_any_size():
    assert build(widths=(8, 16)).eval()(torch.zeros(2, 50, 81, 3, dtype=torch.uint8)).shape == (2, 2)


def test_originals_start_glorot_uniform_with_biases_of_zero():
    torch.manual_seed(0)
    for layer in build(model="classifier5").network:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            area = layer.weight[0, 0].numel()
            bound = math.sqrt(6 / (area * (layer.weight.shape[0] + layer.weight.shape[1])))
            assert 0.95 * bound < layer.weight.abs().max() <= bound
            assert layer.bias.abs().max() == 0


def test_l2_norm_is_added_to_the_loss_not_squared_and_without_biases():
    network = build(**SMALL_VGG)
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.01 if name.endswith("weight") else 7.0)
    weights = sum(parameter.numel() for name, parameter in network.named_parameters() if name.endswith("weight"))
    assert weight_norm(network).item() == pytest.approx(0.01 * math.sqrt(weights), rel=1e-3)
    batch = {"images": torch.zeros(2, 64, 64, 3, dtype=torch.uint8), "label": torch.tensor([0, 1])}
    plain, more = (task.loss(network, batch, resolve(task, {"l2_norm": weight})).item() for weight in (0, 0.5))
    assert more - plain == pytest.approx(0.005 * math.sqrt(weights), rel=2e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "classifier6"}, "model = \"classifier6\": should be 'resnet'"),
        ({"augmentation": "extreme"}, "augmentation = \"extreme\": should be 'none'"),
        ({"vgg_channels": [[8]] * 7}, "should have at most 6 items"),
        ({"vgg_channels": [[8], []]}, "each block of vgg_channels needs at least one convolution"),
        ({"vgg_channels": [[8], [0]]}, "should be greater than 0"),
        ({"widths": []}, "should have at least 1 item"),
        ({"l2_norm": -1}, "l2_norm = -1: should be greater than or equal to 0"),
    ],
)
def test_wrong_hyperparameters_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        resolve(task, values)
