"""One line an epoch, while one model is trained."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

MIN_WIDTH = 9  # of a metric's column


@contextlib.contextmanager
def epoch_lines(controller: Any, placement: Any) -> Iterator[None]:
    """Print each reported row on stderr; the best epoch so far has a star."""
    epochs, names = controller.plan.epochs, controller.plan.task.metric_names
    print(
        f"{'epoch':>9}  {'seconds':>7}  {'lr':>9}  {'train loss':>10}  {'val loss':>10}  {'  '.join(names)}",
        file=sys.stderr,
    )

    def show(trial: Any, row: dict[str, Any]) -> None:
        figures = [(row["seconds"], 7, ".1f"), (row["lr"], 9, ".2e"), (row["train_loss"], 10, ".3e")]
        figures += [(row["val_loss"], 10, ".3e")]
        figures += [(row["metrics"][name], max(MIN_WIDTH, len(name)), ".4g") for name in names]
        cells = [
            format("nan" if value is None else format(value, spec), f">{width}") for value, width, spec in figures
        ]
        star = " *" if trial.best is row else ""
        print(f"{row['epoch']:>4}/{epochs:<4}  {'  '.join(cells)}{star}", file=sys.stderr)

    controller.on_row = show
    yield
