"""Whom `--notify` tells: webhooks and commands, as they are typed, and as they may be shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from balltrain.errors import UsageError

URL = re.compile(r"\bhttps?://[^\s'\"]+")
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
PLACEHOLDERS = ("text", "title", "event", "name", "best", "error")
HIDDEN = "…"


@dataclass(frozen=True)
class Hook:
    """A webhook's URL or a command. `shown` is what may be printed of it: no path, query or password of a URL."""

    target: str = field(repr=False)
    shown: str
    is_url: bool


def hook_of(text: str, environment: Mapping[str, str] = os.environ) -> Hook:
    """What was typed. `$NAME` stands for the value of a variable: alone, or within a URL.

    Raises UsageError for a variable that is not there, and for a URL that is none.
    """
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"--notify is {text!r}, but must be the URL of a webhook, or a command")
    target = text.strip()
    if VARIABLE.fullmatch(target) or re.match(r"https?://", target):
        target = VARIABLE.sub(lambda found: _value(found[1] or found[2], environment), target)
    shown = text.strip() if VARIABLE.search(text) and not URL.search(text) else hidden(target)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", target) is None:
        return Hook(target, shown, is_url=False)
    if HIDDEN in target:
        raise UsageError(f"--notify {shown} is not the whole URL, which is never shown: type it again")
    try:
        parts = urlsplit(target)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_whole = False
    if not is_whole or re.search(r"\s", target):
        raise UsageError(f"--notify {shown}: a webhook is a URL such as https://hooks.slack.com/services/…")
    return Hook(target, shown, is_url=True)


def hidden(text: str) -> str:
    """A text with of each URL no more than the host: the rest of a webhook's is its password."""

    def shortened(found: re.Match[str]) -> str:
        scheme, _, rest = found[0].partition("://")
        host = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
        return f"{scheme}://{host}/{HIDDEN}" if rest != host else found[0]

    return URL.sub(shortened, text)


def template_of(template: str) -> Callable[[Mapping[str, str]], tuple[str, str]]:
    """A body and its content type from what is told. Raises UsageError for a placeholder that there is not."""
    for name in PLACEHOLDER.findall(template):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise UsageError(f"--notify-template has {{{name}}}, which there is not: it may have {known}")
    is_json = True
    try:
        json.loads(PLACEHOLDER.sub("0", template))
    except ValueError:
        is_json = False

    def body(values: Mapping[str, str]) -> tuple[str, str]:
        def value(found: re.Match[str]) -> str:
            text = values[found[1]]
            return json.dumps(text)[1:-1] if is_json else text

        return PLACEHOLDER.sub(value, template), "application/json" if is_json else "text/plain; charset=utf-8"

    return body


def _value(name: str, environment: Mapping[str, str]) -> str:
    if not (value := environment.get(name, "").strip()):
        raise UsageError(f"--notify ${name}: there is no such variable: export {name}=https://hooks.example.com/…")
    return value
