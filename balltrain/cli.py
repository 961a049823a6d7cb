"""The command line: parse, call, print. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from balltrain.errors import EXIT_INTERRUPTED, BalltrainError, UsageError
from balltrain.storage import SWEEP_FILE, Storage

app = typer.Typer(
    name="balltrain",
    help="Sweep the hyperparameters of small vision and physics models on Ray, and lose nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _ResultsGroup(TyperGroup):
    """`results [NAME]` and `results export NAME`: what is no subcommand belongs to the default one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["export"] else ["show", *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == "show" else name, command, rest  # the usage text says `balltrain results`


data_app = typer.Typer(help="Build a task's data, or export it in its public format.", no_args_is_help=True)
app.add_typer(data_app, name="data")
results_app = typer.Typer(cls=_ResultsGroup)
app.add_typer(
    results_app, name="results", help="Show a sweep's best trials, or list the sweeps; also while they run."
)

EXIT_SOME_FAILED = 3

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Source = Annotated[Path | None, typer.Option(help="Real data in the task's public format.")]
Size = Annotated[int | None, typer.Option(help="Take the first N items, or generate N.")]
Categories = Annotated[
    str | None, typer.Option(metavar="NAME,…", help="coco: those to learn [default: all of the source].")
]
ImageSize = Annotated[int | None, typer.Option(help="coco: pixels of the longer side [default: 320].")]
DataDir = Annotated[Path | None, typer.Option(help="Where decoded data is kept [default: the user's cache folder].")]
StorageUri = Annotated[
    str,
    typer.Option("--storage", envvar="BALLTRAIN_STORAGE", help="Folder or URI (s3://bucket/prefix) of the sweeps."),
]
Wandb = Annotated[str, typer.Option(help="auto (online with a key, else offline), online, offline or off.")]
WandbCheckpoint = Annotated[bool, typer.Option("--wandb-checkpoint", help="And the best checkpoint as an artifact.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write event files, under <storage>/<name>.")]
Mlflow = Annotated[
    str | None, typer.Option(metavar="URI", help="Log to MLflow: http://host:5000, sqlite:///mlflow.db.")
]
Seed = Annotated[int, typer.Option(help="Of the data, its splits, and every trial's initialisation.", min=0)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A hyperparameter. Repeatable.")]
EvaluatedSplit = Annotated[str | None, typer.Option(help="val or test [default: val; all of another --source].")]
With = Annotated[
    list[Path] | None,
    typer.Option("--with", metavar="CHECKPOINT", help="Decides too. Repeatable.", show_default=False),
]
VoteOf = Annotated[str, typer.Option(help="How several decide: mean (of their probabilities) or majority.")]
Restarts = Annotated[int | None, typer.Option(help="Try R initialisations for a few batches, train the best.")]
NumGpus = Annotated[int | None, typer.Option(help="GPUs to use [default: all there are].")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where it was interrupted or killed.")]


@app.command()
def tasks(json_: Json = False) -> None:
    """List the tasks and the sweeps that come with them."""
    from balltrain.search.sweep_files import shipped_sweeps
    from balltrain.tasks import known_tasks, task_ref

    found: list[dict[str, Any]] = []
    for name in known_tasks():
        task = task_ref(name).load()
        found.append(
            {
                "name": name,
                "description": (type(task).__doc__ or "").strip().splitlines()[0],
                "objective": task.objective,
                "mode": task.mode,
                "metrics": list(task.metric_names),
                "hyperparameters": task.Hyperparameters().model_dump(mode="json"),
            }
        )
    if json_:
        _print_json({"tasks": found, "sweeps": shipped_sweeps()})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("task", "objective", "metrics", "what"):
        table.add_column(title, overflow="fold")
    for entry in found:
        objective = f"{entry['objective']} ({entry['mode']})"
        table.add_row(entry["name"], objective, ", ".join(entry["metrics"]), entry["description"])
    _stdout().print(table)
    _stdout().print(f"\nsweeps: {', '.join(shipped_sweeps())}; your own: balltrain sweep my_task.py", highlight=False)


@data_app.command("build")
def data_build(
    task: str,
    source: Source = None,
    size: Size = None,
    categories: Categories = None,
    image_size: ImageSize = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Decode, generate or download a task's data into the cache; training does it too, but downloads nothing."""
    from balltrain.data.cache import load_data
    from balltrain.tasks import task_ref
    from balltrain.tasks.splits import SPLITS

    ref = task_ref(task)
    start = time.monotonic()
    request = _request(source, size, seed, categories=categories, image_size=image_size)
    dataset = load_data(ref, ref.load(), request, data_dir, fetch=True)
    summary = {
        "task": ref.name,
        "folder": str(dataset.folder),
        "items": len(dataset),
        "splits": {name: len(dataset.splits[name]) for name in SPLITS},
        "fingerprint": dataset.fingerprint,
        "seconds": round(time.monotonic() - start, 3),
    }
    if json_:
        _print_json({**summary, "notes": dataset.facts.get("notes", [])})
        return
    splits = ", ".join(f"{count} {name}" for name, count in summary["splits"].items())  # type: ignore[attr-defined]
    print(f"{len(dataset)} items ({splits}) in {summary['seconds']:.1f} s: {dataset.folder}")


@data_app.command("export")
def data_export(
    task: str,
    folder: Path,
    format_: Annotated[str | None, typer.Option("--format", help="detect: coco [default: the task's own]")] = None,
    size: Size = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> None:
    """Write the built-in data in the task's public format, or in another's."""
    from balltrain.data.cache import load_data
    from balltrain.tasks import task_ref
    from balltrain.tasks.protocols import ExportsFormats, exporting
    from balltrain.tasks.splits import SPLITS

    ref = task_ref(task)
    found = ref.load()
    if format_ is not None and format_ not in found.export_formats:
        known = ", ".join(found.export_formats)
        hint = f"choose {known}, or leave it out" if known else "leave it out, there is one alone"
        raise UsageError(f"{ref.name} has no --format {format_!r}: {hint}")
    request = _request(None, size, seed)
    if format_ is None:
        exporting(found)  # before its data is made
    dataset = load_data(ref, found, request, data_dir)
    if format_ is not None and isinstance(found, ExportsFormats):
        splits = {name: dataset.splits[name] for name in SPLITS}
        lines = found.export_as(format_, folder, dataset.arrays, splits)
    else:
        lines = exporting(found).export(request, folder, dataset.arrays)
    for line in lines:
        print(line)


@app.command()
def train(
    task: str,
    epochs: Annotated[int | None, typer.Option(help="[default: the task's best known]")] = None,
    set_: Set = None,
    restarts: Restarts = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate: a training for each of N folds.")] = None,
    workers: Annotated[int, typer.Option(help="Data-parallel workers.")] = 1,
    num_gpus: NumGpus = None,
    seed: Seed = 0,
    source: Source = None,
    size: Size = None,
    categories: Categories = None,
    image_size: ImageSize = None,
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder [default: runs/TASK-TIME].")] = None,
    resume: Resume = False,
    wandb: Wandb = "auto",
    wandb_checkpoint: WandbCheckpoint = False,
    tensorboard: TensorBoard = False,
    mlflow: Mlflow = None,
    json_: Json = False,
) -> None:
    """Train one model, with the best known hyperparameters unless told otherwise."""
    from balltrain.execution.resources import Resources
    from balltrain.execution.runner import run_sweep
    from balltrain.execution.single import train_once
    from balltrain.reporting.epochs import epoch_lines
    from balltrain.search.plan import make_plan
    from balltrain.search.sweep import Sweep
    from balltrain.tasks import task_ref

    if workers < 1:
        raise UsageError(f"--workers is {workers}, but must be at least 1")
    if resume and out is None:
        raise UsageError("--resume needs the run's folder: --out runs/NAME")
    folder = out or Path("runs") / f"{Path(task).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    budget: dict[str, Any] = {
        "trials": 1,
        "epochs": epochs,
        "searcher": "random",
        "scheduler": "none",
        "seed": seed,
        "folds": folds,
    }
    sweep = Sweep(task, {}, hyperparameters=_settings(set_, restarts=restarts), **budget)
    request = _request(source, size, seed, categories=categories, image_size=image_size)
    plan = make_plan(sweep, task_ref(task), name=folder.resolve().name, request=request, check_weights=not resume)
    how_to_go_on = _how_to_go_on("--out", str(folder))
    mirrors = _mirrors(wandb, wandb_checkpoint, tensorboard, mlflow)
    common: dict[str, Any] = {
        "data_dir": data_dir,
        "mirrors": mirrors,
        "resume": resume,
        "on_start": None if json_ else epoch_lines,
        "on_phase": _phase(json_),
        "on_interrupt": _on_interrupt(how_to_go_on),
    }
    if workers == 1:
        result = train_once(plan, folder, num_gpus=num_gpus, **common)
    else:
        result = run_sweep(plan, folder, Resources(num_gpus=num_gpus, workers_per_trial=workers), **common)
    _end(result, json_, how_to_go_on)


@app.command()
def sweep(
    task_or_file: Annotated[str, typer.Argument(help="A sweep's name (balltrain tasks), or a Python file with one.")],
    trials: Annotated[int | None, typer.Option(help="[default: the sweep's]")] = None,
    epochs: Annotated[int | None, typer.Option(help="The most that a trial trains [default: the sweep's].")] = None,
    set_: Set = None,
    restarts: Restarts = None,
    num_gpus: NumGpus = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="A part of one, or several [default: 1].")] = None,
    workers_per_trial: Annotated[int | None, typer.Option(help="Data-parallel workers [default: 1].")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="[default: 1, or a GPU's share]")] = None,
    gpu_type: Annotated[
        str | None, typer.Option(help="Of a cluster's kinds of GPUs one alone, such as A10G.")
    ] = None,
    searcher: Annotated[str | None, typer.Option(help="hyperopt, sobol or random.")] = None,
    sobol_start: Annotated[int | None, typer.Option(help="Index of the first Sobol point [default: 0].")] = None,
    sobol_scramble: Annotated[
        bool | None, typer.Option("--sobol-scramble/--no-sobol-scramble", help="Scrambled by the seed, or not.")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="asha or none.")] = None,
    grace: Annotated[int | None, typer.Option(help="Epochs before ASHA may stop a trial.")] = None,
    reduction_factor: Annotated[float | None, typer.Option(help="ASHA keeps one in so many at a rung.")] = None,
    continue_best: Annotated[
        int | None, typer.Option(help="After the search the best K go on, to --epochs; the search keeps its own.")
    ] = None,
    continue_epochs: Annotated[int | None, typer.Option(help="They go on to this; --epochs is the search's.")] = None,
    confirm: Annotated[int | None, typer.Option(help="Train the best K again at the end, with new seeds.")] = None,
    repeats: Annotated[int | None, typer.Option(help="New seeds for each of them [default: 5].")] = None,
    keep_checkpoints: Annotated[int | None, typer.Option(help="Of the best trials that ended [default: 5].")] = None,
    name: Annotated[str | None, typer.Option(help="[default: TASK-TIME]")] = None,
    storage: StorageUri = "runs",
    seed: Annotated[int | None, typer.Option(help="Of everything random [default: the sweep's].", min=0)] = None,
    source: Source = None,
    size: Size = None,
    categories: Categories = None,
    image_size: ImageSize = None,
    data_dir: DataDir = None,
    address: Annotated[str | None, typer.Option(help="host:port of a running Ray, or auto.")] = None,
    wandb: Wandb = "auto",
    wandb_checkpoint: WandbCheckpoint = False,
    tensorboard: TensorBoard = False,
    mlflow: Mlflow = None,
    resume: Resume = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time a few batches, show the plan, run no trial.")
    ] = False,
    json_: Json = False,
) -> None:
    """Search the hyperparameters of a task: many trials, the bad ones stopped early."""
    from balltrain.execution.resources import Resources
    from balltrain.execution.resuming import recorded_epochs
    from balltrain.execution.runner import run_sweep
    from balltrain.search.plan import make_plan
    from balltrain.search.sweep import override
    from balltrain.search.sweep_files import find_sweep

    if resume and name is None:
        raise UsageError("--resume needs the sweep's name: --name NAME (balltrain results lists them)")
    name = _checked_name(name or f"{Path(task_or_file).stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    place = Storage(storage)
    found, ref = find_sweep(task_or_file)
    if continue_best and continue_epochs is None and epochs is not None:
        continue_epochs, epochs = epochs, recorded_epochs(place.open(name)) if resume else None
    found = override(
        found,
        trials=trials,
        epochs=epochs,
        searcher=searcher,
        sobol_start=sobol_start,
        sobol_scramble=sobol_scramble,
        scheduler=scheduler,
        grace=grace,
        reduction_factor=reduction_factor,
        seed=seed,
        continue_best=continue_best,
        continue_epochs=continue_epochs,
        confirm=confirm,
        repeats=repeats,
        keep_checkpoints=keep_checkpoints,
        hyperparameters={**found.hyperparameters, **_settings(set_, restarts=restarts)},
    )
    if continue_epochs is not None and not found.continue_best:
        raise UsageError("--continue-epochs needs --continue-best K: how many of the best go on")
    if repeats is not None and not found.confirm:
        raise UsageError("--repeats needs --confirm K: how many of the best are trained again")
    how_to_go_on = _how_to_go_on("--name", name)
    request = _request(source, size, found.seed, categories=categories, image_size=image_size)
    plan = make_plan(found, ref, name=name, request=request)
    mirrors = _mirrors(wandb, wandb_checkpoint, tensorboard, mlflow)
    resources = Resources(
        num_gpus,
        gpus_per_trial,
        workers_per_trial,
        cpus_per_trial,
        address or os.environ.get("RAY_ADDRESS"),
        gpu_type,
    )
    if plan.advice:
        print(plan.advice, file=sys.stderr)
    if dry_run:
        from balltrain.execution.preflight import forecast_sweep
        from balltrain.reporting.terminal import print_forecast

        forecast = forecast_sweep(
            plan, place.root / name, resources, data_dir=data_dir, wandb_mode=mirrors.wandb, on_phase=_phase(json_)
        )
        _print_json(forecast) if json_ else print_forecast(forecast, _stdout())
        return
    folder = place.open(name)
    result = run_sweep(
        plan,
        folder,
        resources,
        data_dir=data_dir,
        mirrors=mirrors,
        resume=resume,
        storage=place,
        on_start=None if json_ else _live_view,
        on_phase=_phase(json_),
        on_interrupt=_on_interrupt(how_to_go_on),
    )
    _end(result, json_, how_to_go_on, storage)


@results_app.command("show", hidden=True, epilog="balltrain results export NAME --optuna URL: as an Optuna study.")
def results(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="None lists, several compare.")
    ] = None,
    storage: StorageUri = "runs",
    top: Annotated[int, typer.Option(help="Trials to show.", min=1)] = 10,
    where: Annotated[str | None, typer.Option(help="Only these: SQL, such as 'config.lr < 1e-3'.")] = None,
    sort: Annotated[str | None, typer.Option(help="Another order: SQL, such as 'seconds desc'.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all rows there, failures too.")] = None,
    json_: Json = False,
) -> None:
    """Show a sweep's best trials, compare several sweeps, or list them; also while they run."""
    from balltrain.records import results as r
    from balltrain.reporting import query, terminal
    from balltrain.reporting.compare import compare
    from balltrain.reporting.summary import results_json

    place = Storage(storage)
    if len(names or []) != 1 and (where, sort, csv) != (None, None, None):
        raise UsageError("--where, --sort and --csv are for one sweep: balltrain results NAME")
    if not names:
        sweeps = r.list_sweeps(place.fetch_list())
        _print_json({"sweeps": sweeps}) if json_ else terminal.print_sweeps(sweeps, _stdout())
        return
    several = [_load_results(place, name) for name in names]
    if len(several) > 1:
        _print_json(compare(several)) if json_ else terminal.print_comparison(several, _stdout())
        return
    found = query.select(several[0], where, sort)
    if csv is not None:
        query.write_csv(found, csv)
    _print_json(results_json(found, top)) if json_ else terminal.print_results(found, _stdout(), top)


@results_app.command("export")
def results_export(
    name: str,
    optuna: Annotated[str, typer.Option(help="Optuna's storage: sqlite:///study.db, for `optuna-dashboard`.")],
    storage: StorageUri = "runs",
) -> None:
    """Write a sweep as an Optuna study of its name; a study of an earlier export is replaced."""
    from balltrain.reporting.optuna_study import export_study

    count = export_study(_load_results(Storage(storage), name), optuna)
    print(f"{count} trials in {optuna}, study {name}: optuna-dashboard {optuna}")


@app.command()
def watch(name: str, storage: StorageUri = "runs") -> None:
    """Watch a sweep that runs elsewhere, from its storage; ends when the sweep has ended."""
    from balltrain.reporting.terminal import print_results
    from balltrain.reporting.watch import watch as watch_sweep

    try:
        found = watch_sweep(Storage(storage), name, _stdout())
    except KeyboardInterrupt:
        return  # of the sweep nothing ends
    print_results(found, _stdout())


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Its folder; with --results also a task's name.")],
    split: EvaluatedSplit = None,
    source: Source = None,
    categories: Categories = None,
    results: Annotated[
        Path | None, typer.Option(help="coco: a file of COCO results, scored in place of the model's.")
    ] = None,
    with_: With = None,
    vote: VoteOf = "mean",
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Figures of a checkpoint, or of several together, on a split of its training data, or on other data."""
    from balltrain.reporting.evaluation import evaluation_json, print_evaluation
    from balltrain.training.evaluation import (
        check_split,
        evaluate_members,
        evaluate_results,
        load_members,
        open_split,
        vote_of,
    )
    from balltrain.training.workers import pick_device

    check_split(split)
    device, decide, request = pick_device(1), vote_of(vote), _request(source, None, 0, categories=categories)
    if results is None:
        members = load_members([checkpoint, *(with_ or [])], device)
        dataset, split = open_split(members[0], split, request, data_dir)
        found = evaluate_members(members, decide, dataset, split, device)
    elif with_:
        raise UsageError("--results are scored by themselves: leave out --with")
    else:
        found = evaluate_results(results, checkpoint, split, request, data_dir)
    _print_json(evaluation_json(found)) if json_ else print_evaluation(found, _stdout())


@app.command()
def inspect(
    checkpoint: Path,
    out: Annotated[Path, typer.Option(help="Folder for the page, index.html.")],
    layer: Annotated[
        str | None, typer.Option(help="Whose feature maps are shown [default: one of the last; the page lists all].")
    ] = None,
    split: EvaluatedSplit = None,
    source: Source = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Draw a page of what a model of pictures gets wrong and right, and of what it sees in them."""
    from balltrain.reporting.inspect import write_inspection
    from balltrain.training.checkpoint import load_checkpoint
    from balltrain.training.evaluation import check_split, open_split
    from balltrain.training.workers import pick_device

    check_split(split)
    device = pick_device(1)
    loaded = load_checkpoint(checkpoint, device)
    dataset, split = open_split(loaded, split, _request(source, None, 0), data_dir)
    page, shown = write_inspection(loaded, dataset, split, layer, device, out)
    if json_:
        _print_json({"task": loaded.task.name, "split": split, "page": str(page), "layer": shown})
        return
    print(page)


@app.command()
def predict(
    checkpoint: Path,
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and predictions.json.")],
    with_: With = None,
    vote: VoteOf = "mean",
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Predict from files, by one checkpoint or several: pictures to look at, and predictions.json."""
    from balltrain.reporting.evaluation import evaluation_json, print_members
    from balltrain.tasks.protocols import WritesPredictions, predicting, predicting_together
    from balltrain.training.evaluation import load_members, validate_members, vote_of
    from balltrain.training.workers import pick_device

    device, decide = pick_device(1), vote_of(vote)
    members = load_members([checkpoint, *(with_ or [])], device)
    task = members[0].task
    for path in inputs:
        if not (path.exists() if task.predicts_folders else path.is_file()):
            raise BalltrainError(f"{path}: there is no such file")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if len(members) == 1:
            found = predicting(task).draw_predictions(members[0].model, members[0].hp, device, inputs, out)
        else:
            found = predicting_together(task).draw_ensemble(
                [(m.model, m.hp) for m in members], decide, device, inputs, out
            )
        (out / "predictions.json").write_text(json.dumps(found, indent=1))
        files = task.export_predictions(found, out) if isinstance(task, WritesPredictions) else []
    except OSError as error:
        raise BalltrainError(f"cannot write to {out}: {error.strerror or error}") from error
    validation = validate_members(members, decide, data_dir, device) if len(members) > 1 else None
    if json_:
        summary: dict[str, Any] = {"task": task.name, "out": str(out), "predictions": found}
        summary |= {"json": str(out / "predictions.json"), "files": [str(path) for path, _ in files]}
        if isinstance(validation, str):
            summary["ensemble"] = {"unknown": validation}
        elif validation is not None:
            summary["ensemble"] = evaluation_json(validation)
        _print_json(summary)
        return
    print(f"{len(found)} predictions in {out}, with pictures; as JSON: {out / 'predictions.json'}")
    for path, what in files:
        print(f"{what}: {path}")
    if isinstance(validation, str):
        print(f"what they are worth together is not known: {validation}")
    elif validation is not None:
        print_members(validation, _stdout())


@app.command()
def report(
    name: str,
    storage: StorageUri = "runs",
    out: Annotated[Path | None, typer.Option(help="[default: STORAGE/NAME/report.html]")] = None,
    data_dir: DataDir = None,
    wandb: Annotated[bool, typer.Option("--wandb", help="Make a report in W&B too.")] = False,
) -> None:
    """Draw a sweep's results as one HTML file."""
    from balltrain.reporting.report import write_report

    place = Storage(storage)
    found = _load_results(place, name)
    written = write_report(found, out or found.folder / "report.html", data_dir)
    if place.remote is not None and out is None:
        place.remote.push_file(written, f"{name}/{written.name}")
    print(written)
    if wandb:
        from balltrain.reporting.wandb_report import publish

        print(publish(found, written.parent))


@app.command()
def doctor(storage: StorageUri = "runs", data_dir: DataDir = None, json_: Json = False) -> None:
    """Check this machine: Python, torch, CUDA, Ray, W&B, disk. Exits 1 where something fails."""
    import dataclasses

    from balltrain.data.cache import default_data_dir
    from balltrain.doctor import examine, print_checks

    checks = examine(Storage(storage).root, data_dir or default_data_dir())
    if json_:
        _print_json({"checks": [dataclasses.asdict(check) for check in checks]})
    else:
        print_checks(checks, _stdout())
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def main(argv: list[str] | None = None) -> None:
    """The `balltrain` command: every error is one line, and an exit code says which kind."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    _typed[:] = arguments
    try:
        code = app(arguments, standalone_mode=False, prog_name="balltrain")
    except BalltrainError as error:
        _fail(str(error), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", EXIT_INTERRUPTED, debug)
    except Exception as error:
        # typer's own complaints know how to say what is wrong, and are all about what was typed
        if hasattr(error, "format_message"):
            _fail(error.format_message().replace("\n", " "), 2, debug)
        _fail(f"{type(error).__name__}: {error} (a bug: --debug shows where)".replace("\n", " "), 1, debug)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    clear = "\r\033[K" if sys.stderr.isatty() else ""  # a phase that was shown
    print(f"{clear}error: {message}", file=sys.stderr)
    sys.exit(code)


def _end(result: Any, json_: bool, how_to_go_on: str, storage: str | None = None) -> None:
    """What is said when a sweep or a training ended, and its exit code."""
    from balltrain.records.results import load_results
    from balltrain.reporting.summary import summary_json
    from balltrain.reporting.terminal import print_results

    found = load_results(result.folder.parent, result.folder.name)
    where = {} if storage is None else {"storage": storage}
    summary = {
        **summary_json(found),
        **where,
        "seconds": round(result.seconds, 3),
        "interrupted": result.interrupted,
    }
    if json_:
        _print_json(summary)
    else:
        print_results(found, _stdout())
        print(f"balltrain report {result.folder.name} --storage {storage or result.folder.parent}")
    if result.interrupted:
        print(f"interrupted; {how_to_go_on}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED)
    if summary["failed"]:
        raise typer.Exit(EXIT_SOME_FAILED)


def _mirrors(wandb: str, wandb_checkpoint: bool, tensorboard: bool, mlflow: str | None) -> Any:
    """What numbers are copied to, checked before anything runs."""
    from balltrain.reporting.gallery import pictures_of
    from balltrain.tracking.mirrors import Mirrors
    from balltrain.tracking.mlflow import check_mlflow
    from balltrain.tracking.wandb import resolve_mode

    mode = resolve_mode(wandb)
    if wandb_checkpoint and mode == "off":
        raise UsageError("--wandb-checkpoint needs W&B, which --wandb off turns off")
    if mlflow is not None and (warning := check_mlflow(mlflow)):
        print(warning, file=sys.stderr)
    return Mirrors(mode, tensorboard, mlflow, wandb_checkpoint, pictures_of)


def _load_results(place: Storage, name: str) -> Any:
    """Of a sweep on this machine, or fetched from object storage."""
    from balltrain.records import results as r

    if place.remote is not None and not (place.open(name) / SWEEP_FILE).is_file():
        place.fetch_list()  # for the names of those that are there
    return r.load_results(place.root, name)


_typed: list[str] = []  # the arguments of this run, for the command that goes on with it


def _how_to_go_on(option: str, value: str) -> str:
    """The command that resumes; `option` names the run, and is added where it was not typed."""
    import shlex

    arguments = [argument for argument in _typed if argument != "--resume"]
    if not any(argument.split("=")[0] == option for argument in arguments):
        arguments += [option, value]
    return f"to go on: balltrain {shlex.join([*arguments, '--resume'])}"


def _on_interrupt(how_to_go_on: str) -> Callable[[], None]:
    def say() -> None:
        print("ending after the epochs that run; Ctrl-C again ends at once", file=sys.stderr)
        print(how_to_go_on, file=sys.stderr, flush=True)

    return say


def _live_view(controller: Any, placement: Any) -> Any:
    from balltrain.reporting.live import live_view

    return live_view(controller, placement)


def _phase(quiet: bool) -> Any:
    """Says on the terminal what takes its time before the first trial; in a log only what is waited for, once."""
    said = set()

    def show(phase: str) -> None:
        if quiet:
            return
        if sys.stderr.isatty():
            print(f"\r\033[K{phase and phase + ' …'}", end="", file=sys.stderr, flush=True)
            return
        what, waits, _ = phase.partition(":")  # what follows changes while it is waited for
        if waits and what not in said:
            print(f"{phase} …", file=sys.stderr, flush=True)
        said.add(what)

    return show


def _settings(pairs: list[str] | None, **options: Any) -> dict[str, Any]:
    """KEY=VALUE texts; a value is JSON where it can be, else a string. `options` are those that are not None."""
    settings = {name: value for name, value in options.items() if value is not None}
    for pair in pairs or []:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
        try:
            settings[key] = json.loads(text)
        except ValueError:
            settings[key] = {"None": None, "True": True, "False": False}.get(text, text)
    return settings


def _request(source: Path | None, size: int | None, seed: int, **options: Any) -> Any:
    from balltrain.tasks.base import DataRequest

    if size is not None and size < 1:
        raise UsageError(f"--size is {size}, but must be at least 1")
    if source is not None and not source.exists():
        raise BalltrainError(f"--source {source}: there is no such file or folder")
    given = {name: value for name, value in options.items() if value is not None}
    return DataRequest(str(source.resolve()) if source else None, size, seed, given)


def _checked_name(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or name.startswith("-"):
        raise UsageError(f"--name {name!r} cannot be a folder's name")
    return name


def _stdout() -> Any:
    from rich.console import Console

    return Console()


def _print_json(value: Any) -> None:
    print(json.dumps(value, allow_nan=False, default=str))


if __name__ == "__main__":
    main()
