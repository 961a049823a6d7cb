"""`balltrain model`."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from balltrain.api.arguments import Data
from balltrain.cli.completion import task_names
from balltrain.cli.options import Json, knobs, with_options
from balltrain.cli.output import print_json, stdout
from balltrain.search.sweep import Sweep


@with_options(knobs(Sweep, "hyperparameters"), knobs(Data))
def model(
    task: Annotated[
        str,
        typer.Argument(help="Task's name, or a Python file with one.", autocompletion=task_names, show_default=False),
    ],
    json_: Json = False,
    **options: Any,
) -> None:
    """Show a model's layers: output shapes, parameters, bytes and MFLOP.

    A model that depends on its data, such as coco's, is shown for the data of --source.
    """
    from balltrain.reporting.terminal.network import print_network
    from balltrain.tasks import task_ref
    from balltrain.training.network import describe_network

    hyperparameters = options.pop("hyperparameters", {})
    data = Data(**options)
    found = describe_network(task_ref(task), hyperparameters, data.request(0), data.folder)
    print_json(dataclasses.asdict(found)) if json_ else print_network(found, stdout())
