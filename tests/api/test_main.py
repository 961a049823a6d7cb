"""Tasks and sweeps of scripts, of `python -c`, and of Python's standard input."""

import subprocess
import sys
from pathlib import Path

import pytest
from sum_task import IMPORTS, SUM

TASK = IMPORTS + SUM + "\n"
TRAIN = (
    'model = balltrain.train(Sum, epochs=1, out="run", wandb="off", data_dir="data")\nprint(model.evaluate().items)\n'
)
SWEEP = """
results = balltrain.sweep(Sum, {"lr": tune.loguniform(1e-4, 1e-1)}, trials=3, epochs=1, wandb="off", data_dir="data")
print(len(results.trials), results.counts["failed"])
"""


def python(folder, *arguments, **options):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **options)


def guarded(text):
    return 'if __name__ == "__main__":\n' + "".join(f"    {line}\n" for line in text.splitlines())


@pytest.mark.parametrize("how", ["-qc", "-cGLUED"])
def test_the_task_of_a_command_trains(tmp_path, how):
    """What a checkpoint keeps of it is read by the command line."""
    arguments = [f"-c{TASK + TRAIN}"] if how == "-cGLUED" else [how, TASK + TRAIN]
    done = python(tmp_path, *arguments, "an", "argument")
    assert done.stdout == "10\n", done.stderr
    if how == "-qc":
        again = python(tmp_path, "-m", "balltrain.cli", "evaluate", "run/best", "--json", "--data-dir", "data")
        assert '"task": "sum"' in again.stdout, again.stderr


def test_the_task_of_a_file_that_is_standard_input_trains(tmp_path):
    (tmp_path / "script.py").write_text(TASK + TRAIN)
    with open(tmp_path / "script.py") as file:
        done = python(tmp_path, "-", stdin=file)
    assert done.stdout == "10\n", done.stderr


def test_the_task_of_a_pipe_is_refused_in_one_line(tmp_path):
    done = python(tmp_path, "-", input=TASK + TRAIN)
    refusal = (
        "balltrain.errors.BalltrainError: the task Sum is a class whose source cannot be read: put it into a Python"
    )
    assert done.stderr.splitlines()[-1].startswith(refusal)


@pytest.mark.slow
def test_the_task_of_a_script_is_swept(tmp_path):
    (tmp_path / "script.py").write_text(TASK + guarded(SWEEP))
    done = python(tmp_path, "script.py")
    assert done.stdout == "3 0\n", done.stderr


def test_a_script_that_would_call_itself_for_ever_says_what_to_write(tmp_path):
    (tmp_path / "script.py").write_text(TASK + SWEEP)
    done = python(tmp_path, "script.py")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "balltrain.errors.BalltrainError: script.py calls balltrain.sweep() when it is imported, and trials import "
        'it: put the call under `if __name__ == "__main__":`'
    )
    assert not Path(tmp_path / "runs").exists()


def test_a_task_among_others_of_a_file_is_the_one_that_is_given(tmp_path):
    """From Python a file may hold several: the class says which."""
    more = "class Half(Sum):\n    name = 'half'\n    default_size = SIZE // 2\n\n"
    more += "class Other(Sum):\n    name = 'other'\n\n"
    (tmp_path / "tasks.py").write_text(TASK + more)
    given = f"import balltrain, tasks\n{TRAIN.replace('Sum', 'tasks.Half')}"
    done = python(tmp_path, "-c", given)
    assert done.stdout == "5\n", done.stderr
