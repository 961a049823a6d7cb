"""The commands in examples/command, as trials run them."""

import shutil
import sys
from pathlib import Path

import pytest

from balltrain.programs.command_run import CommandTrial, run_command
from balltrain.programs.commands import Command

EXAMPLES = Path(__file__).parents[2] / "examples" / "command"
PYTHON = "classify.py --lr {lr} --batch-size 64 --epochs {epochs} --seed {seed} --out {trial_dir}"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "command"
    shutil.copytree(EXAMPLES, folder)

    def run(command, objective, report, **config):
        trial = CommandTrial(
            command=command,
            figures=None,
            folder=folder,
            trial_dir=tmp_path / "00000",
            objective=objective,
            config=config,
            trial_id="00000",
            seed=1,
            epochs=6,
            resumed=(tmp_path / "00000").exists(),
            state_file=tmp_path / "command.json",
        )
        run_command(trial, report)

    return run


def test_examples_are_short():
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES.iterdir() if path.is_file())


def test_a_script_of_shell_and_awk_prints_its_figures(run):
    rows = {}
    run(
        "./train.sh {lr} {momentum} {epochs} {seed}",
        "val_loss",
        lambda number, figures, seconds: rows.update({number: figures}),
        lr=0.1,
        momentum=0.5,
    )
    assert list(rows) == [1, 2, 3, 4, 5, 6]
    assert rows[6]["val_loss"] < 0.01


def test_a_script_that_writes_csv_goes_on_where_it_was_stopped(run):
    again, rows, command = [], {}, f"{sys.executable} {PYTHON}"

    def report(number, figures, seconds):
        rows[number] = figures["val_acc"]
        if number == 2 and not again:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(command, "val_acc", report, lr=1.0)
    assert list(rows) == [1, 2]
    again.append(True)
    run(command, "val_acc", report, lr=1.0)
    assert list(rows) == [1, 2, 3, 4, 5, 6]
    assert rows[6] > 0.9


def test_the_commands_are_there():
    Command("./train.sh {lr}", folder=str(EXAMPLES)).check()
    Command(f"{sys.executable} {PYTHON}", folder=str(EXAMPLES)).check()
