"""`balltrain data build`, `balltrain data show` and `balltrain data export`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from balltrain.api.arguments import Data
from balltrain.cli.completion import task_names
from balltrain.cli.options import Json, Seed, knobs, with_options
from balltrain.cli.output import print_json
from balltrain.cli.shape import CONTEXT, Command, Group
from balltrain.errors import UsageError
from balltrain.search.sweep import Sweep

data = typer.Typer(
    cls=Group,
    help="Build a task's data, show it, or export it in its public format.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)

TaskName = Annotated[
    str, typer.Argument(help="Task's name, or a Python file with one.", autocompletion=task_names, show_default=False)
]


@data.command("build", cls=Command, context_settings=CONTEXT)
@with_options(knobs(Data))
def build(
    task: TaskName,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Build anew what is there already.")] = False,
    json_: Json = False,
    **options: Any,
) -> None:
    """Decode, generate or download a task's data into the cache.

    Training builds missing data too, but downloads nothing.
    """
    from balltrain.data.cache import load_data
    from balltrain.tasks import task_ref
    from balltrain.tasks.splits import SPLITS

    given, ref = Data(**options), task_ref(task)
    start = time.monotonic()
    dataset = load_data(ref, ref.load(), given.request(seed), given.folder, fetch=True, anew=force)
    counts = {name: len(dataset.splits[name]) for name in SPLITS}
    seconds = round(time.monotonic() - start, 3)
    if json_:
        summary = {"task": ref.name, "folder": str(dataset.folder), "items": len(dataset), "splits": counts}
        notes = dataset.facts.get("notes", [])
        print_json({**summary, "fingerprint": dataset.fingerprint, "seconds": seconds, "notes": notes})
        return
    splits = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{len(dataset)} items ({splits}) in {seconds:.1f} s: {dataset.folder}")


@data.command("show", cls=Command, context_settings=CONTEXT)
@with_options(knobs(Sweep, "hyperparameters"), knobs(Data))
def show(
    task: TaskName,
    out: Annotated[Path, typer.Option(help="Folder for the page, index.html.", show_default=False)],
    seed: Seed = 0,
    json_: Json = False,
    **options: Any,
) -> None:
    """Draw a page of samples with their labels, and of the same samples augmented eight times."""
    from balltrain.data.cache import load_data
    from balltrain.reporting.samples import write_samples
    from balltrain.tasks import task_ref
    from balltrain.tasks.base import resolve

    values = options.pop("hyperparameters", {})
    given, ref = Data(**options), task_ref(task)
    found = ref.load()
    hp = resolve(found, values)
    dataset = load_data(ref, found, given.request(seed), given.folder)
    page = write_samples(found, hp, dataset, seed, out)
    if json_:
        print_json({"task": ref.name, "page": str(page), "items": len(dataset), "fingerprint": dataset.fingerprint})
        return
    print(page)


@data.command("export", cls=Command, context_settings=CONTEXT)
@with_options(knobs(Data, "size", "data_dir"))
def export(
    task: TaskName,
    folder: Annotated[Path, typer.Argument(help="Folder for the files.", show_default=False)],
    format_: Annotated[
        str | None, typer.Option("--format", help="Format: coco, for detect.", show_default="the task's own")
    ] = None,
    seed: Seed = 0,
    **options: Any,
) -> None:
    """Write the built-in data in the task's public format, or in another's."""
    from balltrain.data.cache import load_data
    from balltrain.tasks import task_ref
    from balltrain.tasks.protocols import ExportsFormats, exporting
    from balltrain.tasks.splits import SPLITS

    given, ref = Data(**options), task_ref(task)
    found = ref.load()
    if format_ is not None and format_ not in found.export_formats:
        known = ", ".join(found.export_formats)
        hint = f"choose {known}, or leave it out" if known else "leave it out, there is one alone"
        raise UsageError(f"{ref.name} has no --format {format_!r}: {hint}")
    if format_ is None:
        exporting(found)  # before its data is made
    request = given.request(seed)
    dataset = load_data(ref, found, request, given.folder)
    if format_ is not None and isinstance(found, ExportsFormats):
        splits = {name: dataset.splits[name] for name in SPLITS}
        lines = found.export_as(format_, folder, dataset.arrays, splits)
    else:
        lines = exporting(found).export(request, folder, dataset.arrays)
    for line in lines:
        print(line)
