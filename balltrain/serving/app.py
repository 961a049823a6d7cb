"""What the server answers: the page's files, sweeps as JSON, what is drawn of them, and events as they come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from balltrain import __version__
from balltrain.errors import BalltrainError, UsageError
from balltrain.records.marks import Mark, set_mark
from balltrain.records.output import FOLDER, output_file
from balltrain.records.requests import Requests, StopRequest
from balltrain.reporting.page import PLOTTING, STYLE
from balltrain.serving.drawer import Drawer
from balltrain.serving.shelf import Channel, Shelf
from balltrain.serving.views import attempts_json, curves_json, sweep_json
from balltrain.storage import Storage

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
LIST_EVERY_S = 2.0
DRAW_SHARE = 0.015  # of a core, that redrawing one group of sections of a running sweep may take
FIRST_TABLES_S = 3.0
DRAW_EVERY_S = 20.0  # at most as often: the tables are written so
CLOSING_EVERY_S = 0.5  # that a stream of events looks whether the server ends
BEAT_EVERY_S = 15.0
MAX_COMPARED = 8
LOG_BYTES = 64 << 10
MAX_BODY_BYTES = 16 << 10
GROUPS = ("quick", "slow")


class Page:
    """The application's state, and a method a route."""

    def __init__(self, storage: Storage, data_dir: str | None = None, *, allow_control: bool = False):
        self.storage, self.data_dir, self.allow_control = storage, data_dir, allow_control
        self.is_closing: Callable[[], bool] = lambda: False  # the server's, which waits for connections to end
        self.shelf = Shelf(storage)
        self.drawers = {group: Drawer() for group in (*GROUPS, "pictures")}
        self._files = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}
        self._texts = {"report.css": STYLE, "plotting.js": f"{PLOTTING}\nexport {{ palettes, styled }};\n"}
        self._drawn: dict[tuple[str, str], Drawn] = {}
        self._summaries: dict[str, tuple[int, dict[str, Any]]] = {}

    def app(self) -> Starlette:
        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            warming = asyncio.create_task(self._warm())
            yield
            warming.cancel()
            for drawer in self.drawers.values():
                await drawer.stop()
            await self.shelf.close()

        return Starlette(routes=self.routes(), lifespan=lifespan)

    def routes(self) -> list[Route]:
        sweep, trial = "/api/sweeps/{name}", "/api/sweeps/{name}/trials/{trial_id}"
        return [
            Route("/", self.index),
            Route("/static/{file}", self.static),
            Route("/api/sweeps", told(self.list)),
            Route("/api/events", told(self.events)),
            Route("/api/compare", told(self.compare)),
            Route(sweep, told(self.sweep)),
            Route(f"{sweep}/stop", told(self.stop), methods=["POST"]),
            Route(f"{sweep}/sections/{{group}}", told(self.sections)),
            Route(f"{sweep}/select", told(self.select)),
            Route(f"{sweep}/curves", told(self.curves)),
            Route(trial, told(self.trial)),
            Route(f"{trial}/log", told(self.log)),
            Route(f"{trial}/pictures", told(self.pictures), methods=["POST"]),
            Route(f"{trial}/mark", told(self.mark), methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        text = (STATIC / "index.html").read_text().replace("{{plotly}}", version("plotly"))
        return Response(text, media_type="text/html")

    async def static(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name.startswith("plotly-"):
            return await self.plotly(request)
        if name in self._texts:  # what the report has too
            return Response(self._texts[name], media_type=TYPES[Path(name).suffix])
        path = self._files.get(name)  # a file's name among these, and no path
        if path is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        return FileResponse(path, media_type=TYPES[path.suffix], headers={"cache-control": "no-cache"})

    async def plotly(self, request: Request) -> Response:
        import importlib.util

        found = importlib.util.find_spec("plotly")  # not imported: it would take 40 MB
        assert found is not None
        assert found.origin is not None
        path = Path(found.origin).parent / "package_data" / "plotly.min.js"
        headers = {"cache-control": "private, max-age=31536000, immutable"}  # its version is in its name
        return FileResponse(path, media_type=TYPES[".js"], headers=headers)

    async def list(self, request: Request) -> Any:
        return await self._list()

    async def sweep(self, request: Request) -> Any:
        channel = await self._channel(request)
        found = {**sweep_json(channel.followed), "plan": channel.plan(), "tables": channel.tables}
        return {**found, "marks": channel.marks(), "control": self.allow_control, "storage": self.storage.uri}

    async def curves(self, request: Request) -> Any:
        """All epochs of the trials that are asked for."""
        channel = await self._channel(request)
        return curves_json(channel.followed, request.query_params.getlist("trial")[:200])

    async def sections(self, request: Request) -> Any:
        """Sections of the report; those of a running sweep are drawn again only so often, unless `now`."""
        group = request.path_params["group"]
        if group not in GROUPS:
            raise UsageError(f"there is no group of sections {group!r}: it is one of {', '.join(GROUPS)}")
        channel = await self._channel(request)
        if not channel.tables:  # it has just begun
            return {"sections": [], "tables": 0, "again_s": FIRST_TABLES_S, "version": ""}
        drawn = self._drawn.setdefault((channel.name, group), Drawn())
        return await drawn.get(channel, self.drawers[group], group, now="now" in request.query_params)

    async def select(self, request: Request) -> Any:
        """The ids of the trials that fulfil a condition, by the tables."""
        channel = await self._channel(request)
        where, sort = request.query_params.get("where") or None, request.query_params.get("sort") or None
        drawer = self.drawers["quick"]
        found = await drawer.ask("select", root=str(self._root), name=channel.name, where=where, sort=sort)
        return {"trials": found, "tables": channel.tables}

    async def trial(self, request: Request) -> Any:
        channel = await self._channel(request)
        trial = self._trial(channel, request)
        found = {
            "rows": curves_json(channel.followed, [trial]).get(trial, {}),
            "attempts": attempts_json(channel.followed.attempts.get(int(trial), ())),
            "line": channel.followed.num_lines,
            "config": channel.followed.state.trials[int(trial)].config,
        }
        try:
            drawer = self.drawers["quick"]
            drawn = await drawer.ask("trial", root=str(self._root), name=channel.name, trial_id=trial)
        except BalltrainError as error:
            drawn = {"trouble": str(error)}
        return {**found, **drawn}

    async def log(self, request: Request) -> Any:
        """The end of what a trial has printed, worker by worker."""
        channel = await self._channel(request)
        trial = self._trial(channel, request)
        if self.storage.remote is not None:
            path = output_file(channel.folder, trial)
            relative = f"{channel.name}/{FOLDER}/{path.name}"
            await asyncio.to_thread(self.storage.remote.pull_changed, path, relative)
        return {"logs": await asyncio.to_thread(_logs, channel.folder, trial)}

    async def pictures(self, request: Request) -> Any:
        channel = await self._channel(request)
        trial = self._trial(channel, request)
        if self.storage.remote is not None:
            folder = channel.folder / "checkpoints" / trial
            await asyncio.to_thread(self.storage.remote.pull, folder, f"{channel.name}/checkpoints/{trial}")
        asked = {"root": str(self._root), "name": channel.name, "trial_id": trial, "data_dir": self.data_dir}
        return {"pictures": await self.drawers["pictures"].ask("pictures", **asked)}

    async def mark(self, request: Request) -> Any:
        """Star a trial, or note something of it."""
        self._check_control()
        channel = await self._channel(request)
        trial, asked = self._trial(channel, request), await _body(request)
        mark = Mark(asked.get("star", False), asked.get("note", ""))
        await asyncio.to_thread(set_mark, self.storage, channel.name, trial, mark)
        channel.tell_marks()
        return {"marks": channel.marks()}

    async def stop(self, request: Request) -> Any:
        """Ask who runs the sweep to stop it, or one trial of it; what they answer."""
        self._check_control()
        channel = await self._channel(request)
        asked = await _body(request)
        trial = channel.followed.trial(str(asked.get("trial") or ""))
        if (trial is None) != (asked.get("trial") is None):
            raise UsageError(f"{channel.name} has no trial {asked['trial']!r}")
        if channel.plan()["state"] == "ended":
            raise UsageError(f"nobody runs {channel.name}: it has ended, or was interrupted")
        stop = StopRequest(None if trial is None else trial.number, asked.get("now") is True)
        answer = await asyncio.to_thread(Requests(self.storage, channel.name).ask, stop)
        if answer is None:
            raise BalltrainError(f"nobody who runs {channel.name} has answered: its process was killed, or is older")
        if not answer.taken:
            raise UsageError(f"{channel.name}: {answer.says}")
        return {"says": answer.says}

    async def compare(self, request: Request) -> Any:
        names = request.query_params.getlist("sweep")
        if not 2 <= len(names) <= MAX_COMPARED:
            raise UsageError(f"{len(names)} sweeps are to be compared, but must be 2 to {MAX_COMPARED}")
        for name in names:
            await self.shelf.checked(name)
            if self.storage.remote is not None:
                await asyncio.to_thread(self.storage.fetch_tables, name)
        return await self.drawers["quick"].ask("compare", root=str(self._root), names=names)

    async def events(self, request: Request) -> Any:
        """Server-sent events: of one sweep what its journal gets, or without one the list."""
        name = request.query_params.get("sweep")
        messages = self._lists() if name is None else (await self.shelf.channel(name)).listen()
        return StreamingResponse(self._events(messages), media_type="text/event-stream")

    async def _events(self, messages: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        """Ends with the server, and by a comment now and then finds out that nobody listens."""
        yield b"retry: 1000\n\n"
        coming = asyncio.ensure_future(anext(messages))
        silent_s = 0.0
        try:
            while not self.is_closing():
                done, _ = await asyncio.wait((coming,), timeout=CLOSING_EVERY_S)
                silent_s = 0.0 if done else silent_s + CLOSING_EVERY_S
                if done:
                    message = coming.result()
                    coming = asyncio.ensure_future(anext(messages))
                    yield b"data: %s\n\n" % json.dumps(message, separators=(",", ":"), default=str).encode()
                elif silent_s >= BEAT_EVERY_S:
                    silent_s = 0.0
                    yield b": here\n\n"
        finally:
            coming.cancel()

    @property
    def _root(self) -> Path:
        return self.storage.root.absolute()

    def _check_control(self) -> None:
        if not self.allow_control:
            raise UsageError("this page only shows: start it with `balltrain serve --allow-control`")

    async def _channel(self, request: Request) -> Channel:
        return await self.shelf.channel(request.path_params["name"])

    def _trial(self, channel: Channel, request: Request) -> str:
        """The id of a trial that is there: it becomes a part of a path."""
        text = str(request.path_params["trial_id"])
        trial = channel.followed.trial(text)
        if trial is None or trial.trial_id != text:
            raise UsageError(f"{channel.name} has no trial {text!r}")
        return trial.trial_id

    async def _list(self) -> dict[str, Any]:
        names = await self.shelf.names()
        states = self.shelf.states(names)
        stale = [name for name in names if self._summaries.get(name, (None,))[0] != states[name]["version"]]
        for start in range(0, len(stale), 20):
            part = stale[start : start + 20]
            found = await self.drawers["quick"].ask("summaries", root=str(self._root), names=part)
            for name, summary in zip(part, found, strict=True):
                self._summaries[name] = (states[name]["version"], summary)
        sweeps = [{**self._summaries[name][1], "name": name, **states[name]} for name in names]
        return {"sweeps": sweeps, "storage": self.storage.uri, "version": __version__}

    async def _lists(self) -> AsyncIterator[dict[str, Any]]:
        last = None
        while True:
            try:
                found = await self._list()
                shown = [{k: v for k, v in sweep.items() if k != "silent_s"} for sweep in found["sweeps"]]
                if shown != last:
                    last = shown
                    yield {"kind": "sweeps", **found}
            except BalltrainError as error:
                yield {"kind": "trouble", "text": str(error)}
            await asyncio.sleep(LIST_EVERY_S)

    async def _warm(self) -> None:
        """Reads the journals of what runs, and makes the list, before anybody asks."""
        with contextlib.suppress(BalltrainError, OSError):
            names = await self.shelf.names()
            states = self.shelf.states(names)
            running = [name for name in names if states[name]["state"] == "running"]
            for name in sorted(running, key=lambda name: -states[name]["written"])[:3]:
                await self.shelf.channel(name)
            await self._list()


class Drawn:
    """What was drawn last of one group of a sweep's sections."""

    def __init__(self) -> None:
        self._version: tuple[int, int] = (-1, -1)  # of the tables, and of the marks
        self._sections: Any = None
        self._at = self._took_s = 0.0
        self._drawing = asyncio.Lock()

    async def get(self, channel: Channel, drawer: Drawer, group: str, *, now: bool) -> dict[str, Any]:
        async with self._drawing:
            version = (channel.tables, channel.marked)
            wait_s = self._at + max(DRAW_EVERY_S, self._took_s / DRAW_SHARE) - time.monotonic()
            free = now or channel.plan()["state"] != "running" or version[1] != self._version[1]
            if self._version != version and (free or self._sections is None or wait_s <= 0):
                began = time.monotonic()
                root = str(channel.storage.root.absolute())
                self._sections = await drawer.ask("sections", root=root, name=channel.name, group=group)
                self._version, self._at = version, time.monotonic()
                self._took_s, wait_s = self._at - began, 0.0
            again_s = max(0.0, wait_s) if self._version != version else None
            found = {"sections": self._sections, "tables": self._version[0], "again_s": again_s}
            return {**found, "version": "-".join(map(str, self._version))}


def told(endpoint: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """What an endpoint finds as JSON; an error that the user can mend in one line."""

    async def answer(request: Request) -> Response:
        try:
            found = await endpoint(request)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 400)
        except BalltrainError as error:
            return JSONResponse({"error": str(error)}, 404)
        return found if isinstance(found, Response) else JSONResponse(found)

    return answer


async def _body(request: Request) -> dict[str, Any]:
    """Raises UsageError for what is no JSON object, or too long for one that this page sends."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise UsageError(f"the request is longer than {MAX_BODY_BYTES} bytes")
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError("the request is no JSON object")
    return found


def _logs(folder: Path, trial: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted((folder / FOLDER).glob(f"{trial}*.log")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            text = file.read().decode(errors="replace")
            cut = size > LOG_BYTES
            found.append({"name": path.stem, "text": text.partition("\n")[2] if cut else text, "cut": cut})
    return found
