"""Public files are fetched from a server on this machine, which breaks off, knows no ranges, or has another file."""

import hashlib
import http.server
import threading

import numpy as np
import pytest

from balltrain.data import download
from balltrain.data.download import downloaded
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Download

CONTENT = np.random.default_rng(0).bytes(1 << 20)


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT as /file.bin. `answers` are what the next requests get: "break", "503"; then all is well."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.ranges, self.knows_ranges = [], [], True

    def file(self, content=CONTENT, name="file.bin"):
        url = f"http://127.0.0.1:{self.server_port}/{name}"
        return Download(url, hashlib.sha256(content).hexdigest(), len(content))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        answer = self.server.answers.pop(0) if self.server.answers else "all"
        if self.path != "/file.bin" or answer == "503":
            self.send_error(503 if answer == "503" else 404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.knows_ranges else 0
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if answer == "break" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetched(what, folder):
    return downloaded(what, folder, "cifar10", fetch=True)


def message_of(what, folder):
    with pytest.raises(BalltrainError) as caught:
        fetched(what, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_fetched_once(server, tmp_path):
    for _ in range(2):
        assert fetched(server.file(), tmp_path / "new").read_bytes() == CONTENT
    assert server.ranges == [None]
    assert not list(tmp_path.rglob("*.part"))


def test_a_transfer_that_breaks_off_goes_on_where_it_was(server, tmp_path):
    server.answers = ["break", "503", "break"]
    assert fetched(server.file(), tmp_path).read_bytes() == CONTENT
    half, quarters = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half}-", f"bytes={quarters}-"]


def test_the_next_call_goes_on_where_the_last_was_killed(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetched(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_transfer_that_was_killed_before_its_rename_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetched(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == []


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    server.knows_ranges = False
    server.answers = ["break"]
    assert fetched(server.file(), tmp_path).read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(server, tmp_path):
    other = CONTENT[:-1] + b"x"
    message = message_of(server.file(other), tmp_path)
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert hashlib.sha256(other).hexdigest() in message
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_a_longer_file_is_not_read_to_its_end(server, tmp_path):
    assert "gave a file with the SHA-256" in message_of(server.file(CONTENT[:1000]), tmp_path)


def test_a_file_put_there_by_hand_is_checked(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"something else")
    assert "its SHA-256 is another: delete it" in message_of(server.file(), tmp_path)
    (tmp_path / "file.bin").write_bytes(CONTENT)
    assert downloaded(server.file(), tmp_path, "cifar10", fetch=False).read_bytes() == CONTENT
    assert server.ranges == []


def test_a_file_that_is_not_there_is_asked_for_once(server, tmp_path):
    message = message_of(server.file(name="other.bin"), tmp_path)
    assert "other.bin: the server says 404 Not Found; --source FILE, or put other.bin into" in message
    assert len(server.ranges) == 1


def test_a_server_that_stays_broken_is_given_up(server, tmp_path):
    server.answers = ["503"] * 10
    assert "the server says 503" in message_of(server.file(), tmp_path)
    assert len(server.ranges) == 3


def test_without_a_network_it_is_said_what_to_do(server, tmp_path):
    what = Download("http://127.0.0.1:1/file.bin", "", 1)
    message = message_of(what, tmp_path)
    assert "there is no way to the server (Connection refused); --source FILE, or put file.bin into" in message


def test_two_that_want_it_at_once_fetch_it_once(server, tmp_path):
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetched(server.file(), tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() == CONTENT for path in found] == [True] * 3
    assert server.ranges == [None]


def test_nothing_is_fetched_unless_asked_for(server, tmp_path):
    with pytest.raises(BalltrainError, match="`balltrain data build cifar10` downloads 1 MB; or --source FILE"):
        downloaded(server.file(), tmp_path, "cifar10", fetch=False)
    assert server.ranges == []
