"""The results of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.cross_validation import cross_validation
from balltrain.reporting.failures import failures
from balltrain.reporting.feasibility import broken, in_words
from balltrain.reporting.front import front_in_words, trades
from balltrain.reporting.intervals import against_published, of_best
from balltrain.reporting.occupancy import running_seconds
from balltrain.reporting.reference import FIGURES, caution, described, published
from balltrain.reporting.terminal.style import counts_text, num_trials, plain_table
from balltrain.reporting.terminal.top import print_top
from balltrain.reporting.text import duration, method_of, quoted, short
from balltrain.reporting.verdict import verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_results(results: Results, console: Console, top: int = 10) -> None:
    """The best trials, the failures, figures of all objectives, and where the best checkpoint is."""
    from rich.markup import escape

    console.print(_header(results), highlight=False)
    if results.where is not None:
        console.print(f"[dim]only trials with[/] {escape(results.where)}", highlight=False)
    if len(results.listed):
        console.print()
        print_top(results, console, top)
    if results.marks:
        console.print()
        for trial_id, mark in results.marks.items():
            console.print(f"{trial_id} {'★ ' * mark.star}{escape(mark.note)}", highlight=False)
    if found := failures(results):
        console.print()
        console.print(_failures_table(found))
    console.print()
    for bound in broken(results):
        console.print(escape(in_words(bound)), highlight=False)
    if results.best is None:
        console.print(f"No trial has a {escape(results.objective_name)} yet, so there is no best checkpoint.")
        return
    console.print(_description(results), highlight=False)
    if results.goals is not None:
        for line in (front_in_words(results), *trades(results)):
            console.print(escape(line), highlight=False)
    if num_same := int(results.same_as.notna().sum()):
        console.print(f"{num_same} had the configuration of an earlier trial, and were not trained again")
    if num_went_on := int(results.went_on.sum()):
        console.print(
            f"the search's best {num_went_on} went on after it: up to epoch {results.sweep['continue_epochs']}"
        )
    for entry in cross_validation(results)[:top]:
        figures = (
            f"{name} {short(v['mean'])} ± {short(v['interval'], 2)}"
            for name, v in entry.items()
            if "_ids" not in name
        )
        console.print(f"mean of {len(entry['trial_ids'])} folds, 95 %:  {'  '.join(figures)}", highlight=False)
    _print_confirmations(results, console)
    if results.goals is None and not results.confirmed[0] and not results.sweep.get("folds"):
        console.print(f"[dim]trial {results.best[c.TRIAL_ID]}: {of_best(results)}[/]", highlight=False)
    lines = [f"best checkpoint: {results.checkpoint}", f"balltrain evaluate {quoted(results.checkpoint)}"]
    if results.sweep.get("program"):  # which alone knows how to use it
        lines = lines[:1]
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
    table = plain_table()
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


def _header(results: Results) -> str:
    from rich.markup import escape

    sweep = results.sweep
    parts = [escape(str(sweep.get("task"))), escape(method_of(sweep))]
    planned = sweep.get("trials") or 0
    counts = {"trials": len(results.trials), **results.counts, "planned": planned}
    parts += [counts_text(counts), f"{results.num_epochs} epochs"]
    parts.append(duration(running_seconds(results)))
    return f"[bold]{escape(results.name)}[/]  " + " · ".join(part for part in parts if part)


def _description(results: Results) -> str:
    """Figures of the objectives, and on a second line those of the reference."""
    from rich.markup import escape

    figures = described(results)
    ended = [f"[dim]The search ended early: {escape(limit)}.[/]"] if (limit := results.sweep.get("limit")) else []
    lines = [*ended, f"{results.objective_name} of {num_trials(int(figures['count']))}:  {_figures_text(figures)}"]
    if (theirs := published(results)) is not None:
        name = escape(str(theirs["name"]))
        lines.append(f"published, {name}, of {num_trials(int(theirs['count']))}:  {_figures_text(theirs)}")
    lines += [f"[dim]{escape(text)}[/]" for text in (caution(results), against_published(results)) if text]
    return "\n".join(lines)


def _figures_text(figures: Mapping[str, Any]) -> str:
    names = [name for name in FIGURES if name != "count" and figures[name] is not None]
    return "  ".join(f"[dim]{name}[/] {short(figures[name])}" for name in names)


def _failures_table(found: list[tuple[str, list[str]]]) -> Table:
    from rich.markup import escape

    table = plain_table()
    table.add_column("failures", justify="right")
    table.add_column("error", style="red", overflow="fold")
    table.add_column("trials", overflow="fold")
    for error, trial_ids in found:
        more = " …" if len(trial_ids) > 5 else ""
        table.add_row(str(len(trial_ids)), escape(error), " ".join(trial_ids[:5]) + more)
    return table
