"""What is kept of what trials print."""

import os
import subprocess
import sys

from balltrain.records import output
from balltrain.records.output import Output, captured, output_file


def test_what_a_process_and_those_it_starts_print_goes_to_the_trials_file(tmp_path):
    code = f"""
import os, subprocess, sys
from pathlib import Path
from balltrain.records.output import captured
print("before")
for attempt in (1, 2):
    with captured(Path({str(tmp_path)!r}) / "logs" / "a.log", attempt):
        print("printed")
        print("error", file=sys.stderr)
        os.write(1, b"written\\n")
        subprocess.run(["echo", "started"])
print("after")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("before\nafter\n", "")
    lines = output_file(tmp_path, "a").read_text().splitlines()
    assert [line.split(" on ")[0] for line in lines if line.startswith("---")] == ["--- attempt 1", "--- attempt 2"]
    assert sorted(lines[1:5]) == ["error", "printed", "started", "written"]


def test_output_without_end_keeps_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "MAX_BYTES", 10_000)
    log = Output(tmp_path / "logs" / "a.log", 1)
    for number in range(5_000):
        log.write(f"line {number}\n".encode())
        if number % 100 == 0:
            log.shorten()
    log.close()
    lines = log.path.read_text().splitlines()
    assert log.path.stat().st_size <= 10_000
    assert lines[0].endswith("bytes left out")
    assert lines[-1] == "line 4999"
    assert all(line.startswith("line ") for line in lines[1:])


def test_the_process_has_its_own_output_back_after_an_error(tmp_path):
    before = os.fstat(1).st_ino
    try:
        with captured(tmp_path / "a.log", 1):
            raise KeyError
    except KeyError:
        pass
    assert os.fstat(1).st_ino == before
