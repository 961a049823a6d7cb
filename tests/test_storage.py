"""Sweeps in object storage: a real S3 server on this machine."""

import dataclasses
import json
import os
import shutil
import threading
import time

import pandas as pd
import pytest
from toy import TOY_FILE

from balltrain import lease
from balltrain.errors import BalltrainError, UsageError
from balltrain.execution.trial import _uploading
from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState
from balltrain.search.controller import Attempt
from balltrain.storage import Remote, Storage, Uploads, retrying


def keys(uri):
    import boto3

    bucket = uri.removeprefix("s3://").split("/")[0]
    return [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_folder_is_itself(tmp_path):
    storage = Storage(str(tmp_path))
    assert storage.open("name") == tmp_path / "name"
    assert storage.uri_of("name") is None


def test_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="ftp://host/x"):
        Storage("ftp://host/x")


def test_what_changes_is_uploaded_once_and_fetched_elsewhere(bucket, tmp_path, monkeypatch):
    storage = Storage(bucket)
    folder = storage.root / "s"
    with storage.mirrored("s"):
        folder.mkdir(parents=True)
        (folder / "journal.jsonl").write_text("one\n")
    uploads = Uploads(storage.remote, folder, "s")
    sent = []
    monkeypatch.setattr(storage.remote, "push", lambda content, key: sent.append(key))
    uploads.push()
    uploads.push()
    (folder / "journal.jsonl").write_text("one\ntwo\n")
    uploads.push()
    assert sent == ["s/journal.jsonl"] * 2
    shutil.rmtree(storage.root)
    assert (Storage(bucket).open("s") / "journal.jsonl").read_text() == "one\n"


def test_a_second_machine_is_refused_while_a_sweep_is_run_and_free_to_go_on_after_it(bucket, monkeypatch):
    with Storage(bucket).mirrored("s"):
        monkeypatch.setattr(lease, "_machine", lambda: "another one")
        with pytest.raises(BalltrainError, match="the sweep s is run by"), Storage(bucket).mirrored("s"):
            pytest.fail("the block ran")
    with Storage(bucket).mirrored("s"):
        assert [key for key in keys(bucket) if "/.drivers/" in key and key.endswith(".json")]
    assert not [key for key in keys(bucket) if "/.drivers/" in key and key.endswith(".json")]


def test_a_journal_that_another_machine_went_on_with_is_the_sweeps(bucket):
    storage = Storage(bucket)
    journal = storage.root / "s" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("one\ntwo here\n")
    storage.remote.push(b"one\n", "s/journal.jsonl")
    storage.open("s")
    assert journal.read_text() == "one\ntwo here\n"  # the end of it was not uploaded
    storage.remote.push(b"one\ntwo\n", "s/journal.jsonl")
    storage.open("s")
    assert journal.read_text() == "one\ntwo\n"
    (aside,) = journal.parent.glob(".diverged-*")
    assert aside.read_text() == "one\ntwo here\n"


def test_the_end_of_a_sweep_is_told_after_its_last_tables(bucket, monkeypatch):
    storage = Storage(bucket)
    folder = storage.root / "s"
    folder.mkdir(parents=True)
    for name in ("sweep.json", "trials.parquet"):
        (folder / name).write_text("running")
    there = {}

    def push(content, key):
        there[key] = content.decode()
        if key.endswith("trials.parquet") and there[key] == "running":  # it ends while this is uploaded
            (folder / "trials.parquet").write_text("the last")
            (folder / "sweep.json").write_text("has ended")

    monkeypatch.setattr(storage.remote, "push", push)
    uploads = Uploads(storage.remote, folder, "s")
    uploads.push()
    assert there == {"s/sweep.json": "running", "s/trials.parquet": "running"}
    uploads.push()
    assert list(there.values()) == ["the last", "has ended"]
    assert list(there) == ["s/trials.parquet", "s/sweep.json"]


def test_of_two_versions_of_one_second_the_later_is_fetched(bucket, tmp_path, monkeypatch):
    """Storage tells times in whole seconds."""
    monkeypatch.setattr(Remote, "modified_at", lambda self, relative: 1_000_000_000.0)
    remote, local = Remote(bucket), tmp_path / "sweep.json"
    now = 0.0
    monkeypatch.setattr("balltrain.storage.time.monotonic", lambda: now)
    remote.push(b"runs", "a/sweep.json")
    remote.pull_changed(local, "a/sweep.json")
    remote.push(b"has ended", "a/sweep.json")
    now = 2.0
    remote.pull_changed(local, "a/sweep.json")
    assert local.read_bytes() == b"has ended"
    remote.push(b"nothing comes so late with this time", "a/sweep.json")
    remote.pull_changed(local, "a/sweep.json")
    assert local.read_bytes() == b"has ended"


def test_a_bucket_that_is_not_there_is_refused_before_anything_runs(bucket):
    storage = Storage("s3://no-such-bucket-here/sweeps")
    with pytest.raises(BalltrainError, match="cannot write to s3://no-such-bucket-here"), storage.mirrored("s"):
        pytest.fail("the block ran")


@pytest.mark.slow  # the client's own retries take 18 s
def test_storage_that_is_away_for_a_while_is_waited_for(bucket, monkeypatch):
    storage, folder = Storage(bucket), Storage(bucket).root / "s"
    folder.mkdir(parents=True)
    (folder / "state.pt").write_text("weights")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = Uploads(Storage(bucket + "?allow_bucket_creation=false").remote, folder, "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(BalltrainError, match="cannot write"):
        away.push()

    def come_back():
        time.sleep(1)
        away.remote = storage.remote

    threading.Thread(target=come_back).start()
    retrying(away.push)
    assert "sweeps/s/state.pt" in keys(bucket)


@pytest.mark.chaos
def test_a_sweep_in_s3_is_resumed_by_another_machine(bucket, tmp_path, capsys, monkeypatch):
    from balltrain.cli import main

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([*arguments, "--storage", bucket, "--json"])
        assert not exit_.value.code
        return json.loads(capsys.readouterr().out)

    secret = "a-secret-that-nobody-else-has"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    sweep = ("sweep", TOY_FILE, "--name", "s", "--wandb", "offline", "--data-dir", str(tmp_path / "data"))
    summary = run(*sweep, "--trials", "3")
    assert (summary["storage"], summary["trials"]) == (bucket, 3)
    found = {key.removeprefix("sweeps/s/") for key in keys(bucket)}
    assert {"sweep.json", "journal.jsonl", "trials.parquet", "epochs.parquet", "best/model.safetensors"} <= found
    assert {f"checkpoints/{n:05d}/state.pt" for n in range(3)} <= found

    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert not [path for path in files if secret.encode() in path.read_bytes()]

    # another machine: nothing in its cache
    shutil.rmtree(tmp_path / "cache")
    assert [entry["name"] for entry in run("results")["sweeps"]] == ["s"]
    assert run("results", "s")["best"] == summary["best"] | {"checkpoint": run("results", "s")["best"]["checkpoint"]}
    assert run(*sweep, "--trials", "5", "--resume")["trials"] == 5
    state = SweepState.replay(read_journal(Storage(bucket).open("s")))
    assert [trial.attempts for trial in state.trials.values()] == [1] * 5
    trials = pd.read_parquet(Storage(bucket).open("s") / "trials.parquet")
    assert len(trials) == 5


def test_what_a_lost_machine_has_left_of_another_configuration_is_not_gone_on_from(bucket, tmp_path):
    """Its journal's last seconds were not uploaded, and the trial of that number may be another now."""
    remote, folder = Remote(bucket), tmp_path / "checkpoints" / "00003"
    first = Attempt(3, "00003", 1, {}, 0, 0)
    for left in (True, False):
        if left:
            remote.push(b"of another configuration", "checkpoints/00003/state.pt")
        with _uploading(folder, bucket, first, rank=0):
            assert not folder.exists()
        with _uploading(folder, bucket, dataclasses.replace(first, attempt=2), rank=0):
            assert not (folder / "state.pt").exists()
