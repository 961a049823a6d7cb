"""`balltrain serve` as it is typed, the page beside a sweep, and what the doctor says of both."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from balltrain.doctor.services import check_page
from balltrain.serving import server
from balltrain.serving.beside import page_beside


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_it_prints_a_url_that_opens_and_ctrl_c_ends_it(growing, tmp_path):
    growing()
    command = [sys.executable, "-m", "balltrain.cli", "serve", "--storage", str(tmp_path / "runs"), "--port", "0"]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = page.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
        with requests.Session() as session:
            assert "<title>balltrain</title>" in session.get(url).text
            (sweep,) = session.get(url.split("?")[0] + "api/sweeps").json()["sweeps"]
        assert sweep["name"] == "toy-sweep"
        assert check_page().detail.endswith("for this machine alone")
        page.send_signal(signal.SIGINT)
        out, err = page.communicate(timeout=20)
    finally:
        page.kill()
    assert (page.returncode, out, err) == (0, "", "")
    assert check_page().detail == "none is served"


def test_a_port_that_is_taken_is_said_with_what_to_do(cli):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = cli("serve", "--port", taken.getsockname()[1])
    assert code == 1
    assert err.startswith("error: cannot listen on port ")
    assert "--port 0 takes a free one" in err
    code, _, err = cli("serve", "--port", "70000")
    assert (code, "--port is 70000" in err) == (2, True)
    code, _, err = cli("serve", "--host", "no.such.host.invalid")
    assert (code, "give an address of this machine" in err) == (2, True)


def test_the_doctor_warns_of_a_page_on_a_public_address():
    with server._known_to_doctor("0.0.0.0", 8765):
        found = check_page()
    assert found.status == "warn"
    assert "0.0.0.0:8765" in found.detail
    assert "ssh -L" in found.advice


def test_the_page_beside_a_sweep_ends_with_it(growing, tmp_path):
    growing("a b")
    told = []
    with page_beside(str(tmp_path / "runs"), "a b", told.append):
        (url,) = told
        assert url.endswith("#/sweep/a%20b")
        assert requests.get(url).status_code == 200
        (page,) = server.served_pages()
    with pytest.raises(requests.ConnectionError):
        requests.get(url)
    assert server.served_pages() == []
    assert page[0] == "127.0.0.1"
    assert os.path.exists(tmp_path / "cache")
