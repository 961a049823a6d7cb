"""`balltrain.report` as a script calls it."""

import json
import subprocess
import sys

import numpy as np
import pytest

import balltrain
from balltrain.errors import UsageError
from balltrain.programs.script import REPORT_FILE


def test_reports_are_lines_of_the_file_that_the_environment_names(tmp_path, monkeypatch):
    file = tmp_path / "report.jsonl"
    monkeypatch.setenv(REPORT_FILE, str(file))
    balltrain.report(epoch=1, loss=np.float32(0.5))
    balltrain.report(epoch=2, loss=np.array([0.25]).max())
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"epoch": 1, "loss": 0.5},
        {"epoch": 2, "loss": 0.25},
    ]


def test_a_figure_that_is_text_is_refused_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv(REPORT_FILE, str(tmp_path / "report.jsonl"))
    with pytest.raises(UsageError, match="acc is '90 %'"):
        balltrain.report(acc="90 %")


def test_of_several_workers_the_first_reports(tmp_path, monkeypatch):
    file = tmp_path / "report.jsonl"
    monkeypatch.setenv(REPORT_FILE, str(file))
    monkeypatch.setenv("RANK", "1")
    balltrain.report(loss=1)
    assert not file.exists()


def test_outside_a_sweep_it_does_nothing_and_imports_nothing_heavy():
    code = "import sys, balltrain; balltrain.report(acc='text'); print({'torch', 'ray', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("set()\n", "")
