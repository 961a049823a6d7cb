"""What the documentation of the Python API says is so: its examples run, in a notebook's kernel, in one folder."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import balltrain

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"
# those that others build on come first
ORDER = (
    *(
        "sweep",
        "load",
        "Results",
        "Model",
        "forecast",
        "Sweep",
        "Published",
        "Hyperparameters",
        "DataRequest",
        "Task",
        "Arrays",
    ),
    *("train", "Trial", "Command", "report", "BalltrainError", "UsageError"),
)
FUNCTIONS = ("sweep", "forecast", "train", "load", "report")


def doc(name):
    return inspect.getdoc(getattr(balltrain, name))


def test_every_public_name_is_documented_with_an_example():
    assert set(ORDER) == set(balltrain.__all__)
    for name in ORDER:
        assert ">>> " in doc(name), name
    for name in FUNCTIONS:
        assert "Args:" in doc(name), name
        assert "Raises:" in doc(name), name


@pytest.mark.parametrize("name", ORDER)
def test_examples_print_what_they_say(kernel, name):
    kernel.run("import balltrain")
    for example in doctest.DocTestParser().get_examples(doc(name)):
        ran = kernel.run(example.source)
        assert ran.error is None, example.source
        got = ran.out + (ran.value["text/plain"] + "\n" if ran.value else "")
        assert doctest.OutputChecker().check_output(example.want, got, doctest.ELLIPSIS), example.source


def summary(name):
    return " ".join(doc(name).partition("\n\n")[0].split())


def test_the_guide_lists_every_public_name_with_its_summary():
    rows = dict(re.findall(r"^\| `balltrain\.(\w+)` \| (.*) \|$", GUIDE.read_text(), re.MULTILINE))
    assert rows == {name: summary(name).replace("|", "\\|") for name in balltrain.__all__}


def test_the_blocks_of_the_guide_run(kernel):
    for language, block in re.findall(r"^```(python|sh)\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        text = block if language == "python" else "".join(f"!{line}\n" for line in block.splitlines())
        assert kernel.run(text).error is None, block
