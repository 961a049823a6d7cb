"""What the layers of a network saw in a picture: their feature maps, and these projected back to the image.

The projection is that of Zeiler and Fergus (arXiv 1311.2901). From a feature map down to the image every layer is
taken back: a convolution by the transposed one with the same filters, a max pooling by placing each value where the
maximum was (its switches), an activation by rectifying the signal that comes back. But for the rectifying, that is
what differentiation does (section 2.1 there, and Simonyan et al., arXiv 1312.6034, section 4), so it is left to
autograd with the activations' gradients replaced; a network need not be a chain of layers then: along a shortcut the
signal comes back too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# activations whose values are positive, or nearly so: as are then the valid signals on the way back
RECTIFYING = {"celu", "elu", "gelu", "hardswish", "leaky_relu", "mish", "prelu", "relu", "relu6", "selu", "sigmoid"}
RECTIFYING |= {"silu", "softplus"}
UNCHANGED = {"hardtanh", "softsign", "tanh"}  # of both signs: the signal passes as it is


@dataclass(frozen=True)
class Layer:
    """A layer whose output is feature maps, and whether they can be projected: they follow from the image."""

    name: str
    kind: str
    shape: tuple[int, int, int]  # channels, height, width
    projected: bool


@dataclass(frozen=True)
class Projected:
    """The strongest feature maps of a layer for some pictures, the strongest first.

    `channels` (pictures, k) are their numbers, `maps` (pictures, k, height, width), and `projections`
    (pictures, k, 3, image height, image width) the maps taken back to the image.
    """

    channels: Tensor
    maps: Tensor
    projections: Tensor


def list_layers(model: nn.Module, run: Callable[[], Any]) -> list[Layer]:
    """The layers with feature maps, in the order in which they end; `run` sends a batch through the model."""
    found: dict[str, Layer] = {}

    def note(name: str, module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            channels, height, width = output.shape[1:]
            shape = (channels, height, width)
            found.setdefault(name, Layer(name, type(module).__name__, shape, output.requires_grad))

    _trace(model, run, note)
    return list(found.values())


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """The first one that looks at an image of three channels; None where there is none."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            return name, module
    return None


def convolutions(model: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    """All of them, by name, in the order in which they are part of the model."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]


def project(
    model: nn.Module, layer: str, run: Callable[[], Any], num_maps: int, chosen_map: int | None = None
) -> Projected:
    """The `num_maps` feature maps of `layer` with the largest activations, or the chosen one, and their projections.

    `run` sends a batch of pictures through the model, which is in eval mode. All other maps of the layer are set to
    zero, as in the paper, and of the map itself what is positive is projected. Raises ValueError where the layer
    does not come after the convolution that looks at the image.
    """
    seen: dict[str, Tensor] = {}

    def note(name: str, _: nn.Module, output: Any) -> None:
        if name == layer:
            seen.setdefault("maps", output)

    image = _trace(model, run, note)
    if image is None:
        raise ValueError("the model has no convolution that looks at an image of three channels")
    maps = seen["maps"]  # (n, channels, h, w); `image` (n, 3, height, width)
    if not maps.requires_grad:
        raise ValueError(f"{layer} does not follow from the convolution that looks at the image")
    strength = maps.detach().amax(dim=(2, 3))
    if chosen_map is None:
        channels = strength.topk(min(num_maps, maps.shape[1]), dim=1).indices  # (n, k)
    else:
        channels = torch.full((len(maps), 1), chosen_map, device=maps.device)
    rows = torch.arange(len(maps), device=maps.device)
    projections = []
    for chosen in channels.T:
        signal = torch.zeros_like(maps)
        signal[rows, chosen] = maps.detach()[rows, chosen].relu()
        (back,) = torch.autograd.grad(maps, image, signal, retain_graph=True)
        projections.append(back)
    shown = maps.detach()[rows[:, None], channels]
    return Projected(channels.cpu(), shown.float().cpu(), torch.stack(projections, dim=1).float().cpu())


def _trace(model: nn.Module, run: Callable[[], Any], note: Callable[[str, nn.Module, Any], None]) -> Tensor | None:
    """Runs with the image that the first convolution looks at as what gradients are taken of, and returns it.

    `note` is told name, module and output of each layer as it ends.
    """
    seen: list[Tensor] = []

    def enter(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if seen:  # a second look, at its mirror image
            return None
        # what the network is given may be whole numbers, or be moved and scaled first: this is the image it works on
        seen.append(inputs[0].detach().clone().requires_grad_())
        return (seen[0], *inputs[1:])

    entrance = first_convolution(model)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: note(name, module, output))
        for name, module in model.named_modules()
        if name
    ]
    if entrance is not None:
        hooks.append(entrance[1].register_forward_pre_hook(enter))
    try:
        model.requires_grad_(False)  # what then has a gradient has it from the image
        with torch.enable_grad(), _Rectified():
            run()
    finally:
        for parameter in learned:
            parameter.requires_grad_()
        for hook in hooks:
            hook.remove()
    return seen[0] if seen else None


class _Rectified(TorchFunctionMode):
    """Activations work as ever, and on the way back rectify the signal instead of weighting it by their slope."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "").rstrip("_")
        if name not in RECTIFYING | UNCHANGED:
            return func(*args, **kwargs)
        kwargs.pop("inplace", None)  # what comes before is another layer's map
        with torch.no_grad():
            output = func(args[0].detach().clone(), *args[1:], **kwargs)
        return _rectified(args[0], output, name in RECTIFYING)


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, output: Tensor, rectifies: bool) -> Tensor:
        ctx.rectifies = rectifies
        return output.clone()

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None]:
        return (signal.relu() if ctx.rectifies else signal), None, None


_rectified: Callable[[Tensor, Tensor, bool], Tensor] = _Activation.apply  # whose type torch leaves open
