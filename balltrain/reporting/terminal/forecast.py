"""What a sweep would take, before it starts: `balltrain sweep --dry-run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from balltrain.reporting.terminal.style import plain_table
from balltrain.reporting.text import duration, short

if TYPE_CHECKING:
    from rich.console import Console


def print_forecast(forecast: dict[str, Any], console: Console) -> None:
    """What `forecast_sweep` found, one line a subject."""
    from rich.table import Table

    f = forecast
    epochs, seconds, gpu_hours, disk = f["all_epochs"], f["seconds"], f["gpu_hours"], f["disk_bytes"]
    rungs = ", ".join(f"{rung['trials']} reach epoch {rung['epoch']}" for rung in f["rungs"])
    scheduler = f["scheduler"]
    rows = {
        "sweep": f"{f['name']}: {f['task']}, {_num_trials(f)} configurations"
        + (f" x {f['folds']} folds" if f["folds"] else "")
        + f" of at most {f['epochs']} epochs, seed {f['seed']}",
        "at a time": f"{f['at_a_time']} trials: {f['because']}",
        "searcher": f"{f['searcher']}, the first {f['random_proposals']} before it learns"
        if f["search_epochs"]
        else f"{f['searcher']}, the first {f['random_proposals']} at random"
        if f["random_proposals"] < f["expected_trials"]
        else f"{f['searcher']}"
        + _sobol_points(f)
        + (f" of the numbers {f['sobol_numbers']}" if f["sobol_numbers"] != "scipy" else "")
        + (", not scrambled" if not f["sobol_scramble"] else "")
        + (": all of them at random, 20 come before it learns" if f["searcher"] == "hyperopt" else ""),
        "objectives": ", ".join(f["objectives"]) + (f"; best/: {f['prefer']}" if f["prefer"] else ""),
        "constraints": _constraints(f),
        "scheduler": scheduler["name"] if scheduler["name"] == "none" else f"{scheduler['name']}: {rungs}, expected",
        "then": f"the best {f['continue_best']} go on to epoch {f['continue_epochs']}"
        + (f", with a patience of {f['continue_patience']}" if f["continue_patience"] else ""),
        "budget": ", ".join(_budgets(f)),
        "epochs": f"{epochs['expected']} expected, {epochs['at_most']} at most",
        "time": f"{duration(seconds['expected'])} expected, {duration(seconds['at_most'])} at most, at "
        f"{duration(f['epoch_seconds'])} an epoch: {_timed(f)}",
        "GPU-hours": f"{short(gpu_hours['expected'])} expected, {short(gpu_hours['at_most'])} at most",
        "disk": f"{_bytes(disk['at_most'])} at most: {f['checkpoints']} checkpoints of "
        f"{_bytes(f['checkpoint_bytes'])} ({f['num_params']} parameters); {_bytes(disk['free'])} are free",
        "W&B": f["wandb"],
        "storage": f["storage"],
    }
    if f["search_epochs"]:
        del rows["scheduler"]
    for subject in ("budget", "objectives", "constraints"):
        if not rows[subject]:
            del rows[subject]
    if not f["continue_best"]:
        del rows["then"]
    if not gpu_hours["at_most"]:
        del rows["GPU-hours"]
    table = Table.grid(padding=(0, 2))
    for subject, text in rows.items():
        table.add_row(f"[bold]{subject}[/]", text)
    console.print(table, highlight=False)
    if disk["at_most"] > disk["free"]:
        console.print("[red]The checkpoints may not fit on the disk.[/]")
    console.print(f"\nThe first {len(f['examples'])} configurations, of the space:", highlight=False)
    table = plain_table()
    names = [name for name in f["examples"][0] if any(e[name] != f["examples"][0][name] for e in f["examples"])]
    for name in names:
        table.add_column(name, justify="right")
    for example in f["examples"]:
        table.add_row(*(short(example[name]) for name in names))
    console.print(table, highlight=False)


def _num_trials(forecast: dict[str, Any]) -> str:
    """Those planned, and how many a budget has room for, about."""
    planned, expected = forecast["trials"], forecast["expected_trials"] // (forecast["folds"] or 1)
    if planned is None:
        return f"about {expected}"
    return f"{planned}" if expected >= planned else f"about {expected} of {planned}"


def _constraints(forecast: dict[str, Any]) -> str:
    text = ", ".join(forecast["constraints"])
    if (feasible := forecast.get("feasible")) is None:
        return text
    kept, tried = feasible["num_feasible"], feasible["num_tried"]
    return f"{text}: of {tried} configurations all over the space {kept} keep what is known before training"


def _sobol_points(forecast: dict[str, Any]) -> str:
    start, trials = forecast["sobol_start"], forecast["trials"]
    if forecast["searcher"] != "sobol":
        return ""
    return f", points from {start} on" if trials is None else f", points {start} to {start + trials - 1}"


def _budgets(forecast: dict[str, Any]) -> Iterator[str]:
    budget = forecast["budget"]
    if budget["seconds"]:
        yield duration(budget["seconds"])
    for unit in ("GPU", "CPU"):
        if hours := budget[f"{unit.lower()}_hours"]:
            yield f"{hours:g} {unit}-hours"
    if budget["until"] is not None:
        yield f"until {forecast['objective']} is {budget['until']:g} in one trial"
    if budget["flat_trials"]:
        yield f"until {budget['flat_trials']} trials in a row bring no better best"


def _timed(f: dict[str, Any]) -> str:
    if "program" in f:  # which may have written files, or asked a server
        return f"timed by running an epoch of the {f['program']} {f['task']}, which is your own code"
    return "timed on the default configuration"


def _bytes(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.3g} {units[0]}"
