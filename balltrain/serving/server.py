"""`balltrain serve`: the server on its socket, the URL that lets its user in, and what the doctor knows of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from platformdirs import user_cache_path

from balltrain.errors import BalltrainError, UsageError
from balltrain.serving.security import Guard
from balltrain.storage import Storage

HOST, PORT = "127.0.0.1", 8765
PAGES = "pages"  # folder with a file for each page that is served, which the doctor reads


def serve(
    storage: Storage,
    host: str = HOST,
    port: int = PORT,
    *,
    data_dir: str | None = None,
    allow_control: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until Ctrl-C. With `allow_control` the page may stop what runs, and mark trials.

    `announce` gets the URL, with its token. Raises BalltrainError where it cannot listen.
    """
    import uvicorn

    from balltrain.serving.app import Page

    listening = _listening(host, port)
    port = listening.getsockname()[1]
    token = secrets.token_urlsafe(32)
    page = Page(storage, data_dir, allow_control=allow_control)
    app = Guard(page.app(), token, host, port)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", server_header=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    page.is_closing = lambda: server.should_exit
    with listening, _known_to_doctor(host, port):
        announce(f"http://{_named(host)}:{port}/?token={token}")
        with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again when it has ended
            server.run(sockets=[listening])


def served_pages() -> list[tuple[str, int]]:
    """Host and port of each page that this user serves on this machine."""
    found = []
    for path in sorted(_pages_folder().glob("*.json")):
        try:
            page = json.loads(path.read_text())
            os.kill(int(page["pid"]), 0)  # raises where that process has ended
            found.append((str(page["host"]), int(page["port"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _pages_folder() -> Path:
    return user_cache_path("balltrain") / PAGES


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port < 65536:
        raise UsageError(f"--port is {port}, but must be 0 to 65535")
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"--host {host!r}: {error.strerror or error}; give an address of this machine") from None
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(128)
    except OSError as error:
        found.close()
        reason = error.strerror or error
        raise BalltrainError(f"cannot listen on port {port} of {host}: {reason}; --port 0 takes a free one") from None
    return found


def _named(host: str) -> str:
    """The address that a browser on this machine opens."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _known_to_doctor(host: str, port: int) -> Iterator[None]:
    """While the block runs, `balltrain doctor` finds the page's address, and no token."""
    path = _pages_folder() / f"{os.getpid()}.json"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"host": host, "port": port, "pid": os.getpid()}))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
