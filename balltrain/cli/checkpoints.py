"""`balltrain evaluate`, `inspect` and `predict`: what a checkpoint is worth, sees and says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from balltrain.api.arguments import Data
from balltrain.cli.options import Json, knob_info, knobs, with_options
from balltrain.cli.output import print_json, stdout
from balltrain.errors import UsageError

Checkpoint = Annotated[
    Path, typer.Argument(help="Folder of a checkpoint, such as runs/NAME/best.", show_default=False)
]
Split = Annotated[
    str | None,
    typer.Option(help="Split: train, val or test.", show_default="val; of another --source all"),
]
With = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        metavar="CHECKPOINT",
        help="Another checkpoint, to decide together with the first. Repeatable.",
        show_default=False,
    ),
]
VoteOf = Annotated[
    str, typer.Option(help="Way that several checkpoints decide: mean (of their probabilities) or majority.")
]
State = Annotated[
    str,
    typer.Option(help="Epoch whose weights are taken: best (by the objective) or smallest-loss, for catdogs."),
]
DATA = knobs(Data, "source", "data", "data_dir", source="what it was trained on")
DataDir = Annotated[str | None, knob_info(Data, "data_dir")]


@with_options(DATA)
def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Folder of a checkpoint; with --results also a task's name.", show_default=False),
    ],
    split: Split = None,
    results: Annotated[
        Path | None, typer.Option(help="File of COCO results to score in place of the model's predictions, for coco.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the form of the --results file. No labels are needed.")
    ] = False,
    with_: With = None,
    vote: VoteOf = "mean",
    state: State = "best",
    json_: Json = False,
    **data: Any,
) -> None:
    """Compute the figures of a checkpoint, or of several together.

    The data is a split of what the model was trained on, or another --source.
    """
    from balltrain.api.model import Model
    from balltrain.reporting.evaluation import evaluation_json, print_evaluation, print_form
    from balltrain.training.evaluation import check_split, evaluate_results, vote_of
    from balltrain.training.results_form import check_results

    vote_of(vote)
    if check:
        if results is None or with_:
            raise UsageError("--check needs a file of results: give --results FILE, and leave out --with")
        form = check_results(results, checkpoint, split, Data(**data).request(0).source)
        print_json(form) if json_ else print_form(form)
        return
    if results is None:
        found = Model(checkpoint, with_ or (), vote, state).evaluate(split, **data)
    elif with_:
        raise UsageError("--results scores a file without any model: leave out --with")
    else:
        check_split(split)
        other = Data(**data)
        found = evaluate_results(results, checkpoint, split, other.request(0), other.folder)
    print_json(evaluation_json(found)) if json_ else print_evaluation(found, stdout())


@with_options(knobs(Data, "source", "data_dir", source="what it was trained on"))
def inspect(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder for the page, index.html.", show_default=False)],
    layer: Annotated[
        str | None,
        typer.Option(help="Layer whose feature maps are shown; the page lists all.", show_default="one of the last"),
    ] = None,
    map_: Annotated[
        int | None, typer.Option("--map", help="Number of the one feature map to show.", show_default="the strongest")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=1, max=500, help="Items of each group, such as the surest right.")
    ] = 12,
    split: Split = None,
    state: State = "best",
    json_: Json = False,
    **data: Any,
) -> None:
    """Draw a page of what a model of pictures gets wrong and right, and of what it sees in them."""
    from balltrain.reporting.inspect import write_inspection
    from balltrain.training.checkpoint import load_checkpoint
    from balltrain.training.evaluation import check_split, open_split
    from balltrain.training.workers import pick_device

    check_split(split)
    given, device = Data(**data), pick_device(1)
    loaded = load_checkpoint(checkpoint, device, state)
    dataset, split = open_split(loaded, split, given.request(0), given.folder)
    page, shown = write_inspection(loaded, dataset, split, layer, device, out, chosen_map=map_, num_examples=examples)
    if json_:
        one = {} if map_ is None else {"map": map_}
        print_json({"task": loaded.task.name, "split": split, "page": str(page), "layer": shown, **one})
        return
    print(page)


def predict(
    checkpoint: Checkpoint,
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Files; for pictures also folders and zips.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and predictions.json.", show_default=False)],
    with_: With = None,
    vote: VoteOf = "mean",
    state: State = "best",
    unsure_below: Annotated[
        float | None,
        typer.Option(
            metavar="PROBABILITY", help="Threshold below which a classifier says «unsure».", show_default="none"
        ),
    ] = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Predict from files, by one checkpoint or several: pictures to look at, and predictions.json."""
    from balltrain.api.model import Model
    from balltrain.reporting.evaluation import evaluation_json, print_members

    model = Model(checkpoint, with_ or (), vote, state)
    found = model.predict(list(inputs), out, data_dir, unsure_below)
    together = found.ensemble
    if json_:
        summary: dict[str, Any] = {"task": model.task, "out": str(out), "predictions": found.items}
        summary |= {"json": str(found.json), "files": [str(path) for path, _ in found.files]}
        if together is not None:
            summary["ensemble"] = {"unknown": together} if isinstance(together, str) else evaluation_json(together)
        print_json(summary)
        return
    print(f"{len(found)} predictions in {out}, with pictures; as JSON: {found.json}")
    if unsure_below is not None:
        print(f"{sum(item['unsure'] for item in found.items)} of them are unsure: below {unsure_below:g}")
    for path, what in found.files:
        print(f"{what}: {path}")
    if isinstance(together, str):
        print(f"what they are worth together is not known: {together}")
    elif together is not None:
        print_members(together, stdout())
