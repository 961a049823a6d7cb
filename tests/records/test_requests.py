"""Requests to a sweep's driver, through a folder and through object storage."""

import contextlib
import threading
import time

import pytest

from balltrain.errors import StorageError
from balltrain.records import requests as module
from balltrain.records.requests import NUM_ANSWERS, Answer, Requests, StopRequest
from balltrain.storage import Storage, Uploads


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(module, "MIRROR_EVERY_S", 0.1)
    if request.param == "s3":
        return Storage(request.getfixturevalue("bucket"))
    (tmp_path / "runs" / "s").mkdir(parents=True)
    return Storage(str(tmp_path / "runs"))


def yes(request):
    return Answer(True, f"stops for {request.who}")


def test_a_driver_answers_once_and_nothing_stays(place):
    asked = []
    with Requests(place, "s").heard(lambda request: (asked.append(request), yes(request))[1]):
        request = StopRequest(trial=3, now=True, who="ada@here")
        assert Requests(place, "s").ask(request, wait_s=20) == Answer(True, "stops for ada@here")
        time.sleep(0.3)
    assert asked == [request]
    assert Requests(place, "s").pending() == []


def test_where_no_driver_listens_the_request_is_withdrawn(place):
    assert Requests(place, "s").ask(StopRequest(), wait_s=0.2) is None
    assert Requests(place, "s").pending() == []


def test_two_who_ask_at_once_are_both_answered(place):
    requests, found = Requests(place, "s"), {}

    def ask(who):
        found[who] = Requests(place, "s").ask(StopRequest(who=who), wait_s=20)

    threads = [threading.Thread(target=ask, args=(who,)) for who in ("ada", "bob", "eve")]
    with requests.heard(yes):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {who: answer.says for who, answer in found.items()} == {who: f"stops for {who}" for who in found}
    assert len(found) == 3


def test_what_was_asked_of_an_earlier_driver_does_not_stop_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.02)
    (tmp_path / "s").mkdir()
    requests = Requests(Storage(str(tmp_path)), "s")
    requests.put(StopRequest(at=time.time() - 600))  # by one who was killed while waiting
    asked = []
    with requests.heard(lambda request: (asked.append(request), yes(request))[1]):
        time.sleep(0.2)
    assert (asked, requests.pending()) == ([], [])


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '[{"id": "x", "of": "a later version"}]'])
def test_a_file_of_requests_that_is_none_is_no_request(tmp_path, content):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".requests.json").write_text(content)
    assert Requests(Storage(str(tmp_path)), "s").pending() == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*nowhere"):
        Requests(Storage(str(tmp_path)), "nowhere").put(StopRequest())


def test_the_mirror_leaves_requests_and_answers_alone(bucket):
    place = Storage(bucket)
    folder = place.root / "s"
    folder.mkdir(parents=True)
    (folder / ".requests.json").write_text("of this machine")
    Requests(place, "s").answer(StopRequest(), Answer(True, "stops"))
    Uploads(place.remote, folder, "s").push()
    place.open("s")
    assert place.remote.read("s/.requests.json") is None
    assert not (folder / ".answers.json").exists()


def test_to_look_where_nothing_is_asked_is_one_request_of_the_cheapest_kind(bucket, s3_server, monkeypatch):
    requests = Requests(Storage(bucket), "s")
    requests.pending()  # the connection is there
    with counted(monkeypatch) as methods:
        requests.pending()
    assert methods == ["HEAD"]


@contextlib.contextmanager
def counted(monkeypatch):
    """Methods of the HTTP requests that the S3 server gets."""
    from werkzeug.serving import WSGIRequestHandler

    found = []
    handle = WSGIRequestHandler.run_wsgi

    def run(self):
        found.append(self.command)
        handle(self)

    with monkeypatch.context() as patched:
        patched.setattr(WSGIRequestHandler, "run_wsgi", run)
        yield found


def test_answers_to_others_stay_as_many_as_are_kept(tmp_path):
    requests = Requests(Storage(str(tmp_path)), "s")
    (tmp_path / "s").mkdir()
    asked = [StopRequest(trial=number, who="ada@here") for number in range(NUM_ANSWERS + 2)]
    for request in asked:
        requests.answer(request, Answer(True, f"{request.trial}"))
    found = [requests.answer_to(request) for request in asked]
    assert found[:2] == [None, None]
    assert [answer.says for answer in found[2:]] == [str(number) for number in range(2, NUM_ANSWERS + 2)]
