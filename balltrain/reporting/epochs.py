"""One line an epoch, while one model is trained."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balltrain.records.state import Trial
    from balltrain.search.controller import Controller
    from balltrain.training.rows import EpochRow

COLUMNS = {"seconds": (7, ".1f"), "lr": (9, ".2e"), "train_loss": (10, ".3e"), "val_loss": (10, ".3e")}
METRIC_WIDTH, METRIC_FORMAT = 9, ".4g"
EPOCH_WIDTH, MARK_WIDTH = 9, 2  # of `   1/10  ` and ` *`


@contextlib.contextmanager
def epoch_lines(controller: Controller, placement: Any) -> Iterator[None]:
    """Print each reported row on stderr; the best epoch so far has a star.

    In a terminal only as many metrics as fit in a line, the objective first, and then that of the training batches:
    the results have all.
    """
    from balltrain.training.running import training_names

    epochs, task = controller.plan.epochs, controller.plan.task
    names = sorted(task.metric_names, key=lambda name: name != task.objective)
    if task.objective in names:
        names[1:1] = [name for name, of in training_names(task).items() if of == task.objective]
    columns = COLUMNS | {name: (max(METRIC_WIDTH, len(name)), METRIC_FORMAT) for name in names}
    if sys.stderr.isatty():
        columns = _fitting(columns, shutil.get_terminal_size().columns - EPOCH_WIDTH - MARK_WIDTH)
    header = "  ".join(f"{name:>{width}}" for name, (width, _) in columns.items())
    print(f"{'epoch':>{EPOCH_WIDTH}}  {header}", file=sys.stderr)

    def show(trial: Trial, row: EpochRow) -> None:
        values = {**row, **row["metrics"]}
        cells = []
        for name, (width, spec) in columns.items():
            value = values.get(name)
            cells.append(f"{'nan' if value is None else format(value, spec):>{width}}")
        star = " *" if trial.best is row else ""
        print(f"{row['epoch']:>4}/{epochs:<4}  {'  '.join(cells)}{star}", file=sys.stderr)

    controller.on_row = show
    yield


def _fitting(columns: dict[str, tuple[int, str]], width: int) -> dict[str, tuple[int, str]]:
    """The first of the columns, as far as they fit."""
    fitting, taken = {}, 0
    for name, (column_width, spec) in columns.items():
        taken += column_width + 2
        if taken > width:
            break
        fitting[name] = (column_width, spec)
    return fitting
