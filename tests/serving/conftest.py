"""A sweep whose journal grows when a test says so, and the page's server, as `balltrain serve` runs it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
import uvicorn
from simulation import Simulation

from balltrain.records.journal import encoded
from balltrain.records.tables import write_tables
from balltrain.serving.app import Page
from balltrain.serving.security import Guard
from balltrain.storage import Storage

TOKEN = "let-me-in"
# imported when first used, in the server's thread: pytest rewrites it, and `ast` knows no threads
assert anyio.open_file


class Growing(Simulation):
    """A sweep on simulated trials with its folder on disk, as one that runs leaves it."""

    def __init__(self, storage: Path, plan: Any, name: str = "toy-sweep"):
        self.folder = storage / name
        self.folder.mkdir(parents=True)
        self.journal = open(self.folder / "journal.jsonl", "ab")  # noqa: SIM115
        self.plan, self.attempts = plan, {}
        super().__init__(plan)
        self.write_sweep()

    def append(self, line: dict[str, Any]) -> None:
        line.setdefault("time", self.clock())
        super().append(line)
        self.journal.write(encoded(line))
        self.journal.flush()

    def clock(self) -> float:
        return time.time()

    def write_sweep(self, **more: Any) -> None:
        text = json.dumps({**self.lines[0]["sweep"], **more}, default=str)
        (self.folder / "sweep.json").write_text(text)

    def write(self, *, ended: bool = False) -> None:
        write_tables(self.state, self.plan.task, self.folder)
        if ended:
            self.write_sweep(ended_at="2026-11-28T00:00:00+00:00")

    def start(self) -> int:
        """The number of the next trial, begun."""
        attempt = self.controller.next_attempt()
        self.attempts[attempt.number] = [attempt, 0]
        return attempt.number

    def finish(self) -> None:
        """Those that were begun, epoch by epoch, then all others."""
        while running := [n for n in self.attempts if not self.state.trials[n].has_ended]:
            for number in running:
                self.epoch(number)
        self.run()

    def epoch(self, number: int, objective: float | None = None) -> None:
        entry = self.attempts[number]
        entry[1] += 1
        self.controller.report(number, self.row(entry[0], entry[1], objective))


class Client:
    """A browser's requests: with the cookie, and the server's own origin."""

    def __init__(self, port: int):
        self.base = f"http://127.0.0.1:{port}"
        self.url = f"{self.base}/?token={TOKEN}"
        self.session = requests.Session()
        assert self.session.get(self.url).status_code == 200

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.session.get(self.base + path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    def error(self, path: str, **parameters: Any) -> str:
        answer = self.session.get(self.base + path, params=parameters)
        assert answer.status_code in (400, 404), answer.text
        return answer.json()["error"]

    def post(self, path: str, body: Any = None) -> requests.Response:
        return self.session.post(self.base + path, json=body or {}, headers={"Origin": self.base})


@pytest.fixture
def growing(tmp_path: Path, make_toy_plan: Any) -> Callable[..., Growing]:
    """Begins a sweep in the storage `tmp_path / "runs"`."""

    def begin(name: str = "toy-sweep", **options: Any) -> Growing:
        return Growing(tmp_path / "runs", make_toy_plan(scheduler="none", **options), name)

    return begin


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Serves the storage `tmp_path / "runs"`, or another, until the test ends."""
    running = []

    def start(uri: str | None = None, **options: Any) -> Client:
        page = Page(Storage(uri or str(tmp_path / "runs")), **options)
        config = uvicorn.Config(None, port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1)
        listening = config.bind_socket()
        listening.listen()
        port = listening.getsockname()[1]
        config.app = Guard(page.app(), TOKEN, "127.0.0.1", port)
        server = uvicorn.Server(config)
        page.is_closing = lambda: server.should_exit
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        running.append((server, thread))
        return Client(port)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
