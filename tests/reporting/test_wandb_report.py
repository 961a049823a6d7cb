"""`report --wandb`: the report's specification, and a server that takes it or does not."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balltrain.errors import BalltrainError
from balltrain.records.results import Results
from balltrain.reporting.wandb_report import SPECIFICATION, publish, summary

Run = Callable[..., Results]
ANSWERS = {
    "viewer": {"id": "1", "entity": "us", "username": "us", "admin": False, "flags": "{}", "teams": {"edges": []}},
    "models": {"edges": [], "pageInfo": {"hasNextPage": False, "endCursor": None}},
    "upsertModel": {"model": {"id": "1", "name": "balltrain", "entityName": "us"}, "project": None, "inserted": True},
}


class Server(http.server.BaseHTTPRequestHandler):
    """As much of W&B's GraphQL as saving a report asks for; keeps the view that it is sent."""

    views: list[dict[str, Any]] = []

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        variables, query = asked.get("variables") or {}, asked["query"]
        data = {name: answer for name, answer in ANSWERS.items() if name in query}
        if "upsertView" in query:
            self.views.append(variables)
            view = {"id": "Vmlldzox", "name": variables["name"], "displayName": variables["displayName"]}
            project = {"id": "1", "name": variables["projectName"], "entityName": variables["entityName"]}
            view |= {"description": "", "project": project, "spec": variables["spec"], "user": None}
            data["upsertView"] = {"view": {**view, "createdAt": None, "updatedAt": None}, "inserted": True}
        self._answer({"data": data})

    def _answer(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    Server.views.clear()
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{running.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield running
    running.shutdown()
    running.server_close()


def specification(folder: Path) -> dict[str, Any]:
    return json.loads((folder / SPECIFICATION).read_text())


def test_without_a_key_the_specification_is_written_and_what_is_missing_is_said(sweep: Run, tmp_path: Path):
    results = sweep()
    said = publish(results, tmp_path)
    assert "WANDB_API_KEY" in said
    assert str(tmp_path / SPECIFICATION) in said
    _, words, grid, _ = specification(tmp_path)["spec"]["blocks"]
    assert words["content"] == summary(results)
    assert results.best is not None
    assert f"`{results.best.trial_id}`" in words["content"]
    panels = {panel["viewType"]: panel["config"] for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]}
    assert {"Run History Line Plot", "Parallel Coordinates Plot", "Parameter Importance"} <= set(panels)
    assert "config:lr.value" in json.dumps(panels["Parallel Coordinates Plot"])
    (runs,) = grid["metadata"]["runSets"]
    assert "bowl-1" in json.dumps(runs["filters"])


def test_a_sweep_without_any_objective_has_a_specification(sweep: Run, tmp_path: Path):
    publish(sweep(trials=3, failing=lambda number: "boom"), tmp_path)
    assert "3 trials" in json.dumps(specification(tmp_path))


def test_with_a_key_the_report_is_saved_and_its_address_is_said(sweep: Run, tmp_path: Path, server):
    results = sweep()
    said = publish(results, tmp_path)
    (view,) = Server.views
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("us", "balltrain", "bowl-1")
    assert summary(results) in [block.get("content") for block in json.loads(view["spec"])["blocks"]]
    assert "/us/balltrain/reports/bowl-1--" in said


def test_a_server_that_is_down_is_one_line(sweep: Run, tmp_path: Path, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(BalltrainError, match=r"W&B did not take the report: .*refused.*; its specification is in"):
        publish(sweep(trials=3), tmp_path)
    assert specification(tmp_path)["displayName"] == "bowl-1"
