"""The command line: parse, call the Python API, print. A file a group of commands, imported when one is typed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Annotated, Any, NoReturn

import typer

from balltrain.api.wording import on_command_line
from balltrain.cli.invocation import Invocation
from balltrain.cli.secrets import hide_secrets
from balltrain.cli.shape import CONTEXT, Command, Group
from balltrain.cli.streams import StdoutError, json_alone, leave_stdout, prepared_streams
from balltrain.errors import EXIT_INTERRUPTED, BalltrainError, advice_on
from balltrain.tasks.user_code import described, told_as_users

# name: the module that has it, and its line in the list of commands
COMMANDS = {
    "tasks": ("tasks", "List the tasks and the sweeps that come with them."),
    "train": ("train", "Train one model, with the best known hyperparameters unless told otherwise."),
    "sweep": ("sweep", "Search the hyperparameters of a task: many trials, the bad ones stopped early."),
    "watch": ("results", "Watch a sweep that runs elsewhere."),
    "stop": ("stop", "Stop a sweep that runs elsewhere, or one trial of it."),
    "serve": ("serve", "Show the sweeps of a storage in a browser, as they run."),
    "logs": ("logs", "Show what the trials of a sweep have printed."),
    "results": ("results", "Show a sweep's best trials, or list the sweeps; also while they run."),
    "report": ("results", "Draw a sweep's results as one HTML file."),
    "evaluate": ("checkpoints", "Compute the figures of a checkpoint, or of several together."),
    "inspect": ("checkpoints", "Draw what a model of pictures gets wrong and right, and what it sees in them."),
    "predict": ("checkpoints", "Predict from files, by one checkpoint or several."),
    "data": ("data", "Build a task's data, show it, or export it in its public format."),
    "model": ("model", "Show a model's layers: output shapes, parameters, bytes and MFLOP."),
    "doctor": ("doctor", "Check this machine: Python, torch, CUDA, Ray, W&B, disk."),
}


class _Commands(Group):
    """The commands by name. Until one is called, its line is all that is known of it: `--help` imports none."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return Command(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = {name: self.get_command(ctx, name) for name in COMMANDS}  # for `Did you mean`
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load_command(name), rest


app = typer.Typer(
    name="balltrain",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


def load_command(name: str) -> Any:
    """A command with its options, or a group of them."""
    module = importlib.import_module(f"balltrain.cli.{COMMANDS[name][0]}")
    found = getattr(module, name)
    if not isinstance(found, typer.Typer):
        found, function = typer.Typer(add_completion=False, pretty_exceptions_enable=False), found
        found.command(name, cls=Command, context_settings=CONTEXT)(function)
    return typer.main.get_command(found)


def _print_version(wanted: bool) -> None:
    if wanted:
        from balltrain import __version__

        print(f"balltrain {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the code an error came from; goes with every command.")
    ] = False,
) -> None:
    """Sweep the hyperparameters of small vision and physics models on Ray, and lose nothing."""


def main(argv: list[str] | None = None) -> None:
    """The `balltrain` command: every error is one line, and an exit code says which kind."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    hide_secrets(arguments)
    debug = "--debug" in arguments
    invocation = Invocation([argument for argument in arguments if argument != "--debug"])
    if debug:
        _show_debugging()
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    try:
        with prepared_streams(), on_command_line(), json_alone("--json" in options), told_as_users():
            code = app(invocation.arguments, obj=invocation, standalone_mode=False, prog_name="balltrain")
    except StdoutError as error:
        leave_stdout()
        _fail("" if error.nobody_reads else str(error), error.exit_code, debug)
    except BalltrainError as error:
        _fail(invocation.as_typed(str(error)), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", EXIT_INTERRUPTED, debug)
    except Exception as error:
        # typer's own complaints know how to say what is wrong, and are all about what was typed
        if hasattr(error, "format_message"):
            _fail(error.format_message().replace("\n", " "), 2, debug)
        if isinstance(error, OSError) and (advice := advice_on(error)) is not None:
            _fail(advice, 1, debug)
        _fail(f"{described(error)} (a bug: --debug shows where)", 1, debug)
    sys.exit(code if isinstance(code, int) else 0)


def _show_debugging() -> None:
    """Tracebacks of trials, which come from other processes."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("balltrain")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def _fail(message: str, code: int, debug: bool) -> NoReturn:
    if debug:
        import traceback

        traceback.print_exc()
    clear = "\r\033[K" if sys.stderr is not None and sys.stderr.isatty() else ""  # a phase that was shown
    if message:  # where no command was typed, the help says enough
        with contextlib.suppress(OSError):  # full, as standard output may be
            print(f"{clear}error: {message}", file=sys.stderr)
    sys.exit(code)
