"""The page of a checkpoint: what it gets wrong and right, and what it sees in pictures. One file, without a network.

Items and their groups are the task's (`ShowsExamples`); kernels and feature maps are read off any network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from balltrain.errors import BalltrainError, UsageError
from balltrain.reporting.certainty import certainty_sections, histograms
from balltrain.reporting.gallery import draw_rows
from balltrain.reporting.page import contents, definitions, note, page_html, section, table, write_page
from balltrain.reporting.shots import all_kernels, figure, first_kernels, shots, signed
from balltrain.reporting.text import short
from balltrain.tasks.base import NUM_EXAMPLES, Examples
from balltrain.training.outputs import examples_of, figures_of, outputs_of, tables_of
from balltrain.vision.projection import Layer, Projected, list_layers, project

if TYPE_CHECKING:
    from balltrain.data.cache import Dataset
    from balltrain.training.checkpoint import Loaded

PAGE = "index.html"
NUM_PICTURES = 4  # whose feature maps are shown
NUM_MAPS = 5  # of each of them, a row with the picture
NUM_PICTURES_OF_ONE = 12  # whose one chosen map is shown
SMALLEST_MAP = 6  # cells a side: the deepest layer with as many is shown unless told otherwise


def write_inspection(
    loaded: Loaded,
    dataset: Dataset,
    split: str,
    layer: str | None,
    device: torch.device,
    out: Path,
    *,
    chosen_map: int | None = None,
    num_examples: int = NUM_EXAMPLES,
) -> tuple[Path, str]:
    """Write the page into the folder `out`; returns its path and the name of the layer whose maps it shows.

    It shows the strongest maps of a few pictures, or the chosen one of more, and `num_examples` of each group.
    Raises UsageError where the model has no such layer or map, BalltrainError where the task is none of pictures
    or the page cannot be written.
    """
    task, hp = loaded.task, loaded.hp
    images = dataset.arrays.get("images")
    if images is None or images.ndim != 4 or images.shape[-1] != 3:
        raise BalltrainError(f"{task.name} is not learned from pictures: there is nothing to look at")
    outputs, targets = outputs_of(task, hp, loaded.model, dataset, split, device)
    metrics = figures_of(task, hp, outputs, targets)
    examples = examples_of(task, hp, outputs, targets)
    rows = dataset.splits[split]
    shown = _rows_for_maps(examples, NUM_PICTURES if chosen_map is None else NUM_PICTURES_OF_ONE)
    # picture by picture: in a batch the task may send those of another shape through the model by themselves
    runs = [_runner(loaded, dataset, rows[[row]], device) for row, _ in shown]
    layers = list_layers(loaded.model, runs[0]) if runs else []
    if not layers:
        raise BalltrainError(f"the model of {loaded.folder} has no feature maps to look at")
    chosen = _choose(layers, layer)
    if chosen_map is not None and not 0 <= chosen_map < chosen.shape[0]:
        raise UsageError(f"--map {chosen_map}: {chosen.name} has the maps 0 to {chosen.shape[0] - 1}")
    body = [
        _headline(loaded, split, len(rows), metrics),
        _figures(metrics),
        *(
            section(found.title[:1].upper() + found.title[1:], _matrix(found.rows, found.columns, found.values))
            for found in tables_of(task, outputs, targets, dataset.facts).values()
        ),
        *_groups(loaded, dataset, rows, examples, num_examples, device),
        section(f"Histogram: {examples.axis}", histograms(examples.histogram, examples.axis)),
        *([] if examples.certainty is None else certainty_sections(examples.certainty, examples.axis)),
        first_kernels(loaded.model),
        all_kernels(loaded.model),
        _maps(loaded.model, runs, chosen, chosen_map, [(images[rows[row]], text) for row, text in shown]),
        section(
            "Layers",
            note("Those with feature maps, by their end. --layer NAME shows the maps of another, --map NUMBER one."),
            table(
                ["name", "kind", "channels", "height", "width"],
                [[each.name, each.kind, *each.shape] for each in layers],
            ),
        ),
    ]
    sections = "\n".join(body[1:])
    page = page_html(f"{task.name} {loaded.folder}", "\n".join([body[0], contents(sections), sections]))
    return write_page(page, out / PAGE), chosen.name


def _rows_for_maps(examples: Examples, count: int) -> list[tuple[int, str]]:
    """The first of each group, then the second, until there are enough; no item twice."""
    found: dict[int, str] = {}
    for place in range(min(count, max(map(len, examples.groups.values()), default=0))):
        for group in examples.groups.values():
            if place < len(group):
                found.setdefault(*group[place])
    return list(found.items())[:count]


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
    loaded: Loaded, dataset: Dataset, rows: np.ndarray, examples: Examples, count: int, device: torch.device
) -> Iterable[str]:
    for title, whole in examples.groups.items():
        group = whole[:count]
        if not group:
            yield section(title, note("None."))
            continue
        pictures = _pictures(loaded, dataset, rows[[row for row, _ in group]], examples.drawn, device)
        captions = (text for _, text in group)
        yield section(title, shots(figure(p, c) for p, c in zip(pictures, captions, strict=True)))


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


def _maps(
    model: torch.nn.Module,
    runs: list[Callable[[], Any]],
    layer: Layer,
    chosen_map: int | None,
    pictures: list[tuple[np.ndarray, str]],
) -> str:
    title = f"Feature maps of {layer.name}" if chosen_map is None else f"Feature map {chosen_map} of {layer.name}"
    try:
        found = [project(model, layer.name, run, NUM_MAPS, chosen_map) for run in runs]
    except ValueError as error:
        return section(title, note(f"None: {error}."))
    size = f"{layer.name} ({layer.kind}, {layer.shape[0]} maps of {layer.shape[1]} x {layer.shape[2]})"
    strongest = f"the {found[0].maps.shape[1]} maps of {size} with the largest activations"
    said = (
        f"Of each picture {strongest if chosen_map is None else f'map {chosen_map} of {size}'}, "
        "and below each what of the picture "
        "it comes from: the map taken back to the image by transposed convolutions, unpooling to where the maxima "
        "were, and rectifying (Zeiler and Fergus, arXiv 1311.2901). Along shortcuts it comes back too. "
        "White in a map is its largest value, black zero and less; grey in a projection is zero."
    )
    rows = (_maps_of(each, *picture) for each, picture in zip(found, pictures, strict=True))
    return section(title, note(said), *rows)


def _maps_of(found: Projected, picture: np.ndarray, text: str) -> str:
    figures = [figure(picture, text)]
    for channel, map_, projection in zip(found.channels[0], found.maps[0], found.projections[0], strict=True):
        grey = (map_.clamp(min=0) / map_.max().clamp(min=1e-12) * 255).round().byte().numpy()
        figures.append(figure(grey, f"map {int(channel)}", signed(projection, projection.abs().quantile(0.995))))
    return shots(figures)
