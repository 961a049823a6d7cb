"""The results of a sweep, read from its Parquet tables alone, and as JSON."""

from __future__ import annotations

import difflib
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.confirmation import Confirmed, confirmations
from balltrain.storage import SWEEP_FILE

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

LANE_OVERLAP_S = 0.5  # that a trial's start may seem to lie before the end of the one before it


@dataclass(frozen=True, eq=False)
class Results:
    """A sweep's tables. Integer columns are nullable, columns of `trials` in `json_columns` hold JSON text.

    `where` is the condition that `trials` were chosen by, where they are not all; `sort` the order they have been
    put into, where it is not that of the journal.
    """

    folder: Path
    sweep: dict[str, Any]
    trials: pd.DataFrame
    json_columns: frozenset[str]
    where: str | None = None
    sort: str | None = None

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """Read when first asked for: most of a large sweep's rows are here."""
        epochs = _data_frame(_read_table(self.folder / c.EPOCHS_FILE))
        return epochs if self.where is None else epochs[epochs[c.TRIAL_ID].isin(self.trials[c.TRIAL_ID])]

    @cached_property
    def searched_epochs(self) -> pd.DataFrame:
        """The rows of `epochs` that are of the search: without those of trials that went on after it."""
        last = self.searched.set_index(c.TRIAL_ID).reindex(columns=[c.CONTINUED_AFTER])[c.CONTINUED_AFTER]
        rows = self.epochs[self.epochs[c.TRIAL_ID].isin(last.index)]
        return rows[~(rows[c.EPOCH] > rows[c.TRIAL_ID].map(last)).fillna(False).astype(bool)]

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
    def searched(self) -> pd.DataFrame:
        """What the search trained: without those that were not trained again, and those that confirm."""
        return self.trials[self.confirms.isna() & self.same_as.isna()]

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Trials that the search trained, did not fail and have an objective, the best first."""
        return self._ranked(self.searched)

    @cached_property
    def compared(self) -> pd.DataFrame:
        """`ranked` by the search's epochs alone: a trial that went on after it has had more than the others."""
        if not self.went_on.any():
            return self.ranked
        values = self.searched_epochs.groupby(c.TRIAL_ID)[self.objective_column]
        best = values.min() if self.mode == "min" else values.max()
        went_on = self.ranked[c.TRIAL_ID].isin(self.trials[c.TRIAL_ID][self.went_on])
        objectives = self.ranked[c.OBJECTIVE].mask(went_on, self.ranked[c.TRIAL_ID].map(best))
        return self._ranked(self.ranked.assign(**{c.OBJECTIVE: objectives}))

    @property
    def listed(self) -> pd.DataFrame:
        """The trials of `ranked`, in the order that was asked for."""
        if self.sort is None:
            return self.ranked
        return self.trials[self.trials[c.TRIAL_ID].isin(self.ranked[c.TRIAL_ID])]

    @cached_property
    def best(self) -> pd.Series | None:
        """The first of `ranked`; once there is a confirmed winner, its best training."""
        among = self.ranked
        _, winner = self.confirmed
        if winner is not None:
            is_winner = (self.trials[c.TRIAL_ID] == winner.trial_id) | (self.confirms == winner.trial_id)
            among = self._ranked(self.trials[is_winner & self.trials[c.CHECKPOINT].notna()])
        return among.iloc[0] if len(among) else None

    @property
    def went_on(self) -> pd.Series:
        """By row of `trials`, whether it was continued after the search."""
        return self.same_as.isna() & self.trials.reindex(columns=[c.CONTINUED_AFTER])[c.CONTINUED_AFTER].notna()

    @property
    def confirms(self) -> pd.Series:
        """By row of `trials`, the trial_id that it repeats; missing for those of the search."""
        return self._trial_ids(c.CONFIRMS)

    @property
    def same_as(self) -> pd.Series:
        """By row of `trials`, the trial_id of the one with its configuration; missing for those that were trained."""
        return self._trial_ids(c.SAME_AS)

    def _trial_ids(self, column: str) -> pd.Series:
        import pandas as pd

        there = self.trials.get(column)  # not in the tables of the first version
        return pd.Series(None, self.trials.index, dtype=object) if there is None else there

    @cached_property
    def confirmed(self) -> tuple[list[Confirmed], Confirmed | None]:
        """What was trained again with new seeds, the best mean first, and the winner, if all of it has ended."""
        if self.where is not None:  # of a part of the trials it would be wrong
            return [], None
        again = self.trials[self.confirms.notna()]
        rows = zip(self.confirms[again.index], again[c.STATUS], map(plain, again[c.OBJECTIVE]), strict=True)
        return confirmations(rows, self.sweep.get("repeats") or 0, self.mode)

    def _ranked(self, trials: pd.DataFrame) -> pd.DataFrame:
        valid = trials[(trials[c.STATUS] != Status.FAILED) & trials[c.OBJECTIVE].notna()]
        return valid.sort_values(c.OBJECTIVE, ascending=self.mode == "min", kind="stable")

    @cached_property
    def failed(self) -> pd.DataFrame:
        return self.trials[self.trials[c.STATUS] == Status.FAILED]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Trials by status, every status among them."""
        there = self.trials[c.STATUS].value_counts()
        return {status.value: int(there.get(status, 0)) for status in Status}

    @cached_property
    def varied(self) -> list[str]:
        """The `config.` columns that differ between trials and are searched; but for the epochs, which are no choice.

        What a model's choice brings along differs too, but is nobody's choice: the model says it.
        """
        searched = _keys(self.sweep.get("space"))
        columns = [name for name in self.trials.columns if name.startswith(c.CONFIG_PREFIX)]
        if searched:
            columns = [column for column in columns if column.removeprefix(c.CONFIG_PREFIX) in searched]
        columns = [column for column in columns if column != c.CONFIG_PREFIX + c.EPOCHS]
        return [column for column in columns if self.trials[column].nunique(dropna=False) > 1]

    @cached_property
    def metrics(self) -> list[str]:
        """The `metric.` columns with a value in any trial, but for the objective's own."""
        found = [column for column in self.trials.columns if column.startswith(c.METRIC_PREFIX)]
        return [column for column in found if column != self.objective_column and self.trials[column].notna().any()]

    @cached_property
    def cross_validation(self) -> list[dict[str, Any]]:
        """Of each configuration whose folds have all ended: mean and 95 % interval, the best mean first.

        The interval is Student's t over the folds. Folds share training items, so that it is a little narrow
        (Bengio and Grandvalet, JMLR 2004).
        """
        folds = self.sweep.get("folds")
        if not folds:
            return []
        found = []
        for _, trials in self.ranked.groupby(self.ranked[c.NUMBER] // folds):
            if len(trials) == folds:
                figures = {self.objective_name: c.OBJECTIVE}
                figures |= {name.removeprefix(c.METRIC_PREFIX): name for name in self.metrics}
                intervals = {name: _interval(trials[column]) for name, column in figures.items()}
                found.append({"trial_ids": sorted(trials[c.TRIAL_ID]), **intervals})
        sign = 1 if self.mode == "min" else -1
        return sorted(found, key=lambda entry: sign * entry[self.objective_name]["mean"])

    @cached_property
    def progress(self) -> pd.DataFrame:
        """The search's rows of `epochs` in the order they were trained, with `seconds_since_start`, `trained` (epochs
        by all trials until then) and `best` (objective so far, of trials that did not fail).
        """
        import pandas as pd

        rows = self.epochs.merge(self.searched[[c.TRIAL_ID, c.STARTED_AT, c.STATUS]], on=c.TRIAL_ID)
        rows = rows[rows[c.STARTED_AT].notna()]
        ran = pd.to_timedelta(rows.groupby(c.TRIAL_ID)[c.SECONDS].cumsum(), unit="s")
        since = (rows[c.STARTED_AT] + ran - rows[c.STARTED_AT].min()).dt.total_seconds()
        rows = rows.assign(seconds_since_start=since).sort_values("seconds_since_start", kind="stable")
        rows = rows.assign(trained=range(1, len(rows) + 1))
        values = rows[self.objective_column].where(rows[c.TRIAL_ID].isin(self.ranked[c.TRIAL_ID]))
        best = values.cummin() if self.mode == "min" else values.cummax()
        return rows.assign(best=best.ffill())

    @cached_property
    def spans(self) -> pd.DataFrame:
        """`trials` that have begun, in the order they did, with `end` wherever they have no `ended_at`."""
        import pandas as pd

        begun = self.trials[self.trials[c.STARTED_AT].notna()]
        # a trial that runs, or was killed, has no end: it has run at least as long as its epochs took
        ran = pd.to_timedelta(begun[c.SECONDS].fillna(0.0), unit="s")
        return begun.assign(end=begun[c.ENDED_AT].fillna(begun[c.STARTED_AT] + ran)).sort_values(c.STARTED_AT)

    @cached_property
    def lanes(self) -> pd.DataFrame:
        """`spans` with `since` and `until` in seconds after the first start, and the `lane` of each trial: one of as
        many on a node as trials ran there at a time.
        """
        spans = self.spans.dropna(subset=[c.NODE])
        origin = spans[c.STARTED_AT].min()
        since = (spans[c.STARTED_AT] - origin).dt.total_seconds()
        until = (spans["end"] - origin).dt.total_seconds()
        free: dict[str, list[float]] = {}  # when each lane of a node's became free
        places = []
        for node, start, end in zip(spans[c.NODE], since, until, strict=True):
            ends = free.setdefault(node, [])
            number = next((i for i, busy_until in enumerate(ends) if busy_until <= start + LANE_OVERLAP_S), len(ends))
            ends[number : number + 1] = [end]
            places.append(number + 1)
        found = spans.assign(since=since, until=until, place=places)
        found = found.assign(lane=found[c.NODE].str.cat(found["place"].astype(str), sep=" · "))
        return found.sort_values([c.NODE, "place", "since"])

    @cached_property
    def idle(self) -> pd.DataFrame:
        """`lane`, `since` and `until` of what lies between and around the trials of each lane."""
        import pandas as pd

        end, found = float(self.lanes["until"].max()) if len(self.lanes) else 0.0, []
        for lane, trials in self.lanes.groupby("lane", sort=False):
            edges = [0.0, *trials["until"]]
            for since, until in zip(edges, [*trials["since"], end], strict=True):
                if until - since > LANE_OVERLAP_S:
                    found.append((lane, since, until))
        return pd.DataFrame(found, columns=["lane", "since", "until"])

    @cached_property
    def num_epochs(self) -> int:
        """Trained by all trials together."""
        return int(self.trials[c.EPOCHS].sum())

    @cached_property
    def seconds(self) -> float:
        """Time during which a trial ran: the pause before a resumed sweep went on does not count."""
        total, until = 0.0, None
        for first, last in zip(self.spans[c.STARTED_AT], self.spans["end"], strict=True):
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
        return own if own.exists() and (self.where or not best.exists()) else best

    def config(self, trial: pd.Series) -> dict[str, Any]:
        """All hyperparameters of a row of `trials`, as JSON."""
        return {
            column.removeprefix(c.CONFIG_PREFIX): _decoded(value) if column in self.json_columns else plain(value)
            for column, value in trial.items()
            if isinstance(column, str) and column.startswith(c.CONFIG_PREFIX)
        }


def load_results(storage: Path, name: str) -> Results:
    """The results of the sweep `<storage>/<name>`; `name` may also be the path of its folder.

    Raises BalltrainError where there is none, it has no tables yet, or they are damaged.
    """
    folder = next((path for path in (storage / name, Path(name)) if _is_sweep(path)), None)
    if folder is None:
        raise BalltrainError(_not_there(storage, name))
    sweep = _read_sweep(folder)
    for file in (c.TRIALS_FILE, c.EPOCHS_FILE):
        if not (folder / file).is_file():
            raise BalltrainError(
                f"{folder} has no {file} yet: the sweep has just begun, or was killed as it began; "
                "ask again in half a minute, or go on with it by --resume"
            )
    trials = _read_table(folder / c.TRIALS_FILE)
    _check_version(_opened(folder / c.EPOCHS_FILE), folder / c.EPOCHS_FILE)
    json_columns = frozenset(field.name for field in trials.schema if c.JSON_MARK in (field.metadata or {}))
    return Results(folder, sweep, _data_frame(trials), json_columns)


def list_sweeps(storage: Path) -> list[dict[str, Any]]:
    """The sweeps in a storage, the newest first; one that cannot be read has an `error`.

    Raises BalltrainError where there is no such folder.
    """
    if not storage.is_dir():
        raise BalltrainError(f"there is no folder {storage}: give --storage, or run a sweep first")
    found = [_summarise(folder) for folder in storage.iterdir() if _is_sweep(folder)]
    return sorted(found, key=lambda sweep: sweep["started"] or "", reverse=True)


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


def _interval(values: pd.Series) -> dict[str, float]:
    """Mean, and the half width of its 95 % confidence interval."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5
    return {"mean": float(values.mean()), "interval": float(half)}


def _is_sweep(folder: Path) -> bool:
    return (folder / SWEEP_FILE).is_file()


def _not_there(storage: Path, name: str) -> str:
    if not storage.is_dir():
        return f"no sweep {name!r}: there is no folder {storage}; give --storage, or run a sweep first"
    names = [sweep["name"] for sweep in list_sweeps(storage)]
    if not names:
        return f"no sweep {name!r} in {storage}, which holds none: give --storage, or run a sweep first"
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"no sweep {name!r} in {storage}: did you mean {near[0]}?"
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


def _read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    import pyarrow as pa

    file = _opened(path)
    _check_version(file, path)
    if columns is not None:  # an older version's table may lack one
        columns = [name for name in columns if name in file.schema_arrow.names]
    try:
        return file.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise BalltrainError(_damaged(path, error)) from error


def _opened(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise BalltrainError(_damaged(path, error)) from error


def _check_version(file: pq.ParquetFile, path: Path) -> None:
    """Raises BalltrainError for a table of a newer version, or one that lacks what every version writes."""
    version = int((file.schema_arrow.metadata or {}).get(c.VERSION_MARK, b"1"))
    if version > c.TABLES_VERSION:
        raise BalltrainError(
            f"{path} is of version {version}, this balltrain reads up to {c.TABLES_VERSION}: upgrade balltrain"
        )
    needed = (c.TRIAL_ID, c.STATUS, c.OBJECTIVE) if path.name == c.TRIALS_FILE else (c.TRIAL_ID, c.EPOCH, c.VAL_LOSS)
    for column in needed:
        if column not in file.schema_arrow.names:
            raise BalltrainError(
                f"{path} has no column {column!r}: it was not written by balltrain, or by another version"
            )


def _data_frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return table.to_pandas(types_mapper=nullable.get)


def _damaged(path: Path, error: Exception | str) -> str:
    reason = " ".join(str(error).split())[:120]
    return f"cannot read {path} ({reason}): the journal holds the same, the sweep with --resume writes it anew"


def _summarise(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "name": folder.name,
        "task": None,
        "trials": 0,
        **{status.value: 0 for status in Status},
    }
    summary |= {"planned": 0, "objective": None, "best": None, "started": None, "error": None}
    try:
        sweep = _read_sweep(folder)
        summary |= {"task": sweep.get("task"), "objective": sweep.get("objective")}
        summary |= {"planned": sweep.get("trials") or 0, "started": sweep.get("created_at")}
        if not (folder / c.TRIALS_FILE).is_file():
            return summary
        wanted = [c.TRIAL_ID, c.STATUS, c.OBJECTIVE, c.CHECKPOINT, c.STARTED_AT, c.SAME_AS, c.CONFIRMS]
        trials = _data_frame(_read_table(folder / c.TRIALS_FILE, wanted))
        results = Results(folder, sweep, trials, frozenset())
        best = plain(results.best[c.OBJECTIVE]) if results.best is not None else None
        started = plain(trials[c.STARTED_AT].min()) or summary["started"]
        return summary | {"trials": len(trials), **results.counts, "best": best, "started": started}
    except (BalltrainError, KeyError) as error:
        return summary | {"error": f"damaged: {error}"}


def _decoded(cell: Any) -> Any:
    """The value of a cell's JSON text; NaN and the infinities, which strict JSON lacks, as their names."""
    return json.loads(cell, parse_constant=str) if isinstance(cell, str) else None


def _keys(space: Any) -> set[str]:
    """Of a space as `sweep.json` has it, those inside of choices too. Empty where the sweep does not say it."""
    if isinstance(space, dict):
        return {key for name, inner in space.items() for key in ({name} | _keys(inner))}
    return {key for inner in space for key in _keys(inner)} if isinstance(space, list) else set()
