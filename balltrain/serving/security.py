"""Who may ask: this machine's user alone, by a browser that was given the token, on a page of this server's own.

`docs/security.md` says what each of these keeps out.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # plotly sets styles of its drawings by attributes
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NO_STORE = "no-store"


class Guard:
    """Stands before the application (ASGI): what is not allowed never reaches it."""

    def __init__(self, app: Any, token: str, host: str, port: int):
        """`host` is the address that is listened on."""
        self._app, self._token, self._port = app, token, port
        self._session = secrets.token_urlsafe(32)  # what the cookie has: the token does not stay in the browser
        self._cookie = f"balltrain-{port}"  # cookies are of a host whatever its port
        self._names = _names(host)
        self._any_address = not is_loopback(host)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSocket is served
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope["method"], headers)
        if refused is not None:
            await _say(send, *refused)
        elif (given := parse_qs(scope["query_string"].decode("latin-1")).get("token")) and scope["path"] == "/":
            if secrets.compare_digest(given[0].encode(), self._token.encode()):
                cookie = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
                await _say(send, 303, "", {"location": "/", "set-cookie": cookie})
            else:
                await _say(
                    send, 403, "That token is of another run: open the URL that `balltrain serve` printed last."
                )
        elif not self._is_known(headers):
            await _say(send, 401, "Open the URL that `balltrain serve` printed: it has a token that lets you in.")
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refused(self, method: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Whether another site's page, or another site's name for this address, asks: status and reason."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, f"This page has the name {sorted(self._names)[0]}:{self._port}, and answers to no other."
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "Another site's page asked for this: refused."
        if method not in ("GET", "HEAD") and origin is None:
            return 403, "A change needs the header Origin, as browsers send it."
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Another site's page asked for this: refused."
        return None

    def _is_ours(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        if not name or port != str(self._port):
            return False
        name = name.strip("[]").lower()
        return name in self._names or (self._any_address and _is_address(name))

    def _is_known(self, headers: Mapping[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and secrets.compare_digest(cookie.value.encode(), self._session.encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _names(host: str) -> frozenset[str]:
    """What a browser may call this server."""
    if is_loopback(host):
        return frozenset(("127.0.0.1", "localhost", "::1", host.strip("[]").lower()))
    own = (socket.gethostname(), socket.getfqdn())
    return frozenset(name.lower() for name in ("localhost", host.strip("[]"), *own))


def _is_address(name: str) -> bool:
    """A name can be made to lead anywhere (DNS rebinding), an address cannot."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Any) -> Any:
    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            more = [*HEADERS.items(), *([] if b"cache-control" in there else [("cache-control", NO_STORE)])]
            message = {**message, "headers": [*message["headers"], *_encoded(more)]}
        await send(message)

    return sending


async def _say(send: Any, status: int, text: str, more: Mapping[str, str] | None = None) -> None:
    body = f"{text}\n".encode() if text else b""
    headers = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
    headers |= {**HEADERS, "cache-control": NO_STORE, **(more or {})}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers.items())})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
