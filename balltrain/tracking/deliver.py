"""Delivers one notice. A script of its own, which imports nothing of balltrain; its task is JSON on standard input.

    {"check": URL}                               can its server be reached?
    {"url": URL, "headers": {…}, "body": TEXT}   to a webhook
    {"command": TEXT, "body": TEXT, "env": {…}}  to a command, on its standard input

Prints one line where it was not delivered. It may outlive the sweep: a server that hangs costs the sweep nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

TIMEOUT_S, COMMAND_TIMEOUT_S = 10.0, 60.0
PAUSES_S = (1.0, 4.0)  # before the second and the third try
DEAD_AFTER_S = 90  # whatever a server that sends a byte now and then would do


class Refused(Exception):
    """By the server, for good."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A POST that is sent on becomes a GET, which delivers nothing."""
        return


def main() -> None:
    task = json.loads(sys.stdin.buffer.read())
    signal.alarm(DEAD_AFTER_S)
    try:
        if "check" in task:
            check(task["check"])
        elif "url" in task:
            post(task["url"], task["headers"], task["body"].encode())
        else:
            run(task["command"], task["body"].encode(), task["env"])
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        url = urllib.parse.urlsplit(task.get("check") or task.get("url") or "")
        for secret in (url.path, url.query, url.password):  # which a server's answer may repeat
            if secret and secret != "/":
                reason = reason.replace(secret, "…")
        with contextlib.suppress(OSError):  # nobody waits any more
            print(reason[:200], flush=True)


def check(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in urllib.request.getproxies():
        return  # only the proxy is to be reached
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), TIMEOUT_S).close()


def post(url: str, headers: dict[str, str], body: bytes) -> None:
    for pause in (*PAUSES_S, None):
        try:
            return _post_once(url, headers, body)
        except (OSError, ValueError) as error:
            if pause is None:
                raise
            if not isinstance(error, OSError):
                raise
            time.sleep(pause)


def _post_once(url: str, headers: dict[str, str], body: bytes) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.username:  # user:password@host
        import base64

        user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers = {**headers, "Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace") if error.code < 500 else ""
        reason = f"HTTP {error.code} {error.reason}" + (f": {said}" if said else "")
        if error.code == 429 or error.code >= 500:
            raise OSError(reason) from None
        raise Refused(reason) from None
    except urllib.error.URLError as error:
        raise OSError(getattr(error.reason, "strerror", None) or str(error.reason)) from None


def run(command: str, body: bytes, env: dict[str, str]) -> None:
    process = subprocess.Popen(
        command,
        shell=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **env},
        start_new_session=True,
    )
    try:
        _, err = process.communicate(body, COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Refused(f"it ran for more than {COMMAND_TIMEOUT_S:.0f} s, and was ended") from None
    if process.returncode:
        last = err.decode(errors="replace").strip().splitlines()[-1:]
        raise Refused(f"it ended with exit code {process.returncode}" + "".join(f": {line}" for line in last))


if __name__ == "__main__":
    main()
