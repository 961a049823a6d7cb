"""Signatures and docstrings of functions whose options are knobs."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from balltrain.api.arguments import kinds_of
from balltrain.api.wording import as_arguments
from balltrain.knobs import Panel, knobs_of

T = TypeVar("T")


def documented(*owners: type, optional: type | None = None) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a function of `**options` the signature that they have, and its docstring a list of them.

    Knobs of `optional` are None unless given, which leaves them to the sweep.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        function.__doc__ = _with_options(function.__doc__ or "", owners)
        signature = inspect.signature(function)
        kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [_parameter(field, owner is optional) for owner in owners for field in dataclasses.fields(owner)]
        known = {parameter.name for parameter in kept}
        parameters = [*kept, *(p for p in more if p is not None and p.name not in known)]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # as inspect reads it
        return function

    return decorate


def _parameter(field: dataclasses.Field[Any], optional: bool) -> inspect.Parameter | None:
    if "knob" not in field.metadata:
        return None
    default = {} if field.default is dataclasses.MISSING else field.default
    # without annotations, which would make one line of 2 000 characters of them: the docstring has the types
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None if optional else default)


def _with_options(docstring: str, owners: tuple[type, ...]) -> str:
    """A docstring with a list of the knobs of `owners`, by their panels, before its returned value."""
    entries = [entry for owner in owners for entry in knobs_of(owner)]
    lines = ["    Options:"]
    for panel in Panel:
        of_panel = [entry for entry in entries if entry.knob.panel == panel]
        lines += ["", f"        {panel}"] if of_panel else []
        for entry in of_panel:
            kind = " or ".join(word for word, _ in kinds_of(entry.field))
            text = f"{entry.name} ({kind}): {as_arguments(entry.knob.help.removesuffix(' Repeatable.'))}"
            text += f" Default: {entry.knob.default}." if entry.knob.default else ""
            lines += textwrap.wrap(text, 100, initial_indent=12 * " ", subsequent_indent=16 * " ")
    head, returns, tail = docstring.partition("    Returns:\n")
    return head + "\n".join(lines) + "\n\n" + returns + tail
