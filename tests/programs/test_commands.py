"""A command is checked when it is made."""

import pytest

from balltrain.errors import UsageError
from balltrain.programs.commands import Command


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.sh").write_text("#!/bin/sh\n")
    (tmp_path / "train.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("sh train.py --lr {lr}", "train"),
        ("OMP_NUM_THREADS=2 sh ./train.py {lr}", "train"),
        ("sh -c 'exit 0'", "sh"),
        ("for e in 1 2; do echo $e; done", "for"),
        ("(cd . && echo {lr})", "command"),
    ],
)
def test_a_command_is_called_by_its_script(folder, command, name):
    assert Command(command, folder=str(folder)).name == name


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "must be a text"),
        ("nothing-of-this-name {lr}", "was not found, from .*: install it, or give its path"),
        ("trian.py", r"was not found, from .*: did you mean train\.py\?"),
        ("train.sh {lr}", r"was not found, from .*: write \./train\.sh"),
        ("./train.sh {lr}", r"not executable: chmod \+x .*train\.sh"),
        ("sh trian.py", r"there is no trian\.py in .*: did you mean train\.py\?"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(folder, command, message):
    with pytest.raises(UsageError, match=message):
        Command(command, folder=str(folder)).check()


def test_where_figures_come_from_is_checked(folder):
    for figures in ("results.csv", "{trial_dir}/log.jsonl", "json", "(?P<acc>.*)"):
        Command("true", figures, str(folder))
    with pytest.raises(UsageError, match=r"results\.txt.* must end in \.csv"):
        Command("true", "results.txt", str(folder))
    with pytest.raises(UsageError, match=r"did you mean lines\?"):
        Command("true", "line", str(folder))


def test_a_folder_that_is_not_there_is_refused(folder):
    with pytest.raises(UsageError, match="no folder"):
        Command("true", folder=str(folder / "nothing")).check()
