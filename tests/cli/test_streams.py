"""Standard output as it may be: in ASCII, full, closed, read by nobody, or for JSON alone."""

import json
import subprocess
import sys

import pytest

SHOW = "import sys; from balltrain.cli import main; main(sys.argv[1:])"
NOISY = """print("of the file")
import os, subprocess
os.write(1, b"past Python\\n")
subprocess.run(["echo", "of a process"])
raise KeyError("a")
"""


def run(*arguments, **how):
    how.setdefault("capture_output", True)
    return subprocess.run([sys.executable, "-c", SHOW, *arguments], text=True, **how)


def test_letters_that_the_encoding_lacks_are_replaced(tmp_path):
    code = (
        "from balltrain.cli.streams import prepared_streams\n"
        "with prepared_streams(): print('caf\\u00e9 \\u2713 \\udcff')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stdout) == (0, "caf? ? ?\n")


def test_a_full_disk_behind_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = run("--version", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to standard output: No space left on device")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_enough_ends_the_command_quietly():
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{SHOW}" --version | true; exit ${{PIPESTATUS[0]}}'],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1)  # written before or after the reader went
    assert done.stderr == ""


def test_a_closed_output_is_no_error_but_of_json(tmp_path):
    for arguments, code, said in (("--version", 0, ""), ("results --json", 1, "standard output is closed")):
        command = f'{sys.executable} -c "{SHOW}" {arguments} --storage . >&-'.replace(
            "--version --storage .", "--version"
        )
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (code, True)


def test_what_a_task_prints_goes_to_standard_error_under_json(tmp_path):
    (tmp_path / "own.py").write_text(NOISY)
    done = run("data", "build", "own.py", "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    for text in ("of the file", "past Python", "of a process", "error: own.py, line 5, fails: KeyError: 'a'"):
        assert text in done.stderr


def test_json_is_strict_and_alone(capsys):
    import numpy as np

    from balltrain.cli.output import print_json
    from balltrain.cli.streams import json_alone, prepared_streams

    with prepared_streams(), json_alone(True):
        print("a bar of progress")
        print_json({"auc": float("nan"), "n": np.float32(0.5)})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"auc": None, "n": 0.5}
    assert err == "a bar of progress\n"


@pytest.mark.parametrize("arguments", [["--version"], ["results", "--help"]])
def test_streams_are_put_back(arguments, capsys):
    from balltrain.cli import main

    before = sys.stdout
    with pytest.raises(SystemExit):
        main(arguments)
    assert sys.stdout is before
    assert "results  [" not in capsys.readouterr().out
