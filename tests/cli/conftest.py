import pytest
import typer

from balltrain.cli import COMMANDS, app, load_command


@pytest.fixture(scope="session")
def commands():
    """Every command with its parameters, by what is typed for it; groups too, `balltrain` as the empty text."""
    found = {"": typer.main.get_command(app)}
    for name in COMMANDS:
        command = found[name] = load_command(name)
        for inner, each in getattr(command, "commands", {}).items():
            found[name if (name, inner) == ("results", "show") else f"{name} {inner}"] = each
    return found
