"""The results of a sweep, read from its Parquet tables alone, as a terminal table and as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError
from balltrain.tuning import columns as c

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

SWEEP_FILE, TRIALS_FILE, EPOCHS_FILE = "sweep.json", "trials.parquet", "epochs.parquet"
GAP = 2  # characters between two columns of a terminal table
STATUS_STYLE = {
    c.RUNNING: "cyan",
    c.COMPLETED: "green",
    c.STOPPED: "yellow",
    c.FAILED: "red",
    c.INTERRUPTED: "magenta",
}


@dataclass(frozen=True)
class Results:
    """A sweep's tables. Integer columns are nullable, hyperparameters that are lists are JSON text."""

    folder: Path
    sweep: dict[str, Any]
    trials: pd.DataFrame
    epochs: pd.DataFrame

    @property
    def name(self) -> str:
        return self.sweep.get("name") or self.folder.name

    @property
    def mode(self) -> str:
        return self.sweep.get("mode", "min")

    @property
    def objective_name(self) -> str:
        return self.sweep.get("objective", c.VAL_LOSS)

    @property
    def objective_column(self) -> str:
        """The objective's column in `epochs`."""
        plain = self.objective_name in (c.VAL_LOSS, c.TRAIN_LOSS)
        return self.objective_name if plain else c.METRIC_PREFIX + self.objective_name

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Trials that did not fail and have an objective, the best first."""
        valid = self.trials[(self.trials[c.STATUS] != c.FAILED) & self.trials[c.OBJECTIVE].notna()]
        return valid.sort_values(c.OBJECTIVE, ascending=self.mode == "min", kind="stable")

    @cached_property
    def best(self) -> pd.Series | None:
        return self.ranked.iloc[0] if len(self.ranked) else None

    @cached_property
    def failed(self) -> pd.DataFrame:
        return self.trials[self.trials[c.STATUS] == c.FAILED]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Trials by status, every status among them."""
        there = self.trials[c.STATUS].value_counts()
        return {status: int(there.get(status, 0)) for status in c.STATUSES}

    @cached_property
    def varied(self) -> list[str]:
        """The `config.` columns that differ between trials."""
        configs = [column for column in self.trials.columns if column.startswith(c.CONFIG_PREFIX)]
        return [column for column in configs if self.trials[column].nunique(dropna=False) > 1]

    @cached_property
    def metrics(self) -> list[str]:
        """The `metric.` columns with a value in any trial, but for the objective's own."""
        found = [column for column in self.trials.columns if column.startswith(c.METRIC_PREFIX)]
        return [column for column in found if column != self.objective_column and self.trials[column].notna().any()]

    @cached_property
    def num_epochs(self) -> int:
        """Trained by all trials together."""
        return int(self.trials[c.EPOCHS].sum())

    @cached_property
    def seconds(self) -> float:
        """Time during which a trial ran: the pause before a resumed sweep went on does not count."""
        import pandas as pd

        begun = self.trials[self.trials[c.STARTED_AT].notna()]
        start = begun[c.STARTED_AT]
        # a trial that runs, or was killed, has no end: it has run at least as long as its epochs took
        end = begun[c.ENDED_AT].fillna(start + pd.to_timedelta(begun[c.SECONDS].fillna(0.0), unit="s"))
        total, until = 0.0, None
        for first, last in sorted(zip(start, end, strict=True)):
            if until is None or last > until:
                total += (last - (first if until is None else max(first, until))).total_seconds()
                until = last
        return total

    @cached_property
    def failures(self) -> list[tuple[str, list[str]]]:
        """(error, trial ids), the most frequent first. Errors that differ in numbers alone are one, with `…`."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for trial_id, error in zip(self.failed[c.TRIAL_ID], self.failed[c.ERROR], strict=True):
            error = error if isinstance(error, str) and error else "unknown error"
            groups.setdefault(re.sub(r"\d+(\.\d+)?", "…", error), []).append((trial_id, error))
        found = []
        for pattern, members in groups.items():
            same = len({error for _, error in members}) == 1
            found.append((members[0][1] if same else pattern, [trial_id for trial_id, _ in members]))
        return sorted(found, key=lambda failure: -len(failure[1]))

    @property
    def checkpoint(self) -> Path:
        """Of the best trial: `best/`, or the trial's own while the sweep runs."""
        best = self.folder / "best"
        own = self.folder / "checkpoints" / str(self.best[c.TRIAL_ID]) if self.best is not None else best
        return own if own.exists() and not best.exists() else best

    def config(self, trial: pd.Series) -> dict[str, Any]:
        """All hyperparameters of a row of `trials`, as JSON."""
        return {
            column.removeprefix(c.CONFIG_PREFIX): self._decode(value)
            for column, value in trial.items()
            if isinstance(column, str) and column.startswith(c.CONFIG_PREFIX)
        }

    @cached_property
    def _strings(self) -> set[str]:
        """Strings in the sweep's space: those are no JSON, even where they look it, as "18" in a choice does."""
        return set(_strings_in([self.sweep.get("space"), self.sweep.get("hyperparameters")]))

    def _decode(self, value: Any) -> Any:
        if not isinstance(value, str):
            return plain(value)
        if value in self._strings:
            return value
        try:
            decoded = json.loads(value, parse_constant=lambda text: text)
        except ValueError:
            return value
        return value if isinstance(decoded, str) else decoded


def load_results(storage: Path, name: str) -> Results:
    """The results of the sweep `<storage>/<name>`; `name` may also be the path of its folder.

    Raises BalltrainError where there is none, it has no tables yet, or they are damaged.
    """
    folder = next((path for path in (storage / name, Path(name)) if _is_sweep(path)), None)
    if folder is None:
        raise BalltrainError(_not_there(storage, name))
    sweep = _read_sweep(folder)
    for file in (TRIALS_FILE, EPOCHS_FILE):
        if not (folder / file).is_file():
            raise BalltrainError(
                f"{folder} has no {file} yet: the sweep has just begun, or was killed as it began; "
                "ask again in half a minute, or go on with it by --resume"
            )
    trials, epochs = _read_table(folder / TRIALS_FILE), _read_table(folder / EPOCHS_FILE)
    return Results(folder, sweep, trials, epochs)


def list_sweeps(storage: Path) -> list[dict[str, Any]]:
    """The sweeps in a storage, the newest first; one that cannot be read has an `error`.

    Raises BalltrainError where there is no such folder.
    """
    if not storage.is_dir():
        raise BalltrainError(f"there is no folder {storage}: give --storage, or run a sweep first")
    found = [_summarise(folder) for folder in storage.iterdir() if _is_sweep(folder)]
    return sorted(found, key=lambda sweep: sweep["started"] or "", reverse=True)


def summary_json(results: Results) -> dict[str, Any]:
    """What `sweep --json` prints: strict JSON, `best` is null where no trial has an objective."""
    best = results.best
    return {
        "name": results.name,
        "storage": str(results.folder.parent),
        "task": results.sweep.get("task"),
        "objective": results.objective_name,
        "mode": results.mode,
        "trials": len(results.trials),
        "planned": results.sweep.get("trials"),
        **results.counts,
        "epochs": results.num_epochs,
        "best": None
        if best is None
        else {
            "trial_id": best[c.TRIAL_ID],
            "objective": plain(best[c.OBJECTIVE]),
            "epoch": plain(best[c.BEST_EPOCH]),
            "config": results.config(best),
            "checkpoint": str(results.checkpoint),
        },
        "seconds": round(results.seconds, 3),
    }


def results_json(results: Results, top: int) -> dict[str, Any]:
    """What `results --json` prints: the summary, the `top` trials, the failures, figures of the objectives."""
    return {
        **summary_json(results),
        "top": [_trial_json(results, trial) for _, trial in results.ranked.head(top).iterrows()],
        "failures": [{"error": error, "trial_ids": trial_ids} for error, trial_ids in results.failures],
        "objectives": {key: plain(value) for key, value in results.ranked[c.OBJECTIVE].describe().items()},
    }


def print_results(results: Results, console: Console, top: int = 10) -> None:
    """The best trials, the failures, figures of all objectives, and where the best checkpoint is."""
    from rich.markup import escape

    console.print(_header(results), highlight=False)
    if len(results.ranked):
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
    lines = [f"best checkpoint: {results.checkpoint}", f"balltrain evaluate {quoted(results.checkpoint)}"]
    if not results.checkpoint.exists():
        lines = [lines[0] + ", which is not there"]
    for line in lines:  # not wrapped, so that it can be copied
        console.print(escape(line), highlight=False, soft_wrap=True)


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


def short(value: Any, digits: int = 4) -> str:
    """A cell's value in few characters; nothing for a missing one."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return re.sub(r"e([+-])0*", lambda e: "e" + e[1].strip("+"), f"{value:.{digits}g}")  # 3.2e-05 → 3.2e-5
    return str(value)


def duration(seconds: float) -> str:
    """Two units at most: `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for size, unit, part, part_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"


def plain(value: Any) -> Any:
    """A cell as strict JSON: numpy's numbers as Python's, times as ISO 8601, else None."""
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()  # NaT differs from itself
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None  # pandas.NA


def quoted(path: Path | str) -> str:
    """As it is typed into a shell."""
    import shlex

    return shlex.quote(str(path))


def _is_sweep(folder: Path) -> bool:
    return (folder / SWEEP_FILE).is_file()


def _not_there(storage: Path, name: str) -> str:
    if not storage.is_dir():
        return f"no sweep {name!r}: there is no folder {storage}; give --storage, or run a sweep first"
    names = [sweep["name"] for sweep in list_sweeps(storage)]
    if not names:
        return f"no sweep {name!r} in {storage}, which holds none: give --storage, or run a sweep first"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"no sweep {name!r} in {storage}: it has {', '.join(names[:5])}{more}"


def _read_sweep(folder: Path) -> dict[str, Any]:
    path = folder / SWEEP_FILE
    try:
        sweep = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BalltrainError(_damaged(path, error)) from error
    if not isinstance(sweep, dict):
        raise BalltrainError(_damaged(path, "it holds no object"))
    return sweep


def _read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    try:
        return pq.read_table(path, columns=columns).to_pandas(types_mapper=nullable.get)
    except (OSError, pa.ArrowException) as error:
        raise BalltrainError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception | str) -> str:
    reason = " ".join(str(error).split())[:120]
    return f"cannot read {path} ({reason}): the journal holds the same, the sweep with --resume writes it anew"


def _summarise(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = {"name": folder.name, "task": None, "trials": 0, **dict.fromkeys(c.STATUSES, 0)}
    summary |= {"planned": 0, "objective": None, "best": None, "started": None, "error": None}
    try:
        sweep = _read_sweep(folder)
        summary |= {"task": sweep.get("task"), "objective": sweep.get("objective")}
        summary |= {"planned": sweep.get("trials") or 0, "started": sweep.get("created_at")}
        if not (folder / TRIALS_FILE).is_file():
            return summary
        wanted = [c.STATUS, c.OBJECTIVE, c.STARTED_AT]
        results = Results(folder, sweep, trials := _read_table(folder / TRIALS_FILE, wanted), trials)
        best = plain(results.best[c.OBJECTIVE]) if results.best is not None else None
        started = plain(trials[c.STARTED_AT].min()) or summary["started"]
        return summary | {"trials": len(trials), **results.counts, "best": best, "started": started}
    except (BalltrainError, KeyError) as error:
        return summary | {"error": f"damaged: {error}"}


def _trial_json(results: Results, trial: pd.Series) -> dict[str, Any]:
    own = [c.TRIAL_ID, c.STATUS, c.OBJECTIVE, c.BEST_EPOCH, c.EPOCHS, c.SECONDS, c.STARTED_AT, c.ENDED_AT]
    own += [c.CHECKPOINT, c.NODE, c.SEED, c.NUM_PARAMS]
    metrics = [name for name in trial.index if name.startswith(c.METRIC_PREFIX)]
    return {
        **{name: plain(trial[name]) for name in own},
        "metrics": {name.removeprefix(c.METRIC_PREFIX): plain(trial[name]) for name in metrics},
        "config": results.config(trial),
    }


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
    several = [f"[{STATUS_STYLE[s]}]{counts[s]} {s}[/]" for s in c.STATUSES if counts[s]]
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
    rows = results.ranked.head(top)

    def cells(column: str, show: Callable[[Any], str] = short) -> list[str]:
        return [show(value) for value in rows[column]]

    epochs = [f"{best}/{all_}" for best, all_ in zip(cells(c.BEST_EPOCH), cells(c.EPOCHS), strict=True)]
    columns = [
        _Column("#", [str(rank + 1) for rank in range(len(rows))], 100),
        _Column("trial", cells(c.TRIAL_ID), 100, right=False),
        _Column("status", cells(c.STATUS), 80, right=False),
        _Column(_broken(results.objective_name), cells(c.OBJECTIVE), 100),
        _Column("epoch", epochs, 70),
        _Column("time", cells(c.SECONDS, duration), 40),
    ]
    for number, name in enumerate(results.metrics):
        columns.append(
            _Column(_broken(name.removeprefix(c.METRIC_PREFIX)), cells(name), 65 if number == 0 else 30 - number)
        )
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
        if column.width + GAP <= left or column.importance == 100:
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


def _strings_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for inner in value for text in _strings_in(inner)]
    return [value] if isinstance(value, str) else []
