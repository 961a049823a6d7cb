"""Every layer of the balls' originals and of RetinaNet: what it gives, and in which order they work.

Those of cats and dogs and of CIFAR-10 are in their own folders.
"""

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from balltrain.balls.world import IMAGE_SIZE
from balltrain.tasks import task_ref
from balltrain.tasks.base import resolve

# C a convolution, L a fully connected layer, R ReLU, T tanh, N batch norm, A and P average and max pooling, D dropout
LETTERS = {nn.Conv2d: "C", nn.Linear: "L", nn.Tanh: "T", nn.AvgPool2d: "A", nn.MaxPool2d: "P", nn.Dropout: "D"}
DETECT = (
    "C3 4x98x98, R, N, C3 4x96x96, R, N, C3 4x94x94, R, N, A 4x47x47, C5 16x43x43, R, N, C5 16x39x39, R, N, "
    "A 16x19x19, C5 32x19x19, R, N, C7 32x19x19, R, N, A 32x9x9, C5 64x9x9, R, N, L 45"
)
FORECAST = "L 512, T, D, L 256, T, D, L 128, T, D, L 128, T, D, L 12"
# of 3x320x256: a basic block's two convolutions, and where its shape changes that of its shortcut
RESNET18 = (
    "C7 64x160x128, N, R, P 64x80x64, C3 64x80x64, N, R, C3 64x80x64, N, R, C3 64x80x64, N, R, C3 64x80x64, N, R, "
    "C3 128x40x32, N, R, C3 128x40x32, N, C1 128x40x32, N, R, C3 128x40x32, N, R, C3 128x40x32, N, R, "
    "C3 256x20x16, N, R, C3 256x20x16, N, C1 256x20x16, N, R, C3 256x20x16, N, R, C3 256x20x16, N, R, "
    "C3 512x10x8, N, R, C3 512x10x8, N, C1 512x10x8, N, R, C3 512x10x8, N, R, C3 512x10x8, N, R"
)
# C3, C4 and C5 by 1x1 to 256 channels, merged from the coarsest down, then 3x3; P6 of C5, P7 of P6 by strides of 2
PYRAMID = (
    "C1 256x40x32, C1 256x20x16, C1 256x10x8, C3 256x40x32, C3 256x20x16, C3 256x10x8, C3 256x5x4, R, C3 256x3x2"
)
HEAD = "C3 256x{0}, R, C3 256x{0}, R, C3 256x{0}, R, C3 256x{0}, R, C3 {1}x{0}"


def model_of(name, facts, **values):
    task = task_ref(name).load()
    return task.build_model(resolve(task, values), facts).eval()


class Rectifiers(TorchFunctionMode):
    """Notes ReLUs, which are layers in one network and functions in another."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ("relu", "relu_"):
            self.seen.append("R")
        return output


def letter(module):
    if type(module).__name__.endswith("Norm2d") or type(module).__name__.startswith("FewChannels"):
        return "N"
    return LETTERS.get(type(module))


def layers_of(network, *inputs):
    """In the notation above, what works in `network`, in its order; the shape behind what changes one."""
    seen = []

    def note(module, _, output):
        shape = "x".join(str(side) for side in output.shape[1:])
        kernel = module.kernel_size[0] if isinstance(module, nn.Conv2d) else ""
        seen.append(f"{letter(module)}{kernel} {shape}" if letter(module) in "CLAP" else letter(module))

    hooks = [module.register_forward_hook(note) for module in network.modules() if letter(module)]
    with torch.inference_mode(), Rectifiers(seen):
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return ", ".join(seen)


def test_the_detector_of_the_balls():
    images = torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)
    model = model_of("detect", {}, model="reference")
    assert layers_of(model, images) == DETECT
    assert sum(parameter.numel() for parameter in model.parameters()) == 356_413


def test_the_forecaster_of_the_balls():
    model = model_of("forecast", {}, model="reference")
    assert layers_of(model, torch.zeros(1, 19, 3, 4), torch.zeros(1, 3, dtype=torch.uint8)) == FORECAST
    assert next(model.modules()).layers[0].in_features == 19 * 3 * 4 + 9


@pytest.fixture(scope="module")
def retinanet():
    return model_of(
        "coco", {"categories": [{"id": n, "name": str(n)} for n in range(5)], "image_size": 320}, model="reference"
    )


def test_the_resnet_of_retinanet(retinanet):
    assert layers_of(retinanet.backbone, torch.zeros(1, 3, 320, 256)) == RESNET18


def test_the_pyramid_and_the_heads_of_retinanet(retinanet):
    """The class head goes through the levels, then the box head: 9 anchors of 5 classes, or of 4 offsets."""
    levels = ("40x32", "20x16", "10x8", "5x4", "3x2")
    heads = [HEAD.format(level, channels) for channels in (45, 36) for level in levels]
    found = layers_of(retinanet, torch.zeros(1, 320, 256, 3, dtype=torch.uint8))
    assert found == ", ".join([RESNET18, PYRAMID, *heads])
