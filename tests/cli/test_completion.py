"""What the Tab key offers, asked for as a shell does."""

import os
import subprocess
import sys

import pytest


def complete(line, folder, **environment):
    """The offers for a line whose last word is being typed, and the heavy modules that were imported for them."""
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'ray', 'pandas', 'wandb', 'plotly'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "from balltrain.cli import main\nmain([])"
    )
    words = line.split(" ")
    asked = {"_BALLTRAIN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder,
        env={**os.environ, **asked, **environment}, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
    return done.stdout.split()


@pytest.fixture
def runs(tmp_path):
    for storage, name in (("runs", "first"), ("runs", "second"), ("elsewhere", "third")):
        (tmp_path / storage / name).mkdir(parents=True)
        (tmp_path / storage / name / "sweep.json").write_text("{}")
    (tmp_path / "runs" / "no-sweep").mkdir()
    return tmp_path


def test_commands_options_tasks_and_sweeps_are_offered(tmp_path):
    assert complete("balltrain re", tmp_path) == ["results", "report"]
    assert complete("balltrain sweep forecast_", tmp_path) == ["forecast_reference", "forecast_reference_wide"]
    assert complete("balltrain train c", tmp_path) == ["coco", "catdogs", "cifar10"]
    assert complete("balltrain data build f", tmp_path) == ["forecast"]
    assert complete("balltrain sweep detect --gpus", tmp_path) == ["--gpus-per-trial"]


def test_runs_of_the_storage_are_offered(runs):
    assert complete("balltrain report ", runs) == ["first", "second"]
    assert complete("balltrain results first s", runs) == ["second"]
    assert complete("balltrain watch --storage elsewhere ", runs) == ["third"]
    assert complete("balltrain watch ", runs, BALLTRAIN_STORAGE="elsewhere") == ["third"]
    assert complete("balltrain watch --storage s3://bucket/prefix ", runs) == []


def test_the_script_for_a_shell_is_shown(tmp_path):
    command = [sys.executable, "-m", "balltrain", "--show-completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "_BALLTRAIN_COMPLETE=complete_bash" in done.stdout
    assert done.stdout.strip().endswith("balltrain")
