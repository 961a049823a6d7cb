"""Who gets an answer from the page's server: its own page, in the browser of who has the token."""

import asyncio

import pytest

from balltrain.serving.security import Guard, is_loopback

OURS = "127.0.0.1:8765"


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"secret"})


def ask(guard, method="GET", path="/api/sweeps", query="", **headers):
    """(status, headers, body)"""
    sent = []
    named = {"host": OURS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in named.items()]

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, None, send))
    found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, sent[1].get("body", b"")


@pytest.fixture
def guard():
    return Guard(app, "right", "127.0.0.1", 8765)


@pytest.fixture
def cookie(guard):
    return ask(guard, path="/", query="token=right")[1]["set-cookie"].split(";")[0]


def test_nobody_gets_in_without_the_token(guard):
    for query in ("", "token=wrong", "token="):
        status, _, body = ask(guard, path="/", query=query)
        assert status in (401, 403)
        assert b"secret" not in body
    assert ask(guard)[0] == 401
    assert ask(guard, cookie="balltrain-8765=guessed")[0] == 401
    assert ask(guard, query="token=right")[0] == 401  # only the first page takes it


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_has(guard):
    status, headers, _ = ask(guard, path="/", query="token=right")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert "right" not in headers["set-cookie"]
    assert headers["referrer-policy"] == "no-referrer"


def test_the_cookie_lets_in_and_answers_have_a_strict_policy(guard, cookie):
    status, headers, body = ask(guard, cookie=cookie)
    assert (status, body) == (200, b"secret")
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.split("style-src")[0]
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "127.0.0.1:80", "127.0.0.1", "", "127.0.0.1.evil.example:8765"]
)
def test_a_name_that_leads_here_by_rebinding_is_refused(guard, cookie, host):
    status, _, body = ask(guard, cookie=cookie, host=host)
    assert status == 421
    assert b"secret" not in body


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765"])
def test_the_names_of_this_machine_are_answered(guard, cookie, host):
    assert ask(guard, cookie=cookie, host=host)[0] == 200


def test_other_sites_pages_are_refused(guard, cookie):
    assert ask(guard, cookie=cookie, origin="https://evil.example")[0] == 403
    assert ask(guard, cookie=cookie, origin="null")[0] == 403
    assert ask(guard, cookie=cookie, origin="http://127.0.0.1:9999")[0] == 403
    assert ask(guard, cookie=cookie, sec_fetch_site="cross-site", sec_fetch_mode="no-cors")[0] == 403
    assert ask(guard, cookie=cookie, sec_fetch_site="same-origin", sec_fetch_mode="cors")[0] == 200


def test_a_change_needs_the_pages_own_origin(guard, cookie):
    assert ask(guard, "POST", cookie=cookie)[0] == 403
    assert ask(guard, "POST", cookie=cookie, origin="https://evil.example")[0] == 403
    assert ask(guard, "POST", cookie=cookie, origin=f"http://{OURS}")[0] == 200


def test_a_public_address_is_answered_by_address_and_not_by_foreign_names():
    guard = Guard(app, "right", "0.0.0.0", 8765)
    cookie = ask(guard, path="/", query="token=right")[1]["set-cookie"].split(";")[0]
    assert ask(guard, cookie=cookie, host="10.1.2.3:8765")[0] == 200
    assert ask(guard, cookie=cookie, host="evil.example:8765")[0] == 421
    assert not is_loopback("0.0.0.0")
    assert is_loopback("127.0.0.1")
