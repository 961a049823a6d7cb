"""What the documentation shows is run, as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    text = (REPOSITORY / "docs" / "own-task.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    file = tmp_path_factory.mktemp("own-task") / "moons.py"
    file.write_text(code)
    return file


def run(folder, *arguments):
    command = [sys.executable, "-m", "balltrain.cli", *arguments, "--data-dir", "data", "--wandb", "off", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_own_task_is_at_most_60_lines(moons):
    assert len(moons.read_text().splitlines()) <= 60


def test_the_own_task_trains(moons):
    summary = run(moons.parent, "train", "moons.py")
    assert summary["task"] == "moons"
    assert summary["best"]["objective"] > 0.9


@pytest.mark.slow
def test_the_own_task_sweeps(moons):
    summary = run(moons.parent, "sweep", "moons.py", "--trials", "12", "--name", "moons")
    assert (summary["trials"], summary["failed"]) == (12, 0)
    assert summary["stopped"] > 0
    assert summary["best"]["objective"] > 0.95


def test_links_between_documents_lead_somewhere():
    for document in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_names_every_command():
    readme = (REPOSITORY / "README.md").read_text()
    commands = (
        "tasks, data build, data export, train, sweep, results, results export, watch, evaluate, predict, report"
    )
    for command in [*commands.split(", "), "model", "logs", "serve", "doctor"]:
        assert f"balltrain {command}" in readme, command
