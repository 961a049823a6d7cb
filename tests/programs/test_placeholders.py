"""What a shell gets for a command's placeholders."""

import subprocess

import pytest

from balltrain.errors import UsageError
from balltrain.programs.placeholders import check_placeholders, filled_in, placeholders

NASTY = """it's "50 %" of $HOME `id` \\n; rm -rf *"""


@pytest.mark.parametrize("template", ["printf %s {text}", "printf %s '{text}'", 'printf %s "{text}"'])
def test_a_value_reaches_the_program_whole_in_any_quotes(template):
    ran = subprocess.run(["/bin/sh", "-c", filled_in(template, {"text": NASTY})], capture_output=True, text=True)
    assert ran.stdout == NASTY


def test_a_value_is_quoted_for_the_inside_of_a_substitution_within_quotes():
    command = filled_in('printf %s "<$(printf %s {text})>"', {"text": NASTY})
    assert subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True).stdout == f"<{NASTY}>"


@pytest.mark.parametrize(
    ("value", "text"), [(0.001, "0.001"), (16, "16"), (True, "true"), (None, "null"), ([1, 2], "'[1, 2]'")]
)
def test_numbers_and_lists_are_written_as_json(value, text):
    assert filled_in("x {v}", {"v": value}) == f"x {text}"


def test_braces_of_the_shell_of_awk_and_of_json_are_left_alone():
    command = """echo ${HOME} {a,b} {1..3} {{lr}} '{"lr": {lr}}' | awk '{print $1}'"""
    assert placeholders(command) == ["lr"]
    assert filled_in(command, {"lr": 0.5}) == """echo ${HOME} {a,b} {1..3} {lr} '{"lr": 0.5}' | awk '{print $1}'"""


def test_a_placeholder_that_nothing_fills_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"\{widht\}.*did you mean \{width\}\?"):
        check_placeholders("train {widht}", ["width"], [], folds=False)


def test_a_hyperparameter_that_the_command_never_sees_is_refused():
    with pytest.raises(UsageError, match="never sees 'width'"):
        check_placeholders("train {lr}", ["lr", "width"], [], folds=False)
    with pytest.raises(UsageError, match="never sees 'depth'"):
        check_placeholders("train {lr}", ["lr"], ["depth"], folds=False)
    check_placeholders("train {config_file}", ["lr", "width"], ["depth"], folds=False)


def test_a_fold_is_refused_where_there_are_none():
    with pytest.raises(UsageError, match="no folds"):
        check_placeholders("train {lr} {fold}", ["lr"], [], folds=False)
    check_placeholders("train {lr} {fold} {seed}", ["lr"], [], folds=True)
