"""`balltrain.load` and what `balltrain.sweep` returns: the results of a sweep."""

from __future__ import annotations

import html
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.api.arguments import storage_uri
from balltrain.api.wording import in_python
from balltrain.records import columns as c
from balltrain.records.results import Results as Tables
from balltrain.records.results import load_results, plain
from balltrain.reporting.occupancy import running_seconds
from balltrain.storage import SWEEP_FILE, Storage

if TYPE_CHECKING:
    import pandas as pd

    from balltrain.api.model import Model

REPORT_HEIGHT_PX = 800  # of a report inside a notebook
TABLE_WIDTH = 120  # characters
NUM_LISTED = 10  # trials in a notebook's table


@dataclass(frozen=True)
class Best:
    """The best trial of a sweep: of the winner where the best were confirmed.

    `objective` is that of `epoch`, counted from 1; `config` has all hyperparameters, `metrics` the figures at that
    epoch. `checkpoint` is a folder, that `balltrain.Model` opens.
    """

    trial_id: str
    objective: float
    epoch: int
    config: dict[str, Any]
    metrics: dict[str, float | None]
    checkpoint: Path

    def __repr__(self) -> str:
        head = f"trial_id={self.trial_id!r}, objective={self.objective:.6g}, epoch={self.epoch}"
        return f"Best({head}, checkpoint={str(self.checkpoint)!r}, config={self.config}, metrics={self.metrics})"


@dataclass(frozen=True)
class Report:
    """A report that was written: a path, and in a notebook the report itself."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Report({str(self.path)!r})"

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_text(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:{REPORT_HEIGHT_PX}px;border:0"></iframe>'


class Results:
    """The results of a sweep, also of one that runs: `refresh` reads them again. Prints as a table.

    Attributes:
        name: The sweep's.
        folder: Where it is on this machine.
        trials: pandas, a row a trial, `trials.parquet` as written: `status`, `objective`, `config.*`, `metric.*`, …
        epochs: pandas, a row an epoch, `epochs.parquet` as written.
        seconds: Wall-clock time of the call that made them; that of the trials for results that were loaded.
        interrupted: Whether Ctrl-C ended the call that made them.

    Example:
        >>> results = balltrain.load("runs/first")
        >>> results.best.config["optimizer"]
        'adamw'
        >>> results.trials["epochs"].tolist(), len(results.epochs)
        ([1, 1], 2)
        >>> print(results.report())
        runs/first/report.html
    """

    def __init__(self, tables: Tables, place: Storage, seconds: float | None = None, interrupted: bool = False):
        self.tables, self._place = tables, place
        self.seconds = running_seconds(tables) if seconds is None else seconds
        self.interrupted = interrupted

    @classmethod
    def of(cls, folder: Path, place: Storage, seconds: float | None = None, interrupted: bool = False) -> Results:
        """Those in a folder of this machine."""
        return cls(load_results(folder.parent, folder.name), place, seconds, interrupted)

    @property
    def name(self) -> str:
        return self.tables.name

    @property
    def folder(self) -> Path:
        return self.tables.folder

    @property
    def objective(self) -> str:
        """What the objective of a trial is: `val_loss`, or a metric's name."""
        return self.tables.objective_name

    @property
    def storage(self) -> str:
        """The folder or URI that the sweep is kept in."""
        return self._place.uri

    @property
    def trials(self) -> pd.DataFrame:
        return self.tables.trials

    @property
    def epochs(self) -> pd.DataFrame:
        return self.tables.epochs

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status, every status among them."""
        return self.tables.counts

    @property
    def best(self) -> Best | None:
        """The best trial; None while no trial has an objective."""
        row = self.tables.best
        if row is None:
            return None
        metrics = {
            str(name).removeprefix(c.METRIC_PREFIX): plain(value)
            for name, value in row.items()
            if str(name).startswith(c.METRIC_PREFIX)
        }
        return Best(
            trial_id=row[c.TRIAL_ID],
            objective=float(row[c.OBJECTIVE]),
            epoch=int(row[c.BEST_EPOCH]),
            config=self.tables.config(row),
            metrics=metrics,
            checkpoint=self.tables.checkpoint,
        )

    @property
    def front(self) -> pd.DataFrame:
        """The trials that no other beats in all objectives, the best first: a column each of the objectives' figures,
        by `trial_id`. With one objective it is the best alone.
        """
        rows = self.tables.front
        return self.tables.figures.loc[rows.index].set_axis(rows[c.TRIAL_ID], axis=0)

    @in_python
    def refresh(self) -> Results:
        """The results as they are by now. Raises BalltrainError where they are gone."""
        return load(self.name, storage=self.storage)

    @in_python
    def model(self) -> Model:
        """The best model. Raises BalltrainError where there is none, or its checkpoint is not on this machine."""
        from balltrain.api.model import Model
        from balltrain.errors import BalltrainError

        best = self.best
        if best is None:
            raise BalltrainError(f"{self.name} has no best trial yet: no trial has reported an objective")
        own = self.folder / "checkpoints" / best.trial_id
        if self._place.remote is not None and not best.checkpoint.exists():  # of a sweep that runs elsewhere
            self._place.remote.pull(own, f"{self.name}/checkpoints/{best.trial_id}")
            return Model(own)
        return Model(best.checkpoint)

    @in_python
    def report(
        self, out: str | os.PathLike[str] | None = None, data_dir: str | os.PathLike[str] | None = None
    ) -> Report:
        """Draw the results as one HTML file, shown inline in a notebook.

        Args:
            out: The file; `report.html` in the sweep's folder, and in its object storage, unless given.
            data_dir: Where the data of the predictions is looked for; the user's cache folder unless given.

        Raises:
            BalltrainError: The file cannot be written.
        """
        from balltrain.reporting.report import write_report

        file = self.folder / "report.html" if out is None else Path(out)
        written = write_report(self.tables, file, None if data_dir is None else Path(data_dir))
        if self._place.remote is not None and out is None:
            self._place.remote.push_file(written, f"{self.name}/{written.name}")
        return Report(written)

    @in_python
    def figures(self, folder: str | os.PathLike[str], format: str = "svg") -> list[Path]:
        """Write the report's figures one by one, with fonts and sizes that print, and return their paths.

        Args:
            folder: Where they go; made where it is missing. Files of the same names are replaced.
            format: `svg`, or `png` of 300 pixels an inch.

        Raises:
            BalltrainError: The extra `figures`, a browser or a figure is missing, or the folder cannot be written.
            UsageError: The format is another.
        """
        from balltrain.errors import UsageError
        from balltrain.reporting.figure_files import FORMATS, write_figures

        if format not in FORMATS:
            raise UsageError(f"the format of figures is {format!r}, but must be {' or '.join(FORMATS)}")
        return write_figures(self.tables, Path(folder), format)

    def to_json(self) -> dict[str, Any]:
        """What `balltrain sweep --json` prints."""
        from balltrain.reporting.summary import summary_json

        found = {**summary_json(self.tables), "storage": self.storage}
        return {**found, "seconds": round(self.seconds, 3), "interrupted": self.interrupted}

    def __repr__(self) -> str:
        from rich.console import Console

        from balltrain.reporting.terminal import print_results

        text = io.StringIO()
        # whatever the environment says of colours, and in a notebook too
        plain_text: dict[str, Any] = {"force_jupyter": False, "force_terminal": False, "color_system": None}
        print_results(self.tables, Console(file=text, width=TABLE_WIDTH, **plain_text))
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        from balltrain.reporting.failures import failures
        from balltrain.reporting.text import short

        tables, best = self.tables, self.best
        figures = [c.OBJECTIVE, c.BEST_EPOCH, c.EPOCHS, c.SECONDS]
        columns = [c.TRIAL_ID, c.STATUS, *figures, *tables.metrics, *tables.varied]
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        lines = [f"<b>{html.escape(self.name)}</b>: {len(self.trials)} trials ({counts}), {tables.num_epochs} epochs"]
        listed = tables.listed.head(NUM_LISTED)[columns].map(short)
        lines.append(listed.to_html(index=False, na_rep=""))
        if len(self.trials) > NUM_LISTED:
            lines.append(f"the best {NUM_LISTED} of {len(self.trials)}: <code>trials</code> has all<br>")
        for error, trial_ids in failures(tables):
            lines.append(f"{len(trial_ids)} failed: {html.escape(error)}<br>")
        if best is not None:
            lines.append(f"best checkpoint: <code>{html.escape(str(best.checkpoint))}</code>")
        return "\n".join(lines)


@in_python
def load(name: str | os.PathLike[str], storage: str | os.PathLike[str] | None = None) -> Results:
    """The results of a sweep, later, elsewhere, or while it runs.

    Args:
        name: The sweep's name; or its folder or URI, such as `runs/NAME` or `s3://bucket/prefix/NAME`.
        storage: Folder or URI that holds it, where `name` is no path; `runs`, or BALLTRAIN_STORAGE, unless given.

    Raises:
        BalltrainError: There is no such sweep, or it has no tables yet.

    Example:
        >>> balltrain.load("runs/first").counts["failed"]
        0
    """
    text, question, options = os.fspath(name).partition("?")  # s3://bucket/prefix/NAME?region=…
    text = text.rstrip("/")
    if Path(text).name in ("", ".."):  # `.`, the folder that one is in
        text = str(Path(text).resolve())
    if storage is None and "/" in text:
        parent, _, text = text.rpartition("/")
        storage = (parent or "/") + question + options
    place = Storage(storage_uri(storage))
    return Results(load_tables(place, text), place)


def load_tables(place: Storage, name: str) -> Tables:
    """Of a sweep on this machine, or fetched from object storage."""
    if place.remote is not None and not (place.open(name) / SWEEP_FILE).is_file():
        place.fetch_list()  # for the names of those that are there
    return load_results(place.root, name)
