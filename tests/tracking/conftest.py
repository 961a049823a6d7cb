"""A sweep on simulated trials whose journal is a file, as mirrors read it."""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from simulation import Simulation
from toy import TOY_FILE

from balltrain.records.journal import Journal, read_journal
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest


class Written(Simulation):
    """Appends to `folder/journal.jsonl`; goes on with what is there."""

    def __init__(self, folder, concurrency=2, **options):
        sweep, ref = find_sweep(TOY_FILE)
        options = {"trials": 4, "epochs": 3, "grace": 1, **options}
        self.plan = make_plan(override(sweep, **options), ref, name="toy-sweep", request=DataRequest())
        self.folder = folder
        before = list(read_journal(folder)) if (folder / "journal.jsonl").exists() else []
        self.journal = Journal(folder)
        super().__init__(self.plan, before, concurrency)

    def append(self, line):
        self.lines.append(line)
        self.journal.append(json.loads(json.dumps(line)))

    def curve(self, number):
        return [(row["epoch"], row["val_loss"]) for row in self.state.trials[number].rows]


@pytest.fixture
def written(tmp_path):
    sims = []

    def make(**options):
        for sim in sims:
            sim.journal.close()
        sims.append(Written(tmp_path / "toy-sweep", **options))
        return sims[-1]

    yield make
    for sim in sims:
        sim.journal.close()


class Refusing(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(500)
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - http.server's name

    def log_message(self, *_):
        pass


@pytest.fixture
def broken_server():
    """Makes the URI of a server that `refuses`, `hangs` or `answers 500`."""
    with contextlib.ExitStack() as open_:

        def make(how):
            listener = open_.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            if how == "hangs":
                listener.listen(50)  # accepted by the kernel, never answered
            if how == "answers 500":
                listener.close()
                server = ThreadingHTTPServer(("127.0.0.1", port), Refusing)
                threading.Thread(target=server.serve_forever, daemon=True).start()
                open_.callback(server.server_close)
                open_.callback(server.shutdown)
            return f"http://127.0.0.1:{port}"

        yield make
