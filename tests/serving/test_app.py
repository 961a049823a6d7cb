"""What the page asks for and gets, of a sweep that runs and of its storage."""

import json
import re
import threading

import pytest
import requests

from balltrain.serving.drawing import GROUPS


@pytest.fixture
def ran(growing):
    """A sweep of 9 trials, one of which failed with an error that is HTML."""
    from balltrain.search.policy import Cause

    sweep = growing(trials=9)
    number = sweep.start()
    sweep.epoch(number)
    sweep.controller.fail(number, Cause.DETERMINISTIC, "<script>alert(1)</script>")
    sweep.run()
    (sweep.folder / "logs").mkdir()
    (sweep.folder / "logs" / "00001.log").write_text("epoch 1\n<b>loud</b>\n")
    sweep.write(ended=True)
    return sweep


def test_a_sweep_as_json_is_that_of_its_journal(growing, serve):
    sweep = growing()
    sweep.run(max_reports=5)
    found = serve().get("/api/sweeps/toy-sweep")
    assert found["facts"]["objective"] == "val_loss"
    assert found["config"] == ["batch_size", "lr"]
    assert [row["epochs"] for row in found["trials"]] == [3, 2]
    assert found["curves"]["00000"]["epoch"] == [1, 2, 3]
    assert found["plan"]["counts"]["running"] == 2
    assert found["plan"]["planned"] == 6
    assert found["plan"]["state"] == "running"


def test_sections_are_the_reports(ran, serve):
    client = serve()
    quick, slow = (client.get(f"/api/sweeps/toy-sweep/sections/{group}")["sections"] for group in GROUPS)
    names = [section["id"] for section in quick + slow]
    assert {"learning_curves", "best_so_far", "failures_table", "importance", "parallel_coordinates"} <= set(names)
    assert "Not drawn" not in json.dumps(quick + slow)
    curves = next(section for section in quick if section["id"] == "learning_curves")
    assert '"plot"' in json.dumps(curves)
    (parallel,) = [section for section in slow if section["id"] == "parallel_coordinates"]
    assert '"ids": ["0' in json.dumps(parallel)
    assert "there is no group of sections 'x'" in client.error("/api/sweeps/toy-sweep/sections/x")


def test_every_section_of_the_report_has_its_place_on_the_page():
    from balltrain.reporting.report import SECTIONS
    from balltrain.serving.app import STATIC

    elsewhere = {"best_trial", "gallery", "trials_table"}  # a trial's own page, and the live table
    drawn = {draw.__name__ for group in GROUPS.values() for draw in group}
    assert drawn == {"said", *(draw.__name__ for draw in SECTIONS)} - elsewhere
    placed = re.search(r"const ORDER = \[(.*?)\]", (STATIC / "sweep.js").read_text(), re.DOTALL)[1]
    assert drawn == set(re.findall(r'"(\w+)"', placed))


def test_trials_are_chosen_by_sql_and_told_by_id(ran, serve):
    client = serve()
    found = client.get("/api/sweeps/toy-sweep/select", where="config.batch_size = 8 and status = 'completed'")
    rows = client.get("/api/sweeps/toy-sweep")["trials"]
    wanted = {r["trial_id"] for r in rows if r["config"]["batch_size"] == 8 and r["status"] == "completed"}
    assert set(found["trials"]) == wanted
    assert wanted
    assert "config.nothing" in client.error("/api/sweeps/toy-sweep/select", where="config.nothing > 1")


def test_a_trial_has_its_configuration_attempts_log_and_command(ran, serve):
    client = serve()
    found = client.get("/api/sweeps/toy-sweep/trials/00001")
    assert found["config"].keys() == found["best"].keys()
    assert [attempt["how"] for attempt in found["attempts"]] == ["completed"]
    assert found["command"].startswith("balltrain train ")
    assert f"--set lr={found['config']['lr']}" in found["command"]
    assert '"meta": {"trial": "00001"' in json.dumps(found["curves"])
    (log,) = client.get("/api/sweeps/toy-sweep/trials/00001/log")["logs"]
    assert log["text"] == "epoch 1\n<b>loud</b>\n"
    refused = client.post("/api/sweeps/toy-sweep/trials/00001/pictures")
    assert refused.status_code == 404
    assert "no checkpoint on this machine" in refused.json()["error"]


def test_the_list_has_what_runs_first_seen_and_several_compare(ran, growing, serve):
    other = growing("other", trials=3)
    other.run()
    other.write()
    damaged = other.folder.with_name("damaged")
    damaged.mkdir()
    (damaged / "sweep.json").write_text("{")
    client = serve()
    found = {sweep["name"]: sweep for sweep in client.get("/api/sweeps")["sweeps"]}
    assert found["toy-sweep"]["state"] == "ended"
    assert found["other"]["state"] == "running"
    assert found["toy-sweep"]["failed"] == 1
    assert len(found["other"]["spark"]) > 2
    assert "damaged" in found["damaged"]["error"]
    compared = client.get("/api/compare", sweep=["toy-sweep", "other"])
    assert "Best so far" in json.dumps(compared)
    assert "1 sweeps are to be compared" in client.error("/api/compare", sweep=["other"])


def test_no_path_leads_out_of_the_storage(ran, serve, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    for name in ("sweep.json", "journal.jsonl"):
        (secret / name).write_bytes((ran.folder / name).read_bytes())
    client = serve()
    for path in ("/api/sweeps/..%2Fsecret", "/api/sweeps/..", "/api/sweeps/%2E%2E%2Fsecret/sections/quick"):
        answer = client.session.get(client.base + path)
        assert answer.status_code == 404, path
        assert "toy" not in answer.text
    for path in ("trials/..%2F..%2Fx", "trials/1", "trials/0000%31%00", "trials/99999/log"):
        answer = client.session.get(f"{client.base}/api/sweeps/toy-sweep/{path}")
        assert answer.status_code in (400, 404), path
    for path in ("/static/..%2Fapp.py", "/static/app.py", "/static/%2e%2e/app.py", "/static/index.html/../../app.py"):
        assert "class Page" not in client.session.get(client.base + path).text
    assert client.session.get(client.base + "/static/plotly-0.js").text[:2] == "/*"


def test_events_tell_rows_within_a_second(growing, serve):
    import time

    sweep = growing()
    number = sweep.start()
    client = serve()
    client.get("/api/sweeps/toy-sweep")
    events = client.session.get(f"{client.base}/api/events", params={"sweep": "toy-sweep"}, stream=True)
    threading.Timer(0.3, sweep.epoch, [number]).start()
    for line in events.iter_lines():
        if b'"kind":"change"' in line:
            break
    message = json.loads(line.removeprefix(b"data: "))
    assert message["rows"][0][0] == "00000"
    assert message["rows"][0][1]["epoch"] == 1
    assert message["trials"][0]["epochs"] == 1
    assert time.time() - sweep.lines[-1]["time"] < 1
    events.close()


def test_a_journal_in_object_storage_is_followed_from_another_machine(bucket, growing, serve, tmp_path, monkeypatch):
    from balltrain.serving import shelf
    from balltrain.storage import Storage

    monkeypatch.setattr(shelf, "FETCH_EVERY_S", 0.2)
    sweep = growing()
    number = sweep.start()
    sweep.write()
    remote = Storage(bucket).remote

    def upload():
        for name in ("sweep.json", "journal.jsonl", "trials.parquet", "epochs.parquet"):
            remote.push_file(sweep.folder / name, f"toy-sweep/{name}")

    upload()
    client = serve(bucket)
    assert [each["name"] for each in client.get("/api/sweeps")["sweeps"]] == ["toy-sweep"]
    assert client.get("/api/sweeps/toy-sweep")["trials"][0]["epochs"] == 0
    with client.session.get(f"{client.base}/api/events", params={"sweep": "toy-sweep"}, stream=True) as events:
        sweep.epoch(number)
        upload()
        assert any(b'"epoch":1' in line for line in events.iter_lines() if b'"change"' in line)


def test_without_the_cookie_there_is_nothing(growing, serve):
    growing()
    client = serve()
    assert requests.get(f"{client.base}/api/sweeps").status_code == 401
    assert requests.get(f"{client.base}/static/app.js").status_code == 401


def test_a_page_that_only_shows_marks_nothing(ran, serve):
    refused = serve().post("/api/sweeps/toy-sweep/trials/00001/mark", {"star": True})
    assert refused.status_code == 400
    assert "--allow-control" in refused.json()["error"]
    assert not (ran.folder / "marks.json").exists()


def test_stars_and_notes_are_kept_and_shown_in_report_and_results(ran, serve, cli):
    from balltrain.records.results import load_results
    from balltrain.reporting.report import marked

    client = serve(allow_control=True)
    path = "/api/sweeps/toy-sweep/trials/00001/mark"
    assert client.post(path, {"star": True, "note": "the <odd> one"}).status_code == 200
    assert client.get("/api/sweeps/toy-sweep")["marks"] == {"00001": {"star": True, "note": "the <odd> one"}}
    shown = marked(load_results(ran.folder.parent, "toy-sweep"))
    assert "★" in shown
    assert "the &lt;odd&gt; one" in shown
    code, out, _ = cli("results", "toy-sweep", "--storage", ran.folder.parent)
    assert (code, "00001 ★ the <odd> one" in out) == (0, True)
    _, out, _ = cli("results", "toy-sweep", "--storage", ran.folder.parent, "--json")
    assert json.loads(out)["marks"]["00001"]["star"] is True
    for bad in ({"note": "x" * 2001}, {"star": 1}, [1]):
        assert client.post(path, bad).status_code == 400, bad
    assert client.session.post(client.base + path, json={"star": True}).status_code == 403  # no Origin
    client.post(path, {})
    assert client.get("/api/sweeps/toy-sweep")["marks"] == {}


def test_a_trial_is_stopped_by_who_runs_the_sweep(growing, serve, tmp_path):
    from balltrain.records.requests import Answer, Requests
    from balltrain.storage import Storage

    sweep = growing()
    number = sweep.start()
    asked = []

    def follow(request):
        asked.append(request)
        return Answer(request.trial == number, "trial 0 ends" if request.trial == number else "it has no such trial")

    client = serve(allow_control=True)
    path = "/api/sweeps/toy-sweep/stop"
    with Requests(Storage(str(tmp_path / "runs")), "toy-sweep").heard(follow):
        assert client.post(path, {"trial": "00000"}).json() == {"says": "trial 0 ends"}
        assert client.post(path).json()["error"] == "toy-sweep: it has no such trial"
    assert [(request.trial, request.now) for request in asked] == [(0, False), (None, False)]
    assert "has no trial '7'" in client.post(path, {"trial": "7"}).json()["error"]
    sweep.write(ended=True)
    assert "it has ended" in client.post(path).json()["error"]
    assert "--allow-control" in serve().post(path).json()["error"]
