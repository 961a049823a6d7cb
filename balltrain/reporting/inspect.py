"""The page of a checkpoint: what it gets wrong and right, and what it sees in pictures. One file, without a network.

Items and their groups are the task's (`ShowsExamples`); kernels and feature maps are read off any network.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from balltrain.errors import BalltrainError, UsageError
from balltrain.reporting.figures import titled_axis
from balltrain.reporting.gallery import draw_rows
from balltrain.reporting.page import (
    contents,
    definitions,
    figure_html,
    grid,
    note,
    page_html,
    section,
    table,
    write_page,
)
from balltrain.reporting.text import short
from balltrain.tasks.base import Examples
from balltrain.training.outputs import examples_of, figures_of, outputs_of, tables_of
from balltrain.vision.projection import Layer, Projected, first_convolution, list_layers, project

if TYPE_CHECKING:
    from balltrain.data.cache import Dataset
    from balltrain.training.checkpoint import Loaded

PAGE = "index.html"
NUM_BARS = 20
NUM_PICTURES = 4  # whose feature maps are shown
NUM_MAPS = 5  # of each of them, a row with the picture
MAX_KERNELS = 128
SMALLEST_MAP = 6  # cells a side: the deepest layer with as many is shown unless told otherwise
PIXELS_UP_TO = 128  # a picture of at most so many pixels a side is shown pixel by pixel, a larger one compressed
WEBP_QUALITY = 85


def write_inspection(
    loaded: Loaded, dataset: Dataset, split: str, layer: str | None, device: torch.device, out: Path
) -> tuple[Path, str]:
    """Write the page into the folder `out`; returns its path and the name of the layer whose maps it shows.

    Raises UsageError where the model has no such layer, BalltrainError where the task is none of pictures or the
    page cannot be written.
    """
    task, hp = loaded.task, loaded.hp
    images = dataset.arrays.get("images")
    if images is None or images.ndim != 4 or images.shape[-1] != 3:
        raise BalltrainError(f"{task.name} is not learned from pictures: there is nothing to look at")
    outputs, targets = outputs_of(task, hp, loaded.model, dataset, split, device)
    metrics = figures_of(task, hp, outputs, targets)
    examples = examples_of(task, hp, outputs, targets)
    rows = dataset.splits[split]
    shown = _rows_for_maps(examples)
    # picture by picture: in a batch the task may send those of another shape through the model by themselves
    runs = [_runner(loaded, dataset, rows[[row]], device) for row, _ in shown]
    layers = list_layers(loaded.model, runs[0]) if runs else []
    if not layers:
        raise BalltrainError(f"the model of {loaded.folder} has no feature maps to look at")
    chosen = _choose(layers, layer)
    body = [
        _headline(loaded, split, len(rows), metrics),
        _figures(metrics),
        *(
            section(found.title[:1].upper() + found.title[1:], _matrix(found.rows, found.columns, found.values))
            for found in tables_of(task, outputs, targets, dataset.facts).values()
        ),
        *_groups(loaded, dataset, rows, examples, device),
        section(f"Histogram: {examples.axis}", _histograms(examples)),
        _kernels(loaded.model),
        _maps(loaded.model, runs, chosen, [(images[rows[row]], text) for row, text in shown]),
        section(
            "Layers",
            note("Those with feature maps, by their end; --layer NAME shows the maps of another."),
            table(
                ["name", "kind", "channels", "height", "width"],
                [[each.name, each.kind, *each.shape] for each in layers],
            ),
        ),
    ]
    sections = "\n".join(body[1:])
    page = page_html(f"{task.name} {loaded.folder}", "\n".join([body[0], contents(sections), sections]))
    return write_page(page, out / PAGE), chosen.name


def _rows_for_maps(examples: Examples) -> list[tuple[int, str]]:
    """The first of each group, then the second, until there are enough; no item twice."""
    found: dict[int, str] = {}
    for place in range(max(map(len, examples.groups.values()), default=0)):
        for group in examples.groups.values():
            if place < len(group):
                found.setdefault(*group[place])
    return list(found.items())[:NUM_PICTURES]


def _runner(loaded: Loaded, dataset: Dataset, rows: np.ndarray, device: torch.device) -> Callable[[], Any]:
    """Sends these items through the model."""
    batch = {name: torch.from_numpy(array[rows]).to(device) for name, array in dataset.arrays.items()}
    return lambda: loaded.task.predict(loaded.model, batch, loaded.hp)


def _choose(layers: list[Layer], name: str | None) -> Layer:
    if name is None:
        projected = [layer for layer in layers if layer.projected] or layers
        large = [layer for layer in projected if min(layer.shape[1:]) >= SMALLEST_MAP]
        return (large or projected)[-1]
    for layer in layers:
        if layer.name == name:
            return layer
    raise UsageError(
        f"--layer {name!r} has no feature maps: choose one of {', '.join(layer.name for layer in layers)}"
    )


def _headline(loaded: Loaded, split: str, count: int, metrics: dict[str, float]) -> str:
    name = loaded.task.objective if loaded.task.objective in metrics else "loss"
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    margin = "" if low is None or high is None else f", with 95 % confidence from {short(low)} to {short(high)}"
    lead = f"{name} {short(metrics[name])} on {count} items of {split}{margin}."
    return (
        f"<header><p class=kicker>{escape(loaded.task.name)}</p><h1>{escape(str(loaded.folder))}</h1>"
        f"<p class=lead>{escape(lead)}</p></header>"
    )


def _figures(metrics: dict[str, float]) -> str:
    return section("Figures", definitions((name, short(value)) for name, value in metrics.items()))


def _matrix(rows: list[str], columns: list[str], values: list[list[float]]) -> str:
    return table(["", *columns], [[name, *cells] for name, cells in zip(rows, values, strict=True)])


def _groups(
    loaded: Loaded, dataset: Dataset, rows: np.ndarray, examples: Examples, device: torch.device
) -> Iterable[str]:
    for title, group in examples.groups.items():
        if not group:
            yield section(title, note("None."))
            continue
        pictures = _pictures(loaded, dataset, rows[[row for row, _ in group]], examples.drawn, device)
        captions = (text for _, text in group)
        yield section(title, _shots(_figure(p, c) for p, c in zip(pictures, captions, strict=True)))


def _pictures(
    loaded: Loaded, dataset: Dataset, rows: np.ndarray, drawn: bool, device: torch.device
) -> list[np.ndarray]:
    """(height, width, 3) uint8 each: as the task draws its predictions, where it can and is to, else as they are."""
    if drawn:
        try:
            with tempfile.TemporaryDirectory(prefix="balltrain-inspect-") as folder:
                paths = draw_rows(loaded, dataset, rows, Path(folder), device)
                return [np.asarray(Image.open(path).convert("RGB")) for path in paths]
        except BalltrainError:
            pass  # it has no public format, or predicts from no files
    return list(dataset.arrays["images"][rows])


def _histograms(examples: Examples) -> str:
    """A figure for each name, all with the same bins."""
    values = [value for each in examples.histogram.values() for value in each]
    edges = np.histogram_bin_edges(values, NUM_BARS)
    figures = []
    for number, (name, each) in enumerate(examples.histogram.items()):
        bars = {
            "type": "bar",
            "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
            "y": np.histogram(each, edges)[0].tolist(),
            "marker": {"color": f"@{number}"},
            "hovertemplate": "%{x:.3g}: %{y}<extra></extra>",
        }
        axes = {
            "xaxis": {**titled_axis(f"{examples.axis}, {name}"), "range": [edges[0], edges[-1]]},
            "yaxis": titled_axis("items"),
        }
        figures.append(figure_html([bars], {**axes, "bargap": 0.05}, 280))
    return grid(figures)


def _kernels(model: torch.nn.Module) -> str:
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
    return section(
        title,
        _shots((_figure(_signed(kernel, kernel.abs().max())) for kernel in weight[:MAX_KERNELS]), "tiny"),
        note(said),
    )


def _maps(
    model: torch.nn.Module, runs: list[Callable[[], Any]], layer: Layer, pictures: list[tuple[np.ndarray, str]]
) -> str:
    title = f"Feature maps of {layer.name}"
    try:
        found = [project(model, layer.name, run, NUM_MAPS) for run in runs]
    except ValueError as error:
        return section(title, note(f"None: {error}."))
    said = (
        f"Of each picture the {found[0].maps.shape[1]} maps of {layer.name} ({layer.kind}, {layer.shape[0]} maps of "
        f"{layer.shape[1]} x {layer.shape[2]}) with the largest activations, and below each what of the picture "
        "it comes from: the map taken back to the image by transposed convolutions, unpooling to where the maxima "
        "were, and rectifying (Zeiler and Fergus, arXiv 1311.2901). Along shortcuts it comes back too. "
        "White in a map is its largest value, black zero and less; grey in a projection is zero."
    )
    shots = (_maps_of(each, *picture) for each, picture in zip(found, pictures, strict=True))
    return section(title, note(said), *shots)


def _maps_of(found: Projected, picture: np.ndarray, text: str) -> str:
    figures = [_figure(picture, text)]
    for channel, map_, projection in zip(found.channels[0], found.maps[0], found.projections[0], strict=True):
        grey = (map_.clamp(min=0) / map_.max().clamp(min=1e-12) * 255).round().byte().numpy()
        figures.append(_figure(grey, f"map {int(channel)}", _signed(projection, projection.abs().quantile(0.995))))
    return _shots(figures)


def _signed(values: torch.Tensor, largest: torch.Tensor) -> np.ndarray:
    """(height, width, 3) uint8 of (3, height, width) values of both signs up to `largest`: grey is zero."""
    scaled = (values / largest.clamp(min=1e-12) / 2 + 0.5).clamp(0, 1)
    return (scaled * 255).round().byte().permute(1, 2, 0).numpy()


def _shots(figures: Iterable[str], kind: str = "") -> str:
    return f'<div class="shots {kind}">{"".join(figures)}</div>'


def _figure(picture: np.ndarray, caption: str = "", below: np.ndarray | None = None) -> str:
    images = "".join(_image(each, caption) for each in (picture, below) if each is not None)
    return f"<figure>{images}{caption and f'<figcaption>{escape(caption)}</figcaption>'}</figure>"


def _image(pixels: np.ndarray, text: str) -> str:
    """Few pixels are enlarged as squares by the page, and stay small in it."""
    small = max(pixels.shape[:2]) <= PIXELS_UP_TO
    content = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(content, "png", optimize=True) if small else image.save(content, "webp", quality=WEBP_QUALITY)
    data = f"data:image/{'png' if small else 'webp'};base64,{base64.b64encode(content.getvalue()).decode()}"
    return f'<img{" class=pixels" if small else ""} alt="{escape(text)}" src="{data}">'
