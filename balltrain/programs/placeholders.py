"""Placeholders of a command: `{lr}` becomes the value of the hyperparameter, quoted as the shell needs it there."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from balltrain.errors import UsageError

# what every command can ask for beside its hyperparameters
BUILT_IN = {
    "config_file": "a JSON file of all hyperparameters",
    "epochs": "most epochs that the trial trains",
    "seed": "the trial's seed",
    "trial": "the trial's name",
    "trial_dir": "the trial's folder",
    "fold": "number of the fold, from 0",
    "folds": "number of folds",
}
# `{name}`, unless the shell's (`${HOME}`); `{{name}}` is the text `{name}`. Other braces are none of ours: `{a,b}`,
# `{print $1}`, `{"json": 1}`.
_TOKEN = re.compile(r"\{\{(?P<literal>[A-Za-z_][\w.-]*)\}\}|(?<!\$)\{(?P<name>[A-Za-z_][\w.-]*)\}")
_IN_DOUBLE_QUOTES = re.compile(r'([\\"$`])')


def placeholders(command: str) -> list[str]:
    """Names in braces, in order, each once."""
    found = (match["name"] for match in _TOKEN.finditer(command))
    return list(dict.fromkeys(name for name in found if name))


def filled_in(command: str, values: Mapping[str, Any]) -> str:
    """The command with `values` in place of its placeholders, for a POSIX shell."""
    quotes = _quotes(command)

    def replaced(match: re.Match[str]) -> str:
        if match["literal"]:
            return "{" + match["literal"] + "}"
        return _quoted(as_text(values[match["name"]]), quotes[match.start()])

    return _TOKEN.sub(replaced, command)


def as_text(value: Any) -> str:
    """A text as it is, all else as JSON: 0.001, true, null, [1, 2]."""
    return value if isinstance(value, str) else json.dumps(value)


def check_placeholders(command: str, searched: Iterable[str], fixed: Iterable[str], *, folds: bool) -> None:
    """Raises UsageError for a placeholder that nothing fills, and for a hyperparameter that the command never sees.

    `searched` are those of the space, `fixed` have one value in every trial, `folds` whether there are any.
    """
    searched, fixed = list(searched), list(fixed)
    asked = placeholders(command)
    known = [*searched, *fixed, *(name for name in BUILT_IN if folds or name not in ("fold", "folds"))]
    for name in asked:
        if name in known:
            continue
        if name in BUILT_IN:
            raise UsageError(
                f"the command has {{{name}}}, but the sweep has no folds: add --folds N, or leave it out"
            )
        raise UsageError(
            f"the command has {{{name}}}, but the space has no {name!r}: {_hint(name, known)}add it to the space, "
            f"or write {{{{{name}}}}} for the text itself"
        )
    if "config_file" in asked:
        return
    for name in [*searched, *fixed]:
        if name not in asked:
            raise UsageError(
                f"the command never sees {name!r}: write {{{name}}} where it belongs, or pass {{config_file}}, "
                "a JSON file of all hyperparameters"
            )


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {{{near[0]}}}? Or " if near else ""


def _quoted(text: str, quote: str) -> str:
    if quote == "'":
        return text.replace("'", "'\"'\"'")
    if quote == '"':
        return _IN_DOUBLE_QUOTES.sub(r"\\\1", text)
    return shlex.quote(text)


def _quotes(command: str) -> list[str]:
    """The quote that each character of a command is in: `'`, `"` or none."""
    return list(_scanned(command))


def _scanned(command: str) -> Iterator[str]:
    around: list[str] = []  # of each `$(` that is open, the quote it began in
    quote, escaped, before = "", False, ""
    for character in command:
        yield quote
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif character == quote:
            quote = ""
        elif quote == "" and character in "'\"":
            quote = character
        elif character == "(" and before == "$" and quote != "'":
            around.append(quote)
            quote = ""
        elif character == ")" and around and quote == "":
            quote = around.pop()
        before = character
