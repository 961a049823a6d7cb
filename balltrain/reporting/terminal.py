"""Results in a terminal: the best trials of a sweep, and a list of sweeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.confirmation import Confirmed
from balltrain.records.results import Results
from balltrain.reporting.compare import compare, differing
from balltrain.reporting.text import duration, quoted, short

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2  # characters between two columns of a terminal table
STATUS_STYLE = {
    Status.RUNNING: "cyan",
    Status.COMPLETED: "green",
    Status.STOPPED: "yellow",
    Status.FAILED: "red",
    Status.INTERRUPTED: "magenta",
}


def print_results(results: Results, console: Console, top: int = 10) -> None:
    """The best trials, the failures, figures of all objectives, and where the best checkpoint is."""
    from rich.markup import escape

    console.print(_header(results), highlight=False)
    if results.where is not None:
        console.print(f"[dim]only trials with[/] {escape(results.where)}", highlight=False)
    if len(results.listed):
        console.print()
        _print_top(results, console, top)
    if results.failures:
        console.print()
        console.print(_failures_table(results))
    console.print()
    if results.best is None:
        console.print(f"No trial has a {escape(results.objective_name)} yet, so there is no best checkpoint.")
        return
    console.print(_description(results), highlight=False)
    if num_same := int(results.same_as.notna().sum()):
        console.print(f"{num_same} had the configuration of an earlier trial, and were not trained again")
    if num_went_on := int(results.went_on.sum()):
        console.print(
            f"the search's best {num_went_on} went on after it: up to epoch {results.sweep['continue_epochs']}"
        )
    for entry in results.cross_validation[:top]:
        figures = (
            f"{name} {short(v['mean'])} ± {short(v['interval'], 2)}"
            for name, v in entry.items()
            if "_ids" not in name
        )
        console.print(f"mean of {len(entry['trial_ids'])} folds, 95 %:  {'  '.join(figures)}", highlight=False)
    _print_confirmations(results, console)
    lines = [f"best checkpoint: {results.checkpoint}", f"balltrain evaluate {quoted(results.checkpoint)}"]
    if not results.checkpoint.exists():
        lines = [lines[0] + ", which is not there"]
    for line in lines:  # not wrapped, so that it can be copied
        console.print(escape(line), highlight=False, soft_wrap=True)


def _print_confirmations(results: Results, console: Console) -> None:
    """The best configurations with new seeds, the best mean first, and whether the search's first place held."""
    from rich.markup import escape

    entries, winner = results.confirmed
    if not entries:
        return
    console.print()
    table = _table()
    name = escape(results.objective_name)
    for heading in ("trial", "seeds", f"{name}, mean of new seeds", "95 %", "in the search"):
        table.add_column(heading, justify="left" if heading == "trial" else "right")
    searched = results.trials.set_index(c.TRIAL_ID)[c.OBJECTIVE]
    for entry in entries:
        seeds = f"{len(entry.objectives)}/{entry.repeats}" + f", [red]{entry.failed} failed[/]" * bool(entry.failed)
        interval = "" if entry.interval is None else f"± {short(entry.interval, 2)}"
        table.add_row(entry.trial_id, seeds, short(entry.mean), interval, short(searched[entry.trial_id]))
    console.print(table, highlight=False)
    if winner is not None:
        console.print(verdict(results, winner), highlight=False)


def verdict(results: Results, winner: Confirmed) -> str:
    entries, _ = results.confirmed
    first = results.ranked.iloc[0][c.TRIAL_ID]
    if winner.trial_id == first:
        text = f"confirmed: trial {first}, the search's first place, has the best mean"
    else:
        text = f"the winner is trial {winner.trial_id}: the search's first place, {first}, did not hold"
    near = [other.trial_id for other in entries[1:] if _overlap(winner, other)]
    return text + (f"; the intervals of {', '.join(near)} overlap its own" if near else "")


def _overlap(one: Confirmed, other: Confirmed) -> bool:
    if one.mean is None or other.mean is None or one.interval is None or other.interval is None:
        return False
    return abs(one.mean - other.mean) <= one.interval + other.interval


def print_comparison(sweeps: list[Results], console: Console) -> None:
    """A column a sweep, and in words which is better."""
    from rich.markup import escape

    found = compare(sweeps)
    table = _table()
    table.add_column("")
    for sweep in sweeps:
        table.add_column(escape(sweep.name), justify="right", overflow="fold")
    entries, bests = found["sweeps"], [entry["best"] or {} for entry in found["sweeps"]]

    def add(label: str, cells: list[Any]) -> None:
        table.add_row(f"[dim]{escape(label)}[/]", *(escape(str(cell)) for cell in cells))

    add("task", [entry["task"] for entry in entries])
    add("method", [f"{entry['searcher']} + {entry['scheduler']}" for entry in entries])
    add("trials", [entry["trials"] for entry in entries])
    add("stopped, failed", [f"{entry[Status.STOPPED]}, {entry[Status.FAILED]}" for entry in entries])
    add("epochs", [entry["epochs"] for entry in entries])
    add("time", [duration(entry["seconds"]) for entry in entries])
    add(f"best {sweeps[0].objective_name}", [short(best.get("objective")) for best in bests])
    add(f"after {found['equal_epochs']} epochs", [short(entry["best_at_equal_epochs"]) for entry in entries])
    for figure in ("mean", "std", "25%", "50%", "75%", "max"):
        add(figure, [short(entry["objectives"].get(figure)) for entry in entries])
    table.add_section()
    add("best trial", [best.get("trial_id", "") for best in bests])
    for name in differing(sweeps):
        add(name, [short(best.get("config", {}).get(name)) for best in bests])
    console.print(table, highlight=False)
    for remark in found["remarks"]:
        console.print(escape(remark), highlight=False)


def print_sweeps(sweeps: list[dict[str, Any]], console: Console) -> None:
    """One line a sweep, as `list_sweeps` gives them."""
    from rich.markup import escape

    if not sweeps:
        console.print("No sweeps yet: `balltrain sweep TASK` makes one.", highlight=False)
        return
    table = _table()
    for heading in ("sweep", "task", "trials", "objective", "best", "started (UTC)"):
        table.add_column(heading, justify="right" if heading == "best" else "left", overflow="fold")
    for sweep in sweeps:
        trials = f"[red]{escape(sweep['error'])}[/]" if sweep["error"] else _counts_text(sweep)
        texts = [escape(sweep[key] or "") for key in ("name", "task", "objective")]
        started = (sweep["started"] or "")[:16].replace("T", " ")
        table.add_row(texts[0], texts[1], trials, texts[2], short(sweep["best"]), started)
    console.print(table, highlight=False)


def print_forecast(forecast: dict[str, Any], console: Console) -> None:
    """What `forecast_sweep` found, one line a subject."""
    from rich.table import Table

    f = forecast
    epochs, seconds, gpu_hours, disk = f["all_epochs"], f["seconds"], f["gpu_hours"], f["disk_bytes"]
    rungs = ", ".join(f"{rung['trials']} reach epoch {rung['epoch']}" for rung in f["rungs"])
    scheduler = f["scheduler"]
    rows = {
        "sweep": f"{f['name']}: {f['task']}, {f['trials']} configurations"
        + (f" x {f['folds']} folds" if f["folds"] else "")
        + f" of at most {f['epochs']} epochs, seed {f['seed']}",
        "at a time": f"{f['at_a_time']} trials: {f['because']}",
        "searcher": f"{f['searcher']}, the first {f['random_proposals']} at random"
        if f["random_proposals"] < f["trials"]
        else f"{f['searcher']}"
        + (f", points {f['sobol_start']} to {f['sobol_start'] + f['trials'] - 1}" if f["searcher"] == "sobol" else "")
        + (f" of the numbers {f['sobol_numbers']}" if f["sobol_numbers"] != "scipy" else "")
        + (", not scrambled" if not f["sobol_scramble"] else "")
        + (": all of them at random, 20 come before it learns" if f["searcher"] == "hyperopt" else ""),
        "scheduler": scheduler["name"] if scheduler["name"] == "none" else f"{scheduler['name']}: {rungs}, expected",
        "then": f"the best {f['continue_best']} go on to epoch {f['continue_epochs']}"
        + (f", with a patience of {f['continue_patience']}" if f["continue_patience"] else ""),
        "epochs": f"{epochs['expected']} expected, {epochs['at_most']} at most",
        "time": f"{duration(seconds['expected'])} expected, {duration(seconds['at_most'])} at most, at "
        f"{duration(f['epoch_seconds'])} an epoch: timed on the default configuration",
        "GPU-hours": f"{short(gpu_hours['expected'])} expected, {short(gpu_hours['at_most'])} at most",
        "disk": f"{_bytes(disk['at_most'])} at most: {f['checkpoints']} checkpoints of "
        f"{_bytes(f['checkpoint_bytes'])} ({f['num_params']} parameters); {_bytes(disk['free'])} are free",
        "W&B": f["wandb"],
        "storage": f["storage"],
    }
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
    table = _table()
    names = [name for name in f["examples"][0] if any(e[name] != f["examples"][0][name] for e in f["examples"])]
    for name in names:
        table.add_column(name, justify="right")
    for example in f["examples"]:
        table.add_row(*(short(example[name]) for name in names))
    console.print(table, highlight=False)


def _bytes(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.3g} {units[0]}"


def _header(results: Results) -> str:
    from rich.markup import escape

    sweep = results.sweep
    scheduler = sweep.get("scheduler") or {}
    method = [sweep.get("searcher"), scheduler.get("name")]
    parts = [escape(str(sweep.get("task"))), escape(" + ".join(str(part) for part in method if part))]
    planned = sweep.get("trials") or 0
    counts = {"trials": len(results.trials), **results.counts, "planned": planned}
    parts += [_counts_text(counts), f"{results.num_epochs} epochs"]
    parts.append(duration(results.seconds))
    return f"[bold]{escape(results.name)}[/]  " + " · ".join(part for part in parts if part)


def _counts_text(counts: dict[str, Any]) -> str:
    several = [f"[{STATUS_STYLE[s]}]{counts[s]} {s}[/]" for s in Status if counts[s]]
    begun, planned = counts["trials"], counts["planned"]
    total = f"{begun} of {_trials(planned)}" if begun < planned else _trials(begun)
    return f"{total}: {', '.join(several)}" if several else total


def _trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"


def _description(results: Results) -> str:
    figures = results.ranked[c.OBJECTIVE].describe()
    names = ("mean", "std", "min", "25%", "50%", "75%", "max")
    shown = [f"[dim]{name}[/] {short(figures[name])}" for name in names if not math.isnan(figures[name])]
    return f"{results.objective_name} of {_trials(int(figures['count']))}:  {'  '.join(shown)}"


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: list[str]
    importance: int  # the least important are left out where the terminal is too narrow
    right: bool = True
    after: _Column | None = None  # left out wherever this one is

    @property
    def width(self) -> int:
        return max(len(text) for text in [*self.cells, *self.heading.split("\n")])


def _table() -> Any:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0))


def _print_top(results: Results, console: Console, top: int) -> None:
    from rich.markup import escape

    columns = _top_columns(results, top)
    shown = _that_fit(columns, console.width)
    table = _table()
    for column in shown:
        table.add_column(escape(column.heading), justify="right" if column.right else "left", no_wrap=True)
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*(f"[{STATUS_STYLE[cell]}]{cell}[/]" if cell in STATUS_STYLE else escape(cell) for cell in row))
    console.print(table, highlight=False)
    left_out = ", ".join(column.heading.replace("\n", "") for column in columns if column not in shown)
    if left_out:
        console.print(f"[dim]not shown: {escape(left_out)}; a wider terminal or --json has them[/]")


def _top_columns(results: Results, top: int) -> list[_Column]:
    rows = results.listed.head(top)
    ranks = {trial_id: rank for rank, trial_id in enumerate(results.ranked[c.TRIAL_ID], 1)}

    def cells(column: str, show: Callable[[Any], str] = short) -> list[str]:
        return [show(value) for value in rows[column]]

    epochs = [f"{best}/{all_}" for best, all_ in zip(cells(c.BEST_EPOCH), cells(c.EPOCHS), strict=True)]
    columns = [
        _Column("#", [str(ranks[trial_id]) for trial_id in rows[c.TRIAL_ID]], 100),
        _Column("trial", cells(c.TRIAL_ID), 100, right=False),
        _Column("status", cells(c.STATUS), 80, right=False),
        _Column(_broken(results.objective_name), cells(c.OBJECTIVE), 100),
        _Column("epoch", epochs, 70),
        _Column("time", cells(c.SECONDS, duration), 40),
    ]
    before = None
    for number, name in enumerate(results.metrics):
        heading, importance = _broken(name.removeprefix(c.METRIC_PREFIX)), 65 if number == 0 else 30 - number
        before = _Column(heading, cells(name), importance, after=before)
        columns.append(before)
    for name in results.varied:
        shown = [value if len(value) <= 24 else value[:23] + "…" for value in cells(name, lambda v: short(v, 3))]
        right = not any(isinstance(value, str) for value in rows[name])
        columns.append(_Column(_broken(name.removeprefix(c.CONFIG_PREFIX)), shown, 60, right))
    return columns


def _that_fit(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The most important ones that fit, in their own order; of equally important ones the narrow."""
    left = width
    chosen = []
    for column in sorted(columns, key=lambda column: (-column.importance, column.width)):
        fits = column.width + GAP <= left and (column.after is None or column.after in chosen)
        if fits or column.importance == 100:
            left -= column.width + GAP
            chosen.append(column)
    return [column for column in columns if column in chosen]


def _broken(heading: str) -> str:
    """`color_weight` on two lines: a heading is seldom to be wider than its numbers."""
    return heading.replace("_", "_\n") if len(heading) > 8 else heading


def _failures_table(results: Results) -> Any:
    from rich.markup import escape

    table = _table()
    table.add_column("failures", justify="right")
    table.add_column("error", style="red", overflow="fold")
    table.add_column("trials", overflow="fold")
    for error, trial_ids in results.failures:
        more = " …" if len(trial_ids) > 5 else ""
        table.add_row(str(len(trial_ids)), escape(error), " ".join(trial_ids[:5]) + more)
    return table
