"""Chromium, headless, driven through its DevTools protocol: what tests of pages see with a user's eyes."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
ARGUMENTS += ("--disable-component-update", "--disable-sync", "--remote-debugging-port=0")
# that a machine without a GPU draws by software is no fault of the page
HARMLESS = re.compile("WebGL|GL Driver")


class Tab:
    """A page in the browser. `console` has what it said of errors and warnings, `requests` the URLs it asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse):
        self.console: list[str] = []
        self.requests: list[str] = []
        self._loop, self._socket, self._number = loop, socket, 0
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(self._call(method, parameters))

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def ask(self, script: str) -> Any:
        """The value of an expression in the page; of a promise what it comes to."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 40) -> None:
        """Until an expression is true in the page."""
        deadline = time.monotonic() + seconds
        while not self.ask(f"Boolean({script})"):
            if time.monotonic() > deadline:
                shown = self.ask("document.body.innerText.slice(0, 2000)")
                raise AssertionError(f"not within {seconds} s: {script}\n{self.console}\n{shown}")
            time.sleep(0.05)

    def size(self, width: int, height: int = 1000, *, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def press(self, key: str, text: str | None = None) -> None:
        text = key if text is None and len(key) == 1 else text
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """With the left button, from here to there in pixels of the window."""
        mouse = {"button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], **mouse)
        for step in (0.3, 0.6, 1.0):
            x, y = (a + step * (b - a) for a, b in zip(start, end, strict=True))
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **mouse)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], **mouse)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await asyncio.wait_for(self._socket.receive(), 60)
            answer = json.loads(message.data)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer.get("result", {})
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event: str | None, details: dict[str, Any]) -> None:
        text = None
        if event == "Runtime.exceptionThrown":
            thrown = details["exceptionDetails"]
            text = thrown.get("exception", {}).get("description") or thrown["text"]
        elif event == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
            text = f"{details['entry']['text']} {details['entry'].get('url', '')}"
        elif event == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"):
            text = " ".join(str(each.get("value", each.get("description"))) for each in details["args"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
        if text is not None and not HARMLESS.search(text):
            self.console.append(text)


@contextmanager
def chromium(width: int = 1200) -> Iterator[tuple[Tab, int]]:
    """A tab of a browser of its own, and the browser's process id."""
    with tempfile.TemporaryDirectory(prefix="balltrain-chromium-", ignore_cleanup_errors=True) as folder:
        arguments = [*ARGUMENTS, f"--user-data-dir={folder}", f"--window-size={width},1000", "about:blank"]
        browser = subprocess.Popen([str(CHROMIUM), *arguments], stderr=subprocess.DEVNULL, start_new_session=True)
        loop = asyncio.new_event_loop()
        session = None
        try:
            port = _port(Path(folder), browser)
            session, socket = loop.run_until_complete(_attach(port))
            tab = Tab(loop, socket)
            tab.size(width)
            yield tab, browser.pid
        finally:
            if session is not None:
                loop.run_until_complete(session.close())
            loop.close()
            browser.send_signal(signal.SIGTERM)
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()


def _port(folder: Path, browser: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert browser.poll() is None, "the browser has ended"
        lines = (
            (folder / "DevToolsActivePort").read_text().split() if (folder / "DevToolsActivePort").exists() else []
        )
        if len(lines) > 1:
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError("the browser does not say its port")


async def _attach(port: int) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    session = aiohttp.ClientSession()
    while True:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
            pages = [page for page in await response.json(content_type=None) if page["type"] == "page"]
        if pages:
            url = pages[0]["webSocketDebuggerUrl"]
            return session, await session.ws_connect(url, max_msg_size=0, heartbeat=None)
        await asyncio.sleep(0.05)
