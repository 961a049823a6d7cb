"""The originals are the networks of their assignment: layers, order, numbers, beginnings and loss."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from balltrain.errors import UsageError
from balltrain.tasks.base import resolve
from balltrain.tasks.catdogs.model import build_classifier, weight_norm
from balltrain.tasks.catdogs.task import task

COUNTS = {"classifier5": 2_205_602, "classifier5d": 2_205_602, "classifier7": 5_810_338, "vgg": 12_918_427}
SMALL_VGG = {"model": "vgg", "vgg_layers": [4, "M", 8, 8, "M"], "vgg_width": 16}

# each layer with its output's shape without the batch, as the assignment has it: C a convolution, P a pooling,
# R ReLU, T tanh, S softmax, L a fully connected layer; the kernel of a convolution behind it
TO_THE_LAST_OF_5 = (
    "C5 16x64x64, R, P 16x32x32, C5 32x32x32, R, P 32x16x16, C5 64x16x16, R, P 64x8x8, C3 128x8x8, R, C3 256x8x8, R, "
    "P 256x4x4, C3 256x4x4, R, P 256x2x2, C3 512x2x2"
)
LAYERS = {
    "classifier5": f"{TO_THE_LAST_OF_5}, P 512x1x1, L 2",
    "classifier5d": f"{TO_THE_LAST_OF_5}, T, P 512x1x1, L 2, R, S",
    "classifier7": (
        "C5 16x64x64, R, P 16x32x32, C5 32x32x32, R, P 32x16x16, C5 64x16x16, R, P 64x8x8, C3 128x8x8, R, "
        "C3 256x8x8, R, P 256x4x4, C3 512x4x4, R, L 512, R, L 2"
    ),
    "vgg": (
        "C3 50x64x64, R, P 50x32x32, C3 100x32x32, R, P 100x16x16, C3 150x16x16, R, C3 200x16x16, R, P 200x8x8, "
        "C3 250x8x8, R, C3 300x8x8, R, C3 350x8x8, R, P 350x4x4, C3 400x4x4, R, C3 450x4x4, R, P 450x2x2, "
        "C3 500x2x2, R, C3 525x2x2, R, P 525x1x1, C3 550x1x1, R, L 500, R, L 500, R, L 2"
    ),
}
NAMES = {nn.ReLU: "R", nn.Tanh: "T", nn.Softmax: "S", nn.Linear: "L", nn.MaxPool2d: "P"}


def build(**values):
    return build_classifier(resolve(task, values), {})


def layers_of(network, images):
    """In the notation of LAYERS, what the network does to a batch, in the order in which it is done."""
    seen = []

    def note(module, _, output):
        shape = "x".join(str(side) for side in output.shape[1:])
        if isinstance(module, nn.Conv2d):
            assert (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
            seen.append(f"C{module.kernel_size[0]} {shape}")
        elif isinstance(module, nn.MaxPool2d):
            assert (module.kernel_size, module.stride, module.padding) == (2, 2, 0)
            seen.append(f"P {shape}")
        elif isinstance(module, nn.Linear):
            seen.append(f"L {shape}")
        elif type(module) in NAMES:
            seen.append(NAMES[type(module)])

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with torch.inference_mode():
        network(images)
    for hook in hooks:
        hook.remove()
    return ", ".join(seen)


@pytest.mark.parametrize(("model", "count"), COUNTS.items())
def test_the_originals_have_their_number_of_parameters(model, count):
    assert sum(parameter.numel() for parameter in build(model=model).parameters()) == count


@pytest.mark.parametrize("model", LAYERS)
def test_every_layers_output_shape_and_the_order_of_operations(model):
    assert layers_of(build(model=model), torch.zeros(1, 64, 64, 3, dtype=torch.uint8)) == LAYERS[model]


@pytest.mark.parametrize("model", ["classifier5", "classifier5d", "classifier7"])
def test_the_networks_compute_what_the_description_says_written_out(model):
    torch.manual_seed(0)
    network = build(model=model)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    weights = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in weights:
        nn.init.uniform_(layer.bias, -1, 1)

    def conv(x, number):
        layer = weights[number]
        return F.conv2d(x, layer.weight, layer.bias, padding=(layer.kernel_size[0] - 1) // 2)

    def full(x, number):
        return x @ weights[number].weight.T + weights[number].bias

    x = images.permute(0, 3, 1, 2).float()  # 0 to 255
    for number in range(3):
        x = F.max_pool2d(conv(x, number).relu(), 2)
    x = F.max_pool2d(conv(conv(x, 3).relu(), 4).relu(), 2)
    if model == "classifier7":
        expected = full(full(conv(x, 5).relu().flatten(1), 6).relu(), 7)
    else:
        x = conv(F.max_pool2d(conv(x, 5).relu(), 2), 6)
        x = F.max_pool2d(x.tanh() if model == "classifier5d" else x, 2).flatten(1)
        expected = full(x, 7)
        expected = expected.relu().softmax(1) if model == "classifier5d" else expected
    with torch.inference_mode():
        assert torch.allclose(network(images), expected, rtol=1e-4, atol=1e-4)


def test_the_last_layer_of_vgg_is_of_what_its_list_leaves():
    assert layers_of(build(**SMALL_VGG), torch.zeros(1, 3, 64, 64)) == (
        "C3 4x64x64, R, P 4x32x32, C3 8x32x32, R, C3 8x32x32, R, P 8x16x16, L 16, R, L 16, R, L 2"
    )
    without_a_pool = build(model="vgg", vgg_layers=["M", "M", "M", "M", "M", "M", 2], vgg_width=3)
    assert layers_of(without_a_pool, torch.zeros(1, 3, 64, 64)).endswith("P 3x1x1, C3 2x1x1, R, L 3, R, L 3, R, L 2")


@pytest.mark.parametrize("model", ["resnet", *LAYERS])
def test_uint8_and_float_pictures_give_the_same_logits(model):
    network = build(model=model).eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        logits = network(images)
        assert logits.shape == (2, 2)
        assert torch.allclose(logits, network(images.permute(0, 3, 1, 2) / 255), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("pixels", "largest"), [(255, 255.0), (1, 1.0)])
def test_the_originals_see_values_up_to_that_of_pixels(pixels, largest):
    network = build(model="classifier5", pixels=pixels)
    seen = []
    first = next(layer for layer in network if isinstance(layer, nn.Conv2d))
    first.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[0, 0, 0, 0] = 255
    network(image)
    assert (float(seen[0].min()), float(seen[0].max())) == (0.0, largest)


def test_resnet_takes_pictures_of_any_size():
    assert build(widths=(8, 16)).eval()(torch.zeros(2, 50, 81, 3, dtype=torch.uint8)).shape == (2, 2)


@pytest.mark.parametrize("model", LAYERS)
def test_originals_start_glorot_uniform_with_biases_of_zero(model):
    torch.manual_seed(0)
    for layer in build(model=model):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            area = layer.weight[0, 0].numel()
            bound = math.sqrt(6 / (area * (layer.weight.shape[0] + layer.weight.shape[1])))
            assert 0.95 * bound < layer.weight.abs().max() <= bound
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
            assert layer.bias.abs().max() == 0


def test_the_loss_by_hand():
    """Mean cross-entropy, and the root of the sum of the squares of all weights together, without biases."""
    network = build(**SMALL_VGG)
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.01 if name.endswith("weight") else 7.0)
    weights = sum(parameter.numel() for name, parameter in network.named_parameters() if name.endswith("weight"))
    norm = math.sqrt(weights * 0.01**2)
    assert weight_norm(network).item() == pytest.approx(norm, rel=1e-4)
    batch = {"images": torch.zeros(4, 64, 64, 3, dtype=torch.uint8), "label": torch.tensor([0, 1, 1, 1])}
    with torch.no_grad():
        network[-1].bias[:] = torch.tensor([0.0, 1.0])
    logits = network(batch["images"])[0].tolist()
    of_cat, of_dog = (math.log(sum(math.exp(other) for other in logits)) - each for each in logits)
    for regularization in (0.0, 0.5):
        loss = task.loss(network, batch, resolve(task, {**SMALL_VGG, "regularization": regularization})).item()
        assert loss == pytest.approx((of_cat + 3 * of_dog) / 4 + regularization * norm, rel=1e-4)


def test_cross_entropy_of_classifier5d_is_of_its_softmax():
    network = build(model="classifier5d")
    batch = {"images": torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8), "label": torch.tensor([0, 1, 1])}
    probabilities = network(batch["images"])
    assert torch.allclose(probabilities.sum(1), torch.ones(3))
    p = probabilities[range(3), batch["label"]].tolist()
    expected = sum(math.log(math.exp(x) + math.exp(1 - x)) - x for x in p) / 3
    loss = task.loss(network, batch, resolve(task, {"model": "classifier5d", "regularization": 0}))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "classifier6"}, "model = \"classifier6\": should be 'resnet'"),
        ({"augmentation": "extreme"}, "augmentation = \"extreme\": should be 'normal'"),
        ({"pixels": 128}, "pixels = 128: should be 255 or 1"),
        ({"vgg_layers": [8, *["M"] * 7]}, "has 7 poolings, but at most 6 fit: each halves the picture, of 64 pixels"),
        ({"vgg_layers": ["M", "M"]}, r'"M"\]: should have at least one convolution, such as \[50, "M", 100\]'),
        ({"vgg_layers": []}, r"vgg_layers = \[\]: should have at least one convolution"),
        ({"vgg_layers": [8, 0]}, '0 should be the channels of a convolution, at least 1, or "M", a pooling'),
        ({"vgg_layers": [8, "P"]}, "'P' should be the channels of a convolution"),
        ({"vgg_layers": [[8], 8]}, r"\[8\] should be the channels of a convolution"),
        ({"vgg_layers": [True]}, "True should be the channels of a convolution"),
        ({"vgg_layers": "M"}, 'vgg_layers = "M": should be a list, such as'),
        ({"vgg_width": 0}, "should be greater than or equal to 1"),
        ({"vgg_channels": [[8]]}, r'no vgg_channels any more: give vgg_layers, such as \[50, "M", 100, "M"\]'),
        ({"widths": []}, "should have at least 1 item"),
        ({"regularization": -1}, "regularization = -1: should be greater than or equal to 0"),
    ],
)
def test_wrong_hyperparameters_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        resolve(task, values)
