"""The help of every command, as it is shown: every option says what it is, and what holds where it is not typed."""

import re

import pytest

from balltrain.cli import COMMANDS
from balltrain.knobs import Panel

ALL = (*COMMANDS, "", "data build", "data export", "results export")
# a help text begins with a noun or a verb
NO_BEGINNING = ("A", "An", "The", "Where", "Whether", "They", "It", "Of", "With", "Most", "Decides", "Also")
OPENS = ("Options", "Arguments", "Commands")


def help_of(cli, command, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = cli(*command.split(), "--help")
    assert (code, err) == (0, "")
    return out


def words(text):
    """What is read, whatever its lines and boxes."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


def options(command):
    return [param for param in command.params if not getattr(param, "hidden", False)]


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_shown_with_its_whole_text_and_its_default(cli, commands, monkeypatch, name):
    shown = words(help_of(cli, name, 300, monkeypatch))
    for param in options(commands[name]):
        where = f"balltrain {name}: {param.name}"
        assert param.help, where
        assert words(param.help) in shown, where
        if isinstance(param.show_default, str):
            assert f"[default: ({param.show_default})]" in shown, where
        for flag in [*param.opts, *param.secondary_opts] if param.param_type_name == "option" else []:
            assert flag in shown, where


@pytest.mark.parametrize("name", ALL)
def test_help_is_made_of_short_sentences(commands, name):
    command = commands[name]
    texts = [command.help, *(param.help for param in options(command))]
    for text in texts:
        assert text[0].isupper(), text
        assert text.split()[0] not in NO_BEGINNING, text
        assert text.rstrip().endswith((".", "'.")), text
        for sentence in re.split(r"[.;:] ", text):
            assert len(sentence.split()) <= 25, sentence


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ALL)
def test_help_fits_the_terminal_and_loses_nothing(cli, commands, monkeypatch, name, width):
    shown = help_of(cli, name, width, monkeypatch)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert " ." not in words(shown)  # «GPUs to use .»: a default that was taken for markup
    for param in options(commands[name]):  # word by word: texts are broken into lines between columns
        for word in param.help.split():
            assert word in shown or len(word) > 20, f"balltrain {name} {param.name}: {word}"


@pytest.mark.parametrize("name", ["sweep", "train"])
def test_every_option_of_a_run_is_in_a_named_panel(cli, commands, monkeypatch, name):
    shown = help_of(cli, name, 120, monkeypatch)
    panels = re.findall(r"^╭─ (.+?) ─+╮$", shown, re.MULTILINE)
    named = [panel.value for panel in Panel if panel.value in panels]
    assert panels == ["Arguments", *named]  # in their order, and none without a name
    assert len(named) >= 5


def test_a_default_is_put_into_words(cli, monkeypatch):
    shown = words(help_of(cli, "sweep", 200, monkeypatch))
    for text in (
        "GPUs to use. [default: (all there are)]",
        "Number of configurations to try. [default: (the sweep's, else 100, with a budget as many as it has room",
        "Epochs before ASHA may stop a trial. [default: (the sweep's, else a tenth of the epochs)]",
        "Scramble the Sobol sequence by the seed, or take it as it is. [default: (the sweep's, else yes)]",
        "[env var: BALLTRAIN_STORAGE] [default: (runs)]",
    ):
        assert text in shown


def test_the_list_of_commands_has_a_line_of_each(cli, commands, monkeypatch):
    shown = words(help_of(cli, "", 200, monkeypatch))
    for name, (_, line) in COMMANDS.items():
        assert f"{name} {line}" in shown
        assert commands[name].callback is not None or name == "data"


def test_without_a_command_the_help_is_shown_and_nothing_is_called_an_error(cli):
    code, out, err = cli()
    assert (code, err) == (2, "")
    assert "Usage: balltrain" in out


def test_the_version_is_that_of_the_package(cli):
    import balltrain

    assert cli("--version") == (0, f"balltrain {balltrain.__version__}\n", "")
