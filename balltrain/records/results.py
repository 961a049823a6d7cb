"""The results of a sweep, read from sweep.json and its Parquet tables alone."""

from __future__ import annotations

import difflib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records import ranking
from balltrain.records.columns import Status
from balltrain.records.confirmation import Confirmed
from balltrain.records.figures import EPOCH_SECONDS, LATENCY_SECONDS, LOSSES, NUM_PARAMS
from balltrain.records.goals import Goals
from balltrain.records.marks import Mark, read_marks
from balltrain.records.reading import check_table, data_frame, is_sweep, read_sweep, read_table

if TYPE_CHECKING:
    import pandas as pd


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
        epochs = data_frame(read_table(self.folder / c.EPOCHS_FILE))
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
        return str(self.sweep.get("mode", "min"))

    @property
    def objective_name(self) -> str:
        return str(self.sweep.get("objective", c.VAL_LOSS))

    @property
    def objective_column(self) -> str:
        """The objective's column in `epochs`."""
        plain = self.objective_name in (c.VAL_LOSS, c.TRAIN_LOSS)
        return self.objective_name if plain else c.METRIC_PREFIX + self.objective_name

    @cached_property
    def goals(self) -> Goals | None:
        """Where the sweep has several objectives."""
        return Goals.of(self.sweep)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The trials that none dominates, the best first; with one objective the best alone."""
        if self.goals is None:
            return self.ranked.head(1)
        return self._rows(ranking.front(self._standings, self.goals))

    @cached_property
    def figures(self) -> pd.DataFrame:
        """By row of `trials` the figures of all objectives, a column each, at the trial's best epoch."""
        import pandas as pd

        found = pd.DataFrame(index=self.trials.index)
        for name in (self.objective_name,) if self.goals is None else self.goals.names:
            found[name] = self._figure(name).astype(float)
        return found

    def _figure(self, name: str) -> pd.Series:
        import pandas as pd

        trials = self.trials
        if name == self.objective_name:
            return trials[c.OBJECTIVE]
        if name == EPOCH_SECONDS:
            return trials[c.SECONDS] / trials[c.EPOCHS].where(trials[c.EPOCHS] > 0)
        if name in LOSSES:
            rows = self.epochs.set_index([c.TRIAL_ID, c.EPOCH])[name]
            at = pd.MultiIndex.from_frame(trials[[c.TRIAL_ID, c.BEST_EPOCH]])
            return pd.Series(rows.reindex(at).to_numpy(), trials.index)
        metric = trials.get(c.METRIC_PREFIX + name, pd.Series(math.nan, trials.index))
        own = {NUM_PARAMS: c.NUM_PARAMS, LATENCY_SECONDS: c.LATENCY}.get(name)
        return metric if own is None or own not in trials else trials[own].astype("Float64").fillna(metric)

    def training_column(self, column: str) -> str | None:
        """Of a column of `epochs` the one with the training batches' figure; None where no epoch has one."""
        beside = c.training_column(column)
        return beside if beside in self.epochs and self.epochs[beside].notna().any() else None

    @cached_property
    def searched(self) -> pd.DataFrame:
        """What the search trained: without those that were not trained again, and those that confirm."""
        return self._rows(ranking.trained_by_search(self._standings))

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Trials that the search trained, did not fail and have an objective, the best first."""
        return self._rows(self._ranked)

    @cached_property
    def compared(self) -> pd.DataFrame:
        """`ranked` by the search's epochs alone: a trial that went on after it has had more than the others."""
        if not self.went_on.any():
            return self.ranked
        values = self.searched_epochs.groupby(c.TRIAL_ID)[self.objective_column]
        best = values.min() if self.mode == "min" else values.max()
        went_on = self.ranked[c.TRIAL_ID].isin(self.trials[c.TRIAL_ID][self.went_on])
        objectives = self.ranked[c.OBJECTIVE].mask(went_on, self.ranked[c.TRIAL_ID].map(best))
        searched = [
            standing._replace(objective=plain(objective))
            for standing, objective in zip(self._ranked, objectives, strict=True)
        ]
        rows = self._rows(ranking.ranked(searched, self.mode))
        return rows.assign(**{c.OBJECTIVE: objectives[rows.index]})

    @property
    def listed(self) -> pd.DataFrame:
        """The trials of `ranked`, in the order that was asked for."""
        if self.sort is None:
            return self.ranked
        return self.trials[self.trials[c.TRIAL_ID].isin(self.ranked[c.TRIAL_ID])]

    @cached_property
    def best(self) -> pd.Series | None:
        """The first of `ranked`; once there is a confirmed winner, its best training."""
        # of a part of the trials confirmations would be wrong
        among = self._standings if self.where is None else self._ranked
        best = ranking.best(among, self.mode, self.sweep.get("repeats") or 0, self.goals)
        return None if best is None else self.trials.iloc[best.row]

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
        return ranking.confirmed(self._standings, self.mode, self.sweep.get("repeats") or 0)

    @cached_property
    def _standings(self) -> list[_Standing]:
        columns = [self.trials.get(name) for name in (c.STATUS, c.OBJECTIVE, c.CHECKPOINT)]
        status, objective, checkpoint = ([] if column is None else column.tolist() for column in columns)
        confirms, same_as = self.confirms.tolist(), self.same_as.tolist()
        several = self.goals is not None and len(self.trials) > 0
        figures: list[Any] = self.figures.to_dict("records") if several else [{}] * len(self.trials)
        return [
            _Standing(
                row=row,
                number=int(trial_id),
                status=status[row],
                objective=plain(objective[row]),
                confirms=int(confirms[row]) if isinstance(confirms[row], str) else None,
                same_as=int(same_as[row]) if isinstance(same_as[row], str) else None,
                has_checkpoint=isinstance(checkpoint[row], str),
                figures=figures[row],
            )
            for row, trial_id in enumerate(self.trials[c.TRIAL_ID])
        ]

    @cached_property
    def _ranked(self) -> list[_Standing]:
        return ranking.ranked(ranking.trained_by_search(self._standings), self.mode, self.goals)

    def _rows(self, standings: list[_Standing]) -> pd.DataFrame:
        return self.trials.iloc[[standing.row for standing in standings]]

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
    def marks(self) -> dict[str, Mark]:
        """Stars and notes by trial_id."""
        return read_marks(self.folder)

    @cached_property
    def num_epochs(self) -> int:
        """Trained by all trials together."""
        return int(self.trials[c.EPOCHS].sum())

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


class _Standing(NamedTuple):
    """A row of `trials` as `ranking.py` asks for it; `row` is its place in the table."""

    row: int
    number: int
    status: str
    objective: float | None
    confirms: int | None
    same_as: int | None
    has_checkpoint: bool
    figures: dict[str, float]  # of several objectives

    def figure(self, name: str) -> float | None:
        found: float | None = plain(self.figures.get(name))
        return found


def load_results(storage: Path, name: str) -> Results:
    """The results of the sweep `<storage>/<name>`; `name` may also be the path of its folder.

    Raises BalltrainError where there is none, it has no tables yet, or they are damaged.
    """
    folder = next((path for path in (storage / name, Path(name)) if is_sweep(path)), None)
    if folder is None:
        raise BalltrainError(_not_there(storage, name))
    sweep = read_sweep(folder)
    for file in (c.TRIALS_FILE, c.EPOCHS_FILE):
        if not (folder / file).is_file():
            raise BalltrainError(
                f"{folder} has no {file} yet: the sweep has just begun, or was killed as it began; "
                "ask again in half a minute, or go on with it by --resume"
            )
    trials = read_table(folder / c.TRIALS_FILE)
    check_table(folder / c.EPOCHS_FILE)
    json_columns = frozenset(field.name for field in trials.schema if c.JSON_MARK in (field.metadata or {}))
    return Results(folder, sweep, data_frame(trials), json_columns)


def list_sweeps(storage: Path) -> list[dict[str, Any]]:
    """The sweeps in a storage, the newest first; one that cannot be read has an `error`.

    Raises BalltrainError where there is no such folder.
    """
    if not storage.is_dir():
        raise BalltrainError(f"there is no folder {storage}: give --storage, or run a sweep first")
    found = [summarise(folder) for folder in storage.iterdir() if is_sweep(folder)]
    return sorted(found, key=lambda sweep: sweep["started"] or "", reverse=True)


def summarise(folder: Path) -> dict[str, Any]:
    """What a list shows of one sweep; of one that cannot be read, its `error`."""
    summary: dict[str, Any] = {
        "name": folder.name,
        "task": None,
        "trials": 0,
        **{status.value: 0 for status in Status},
    }
    summary |= {"planned": 0, "objective": None, "best": None, "started": None, "error": None}
    try:
        sweep = read_sweep(folder)
        summary |= {"task": sweep.get("task"), "objective": sweep.get("objective")}
        summary |= {"planned": sweep.get("trials") or 0, "started": sweep.get("created_at")}
        if not (folder / c.TRIALS_FILE).is_file():
            return summary
        few = [c.TRIAL_ID, c.STATUS, c.OBJECTIVE, c.CHECKPOINT, c.STARTED_AT, c.SAME_AS, c.CONFIRMS]
        trials = data_frame(read_table(folder / c.TRIALS_FILE, None if sweep.get("objectives") else few))
        results = Results(folder, sweep, trials, frozenset())
        best = plain(results.best[c.OBJECTIVE]) if results.best is not None else None
        started = plain(trials[c.STARTED_AT].min()) or summary["started"]
        return summary | {"trials": len(trials), **results.counts, "best": best, "started": started}
    except (BalltrainError, KeyError) as error:
        return summary | {"error": f"damaged: {error}"}


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


def _decoded(cell: Any) -> Any:
    """The value of a cell's JSON text; NaN and the infinities, which strict JSON lacks, as their names."""
    return json.loads(cell, parse_constant=str) if isinstance(cell, str) else None


def _keys(space: Any) -> set[str]:
    """Of a space as `sweep.json` has it, those inside of choices too. Empty where the sweep does not say it."""
    if isinstance(space, dict):
        return {key for name, inner in space.items() for key in ({name} | _keys(inner))}
    return {key for inner in space for key in _keys(inner)} if isinstance(space, list) else set()
