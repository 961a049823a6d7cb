"""The lines of one training."""

import os
import sys
from types import SimpleNamespace

import pytest

from balltrain.reporting.epochs import epoch_lines

NAMES = ("precision_of_a_long_name", "recall", "accuracy")


@pytest.mark.parametrize(
    ("width", "shown"),
    [(None, ["accuracy", *NAMES[:2]]), (80, ["accuracy"]), (200, ["accuracy", *NAMES[:2]]), (20, [])],
)
def test_values_are_below_their_names_and_fit_the_terminal(monkeypatch, capsys, width, shown):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: width is not None)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((width, 24)))
    task = SimpleNamespace(metric_names=NAMES, objective="accuracy")
    controller = SimpleNamespace(plan=SimpleNamespace(epochs=10, task=task))
    metrics = dict.fromkeys(NAMES, 0.123456)
    row = {"epoch": 3, "seconds": 1.0, "lr": 1e-3, "train_loss": 0.5, "val_loss": None, "metrics": metrics}
    with epoch_lines(controller, None):
        controller.on_row(SimpleNamespace(best=row), row)
    header, line = capsys.readouterr().err.splitlines()
    assert line.split()[0] == "3/10"
    assert [name for name in header.split() if name in NAMES] == shown
    if width != 20:
        end = header.index("val_loss") + len("val_loss")
        assert line[:end].endswith("  nan")
        end = header.index("accuracy") + len("accuracy")
        assert line[:end].endswith("0.1235")
    assert line.endswith(" *")
    assert width is None or len(line) <= max(width, 20)


def test_the_training_batches_figure_stands_beside_the_objective(capsys):
    def training_outputs(*_):
        """A task that says what it predicts of training batches."""

    task = SimpleNamespace(metric_names=NAMES, objective="accuracy", training_outputs=training_outputs)
    controller = SimpleNamespace(plan=SimpleNamespace(epochs=10, task=task))
    row = {"epoch": 3, "seconds": 1.0, "lr": 1e-3, "train_loss": 0.5, "val_loss": 0.5}
    with epoch_lines(controller, None):
        for more in ({"train_accuracy": 0.9}, {}):  # an epoch that has none
            row["metrics"] = {**dict.fromkeys(NAMES, 0.1), **more}
            controller.on_row(SimpleNamespace(best=None), row)
    header, *lines = capsys.readouterr().err.splitlines()
    at = header.split().index("train_accuracy")
    assert header.split()[at - 1] == "accuracy"
    assert [line.split()[at] for line in lines] == ["0.9", "nan"]
