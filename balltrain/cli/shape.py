"""How commands and their help look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from balltrain.knobs import Panel

CONTEXT = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command whose flags are shown without a type, and `--help` beside the other options of the run."""

    def get_usage(self, ctx: Any) -> str:
        """With one space where a group's default command has no name."""
        return super().get_usage(ctx).replace("  [", " [")

    def get_params(self, ctx: Any) -> Any:
        return _tidied(super().get_params(ctx))


class Group(TyperGroup):
    """The same of a group of commands."""

    def get_params(self, ctx: Any) -> Any:
        return _tidied(super().get_params(ctx))


def _tidied(params: Sequence[Any]) -> Sequence[Any]:
    panels = {getattr(param, "rich_help_panel", None) for param in params}
    for param in params:
        if getattr(param, "is_flag", False) or param.name in ("install_completion", "show_completion"):
            param.metavar = ""
        if "--help" in param.opts and Panel.RUN.value in panels:
            param.rich_help_panel = Panel.RUN.value
    return params
