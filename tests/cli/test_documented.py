"""Every command line that the documentation shows can be typed: its command and its options are there."""

import re
import shlex
from pathlib import Path

import pytest

from balltrain.cli import COMMANDS

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "cluster/README.md", "Makefile")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "sweeps").glob("*.py")),
]


def command_lines(document):
    """What follows `balltrain` in code, and whether that is a whole line of it."""
    text = document.read_text().replace("\\\n", " ")
    if document.suffix == ".md":
        fences = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
        spans = re.findall(r"`([^`]+)`", fences.sub("", text))
        lines = [(line, True) for fence in fences.findall(text) for line in fence.splitlines()]
        lines += [(" ".join(span.split()), False) for span in spans]
    else:
        lines = [(line, True) for line in text.splitlines()]
    for line, whole in lines:
        found = re.search(r"^(?:|.*-- |.*RAY_ADDRESS=auto |\s*|\s*\$\(BIN\)/)balltrain ([a-z-].*)", line)
        if found:
            yield found[1], whole


def words_of(line):
    words = shlex.split(re.split(r"\s#|\s\|\s|&&", line)[0].replace("$(", "").replace(")", ""))
    return [word for word in words if word != "--debug"]


def test_the_documentation_shows_commands():
    assert len([line for document in DOCUMENTS for line in command_lines(document)]) > 80


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_is_shown_can_be_typed(commands, document):
    for line, whole in command_lines(document):
        name, *words = words_of(line)
        if name.startswith("-"):
            assert name in {flag for param in commands[""].params for flag in param.opts} | {"--help"}, line
            continue
        assert name in COMMANDS, line
        if words and f"{name} {words[0]}" in commands:
            name, *words = f"{name} {words[0]}", *words[1:]
        if not words:
            continue  # the command is named, not shown
        try:
            commands[name].make_context(name, list(words))
        except Exception as error:
            message = error.format_message()
            assert not whole, f"balltrain {line}: {message}"
            # in a sentence, a part
            in_part = message.startswith("Missing argument") or message.endswith("requires an argument.")
            assert in_part, f"balltrain {line}: {message}"
