"""Pictures within a page, and weights as pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape

import numpy as np
import torch
from PIL import Image
from torch import nn

from balltrain.reporting.page import note, section
from balltrain.vision.projection import convolutions, first_convolution

MAX_KERNELS = 128  # of the first layer, each a picture
MAX_MAPS = 32  # of each other layer, in and out, whose kernels are shown
PIXELS_UP_TO = 128  # a picture of at most so many pixels a side is shown pixel by pixel, a larger one compressed
WEBP_QUALITY = 85
GAP_RGB = (110, 150, 215)  # between kernels, which are grey


def shots(figures: Iterable[str], kind: str = "") -> str:
    """Figures beside each other."""
    return f'<div class="shots {kind}">{"".join(figures)}</div>'


def figure(picture: np.ndarray, caption: str = "", below: np.ndarray | None = None, *, pixels: bool = False) -> str:
    """A picture with its caption, and another one below it."""
    images = "".join(_image(each, caption, pixels) for each in (picture, below) if each is not None)
    return f"<figure>{images}{caption and f'<figcaption>{escape(caption)}</figcaption>'}</figure>"


def signed(values: torch.Tensor, largest: torch.Tensor) -> np.ndarray:
    """(height, width, 3) uint8 of (3, height, width) values of both signs up to `largest`: grey is zero."""
    scaled = (values / largest.clamp(min=1e-12) / 2 + 0.5).clamp(0, 1)
    return (scaled * 255).round().byte().permute(1, 2, 0).numpy()


def first_kernels(model: nn.Module) -> str:
    """The section of those that look at an image, in colour."""
    title = "First-layer kernels"
    found = first_convolution(model)
    if found is None:
        return section(title, note("None: no convolution of the model looks at an image of three channels."))
    name, convolution = found
    weight = convolution.weight.detach().float().cpu()
    size = f"{weight.shape[2]} x {weight.shape[3]}"
    said = f"The {len(weight)} of {name}, {size} pixels, each scaled by its largest weight; grey is zero."
    if len(weight) > MAX_KERNELS:
        said += f" The first {MAX_KERNELS} are shown."
    kernels = (figure(signed(kernel, kernel.abs().max())) for kernel in weight[:MAX_KERNELS])
    return section(title, shots(kernels, "tiny"), note(said))


def all_kernels(model: nn.Module) -> str:
    """The section of every convolution, a picture each."""
    found = convolutions(model)
    if not found:
        return ""
    said = (
        "Of each convolution a row for each of its maps and a column for each map that it looks at: white where the "
        "weight is positive, black where it is negative, grey where it is zero. Each row is scaled by its largest "
        f"weight. Of layers with more than {MAX_MAPS} maps the first {MAX_MAPS} are shown."
    )
    figures = []
    for name, convolution in found:
        weight = convolution.weight.detach().float().cpu()
        out, into, height, width = weight.shape
        caption = f"{name}: {out} x {into} of {height} x {width}"
        figures.append(figure(mosaic(weight[:MAX_MAPS, :MAX_MAPS]), caption, pixels=True))
    return section("Kernels of every layer", note(said), shots(figures, "large"))


def mosaic(weight: torch.Tensor) -> np.ndarray:
    """Kernels (out, in, height, width) as one picture (…, …, 3) uint8, with a line between any two."""
    out, into, height, width = weight.shape
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    grey = ((weight / largest / 2 + 0.5) * 255).round().byte()
    framed = torch.tensor(GAP_RGB, dtype=torch.uint8).repeat(out, into, height + 1, width + 1, 1)
    framed[:, :, :height, :width] = grey[..., None]
    picture = framed.permute(0, 2, 1, 3, 4).reshape(out * (height + 1), into * (width + 1), 3)
    return picture[:-1, :-1].numpy()


def _image(pixels: np.ndarray, text: str, exact: bool) -> str:
    """Few pixels are enlarged as squares by the page, and stay small in it."""
    small = exact or max(pixels.shape[:2]) <= PIXELS_UP_TO
    content = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(content, "png", optimize=True) if small else image.save(content, "webp", quality=WEBP_QUALITY)
    data = f"data:image/{'png' if small else 'webp'};base64,{base64.b64encode(content.getvalue()).decode()}"
    return f'<img{" class=pixels" if small else ""} alt="{escape(text)}" src="{data}">'
