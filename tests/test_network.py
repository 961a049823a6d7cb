"""A network that delays, cuts and drops between a sweep and its object storage, a real S3 server behind a proxy."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from proxy import Proxy
from toy import TOY_FILE

from balltrain.errors import StorageError, SweepStopped
from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState
from balltrain.storage import Remote, Storage


@pytest.fixture
def network(s3_server, bucket, monkeypatch):
    """A proxy before the server, which all clients of the test go through."""
    with Proxy(s3_server.get_host_and_port()) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield proxy


CONTENT = b"".join(b"%08d\n" % number for number in range(20_000))  # 180 kB


@pytest.mark.parametrize("cut_after", [1, 300, 5000, 150_000])
def test_what_is_read_is_whole_or_an_error_wherever_the_connection_is_cut(network, bucket, cut_after):
    remote = Remote(bucket)
    remote.push(CONTENT, "s/journal.jsonl")
    for _ in range(2):
        network.cut_after = cut_after
        found = b""
        with contextlib.suppress(StorageError):
            found = remote.read("s/journal.jsonl")
        assert found in (b"", CONTENT)  # None would say that it is not there
        assert network.cut_after is None
    assert remote.read("s/journal.jsonl") == CONTENT


@pytest.mark.parametrize("cut_after", [1, 300, 90_000])
def test_what_is_written_is_the_old_or_the_new_wherever_the_connection_is_cut(network, bucket, cut_after):
    remote = Remote(bucket)
    remote.push(b"old", "s/journal.jsonl")
    network.cut_after_of_client = cut_after
    written = False
    with contextlib.suppress(StorageError):
        remote.push(CONTENT, "s/journal.jsonl")
        written = True
    assert network.cut_after_of_client is None
    found = remote.read("s/journal.jsonl")
    assert found == CONTENT if written else found in (b"old", CONTENT)
    network.cut_after = 1  # the answer alone is lost
    with contextlib.suppress(StorageError):
        remote.push(b"new", "s/journal.jsonl")
    assert remote.read("s/journal.jsonl") == b"new"


def test_an_end_that_finds_its_storage_away_says_so_and_where_the_rest_is(bucket, tmp_path, monkeypatch):
    """With a folder in the storage's place, as the client of S3 tries again for 18 s by itself."""
    monkeypatch.setattr("balltrain.storage.SAY_AFTER_S", 0.2)
    storage, said = Storage(bucket), []
    there = tmp_path / "there"
    storage.remote = Remote(there.as_uri())
    folder = storage.root / "s"

    def sweep():
        with storage.mirrored("s", lambda usual_s: 1.0, say=said.append):
            folder.mkdir(parents=True)
            (folder / "journal.jsonl").write_text("one\n")
            there.rename(tmp_path / "away")
            there.write_text("no folder")

    with pytest.raises(
        SweepStopped, match=r"the sweep has ended, but cannot write .*; what is missing there is kept"
    ):
        sweep()
    assert storage.away is not None
    (text,) = said
    assert text.startswith("the sweep has ended, but cannot write to file://")
    assert text.endswith(f"what is missing there is kept in {folder}, and --resume sends it")
    there.unlink()
    (tmp_path / "away").rename(there)
    with storage.mirrored("s"):
        pass
    assert (there / "s" / "journal.jsonl").read_text() == "one\n"


def slow_toy(tmp_path):
    """The toy task, with epochs of half a second."""
    slow = Path(TOY_FILE).read_text().replace('return {"y"', 'import time; time.sleep(0.25)\n        return {"y"')
    (tmp_path / "k.py").write_text(slow)
    return tmp_path / "k.py"


def start(tmp_path, bucket, *more, trials=8, epochs=6):
    command = [sys.executable, "-m", "balltrain.cli", "sweep", str(slow_toy(tmp_path)), "--name=k", "--wandb=off"]
    command += [f"--storage={bucket}", f"--data-dir={tmp_path / 'data'}", f"--trials={trials}", f"--epochs={epochs}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, "--scheduler=none", *more], **pipes, start_new_session=True)


def wait_for(what, process, seconds=400):
    deadline = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def check_nothing_is_lost(bucket, trials=8, epochs=6):
    """By what is in the storage alone, as another machine sees it."""
    elsewhere = Storage(bucket)
    elsewhere.root = elsewhere.root / "elsewhere"
    folder = elsewhere.open("k")
    state = SweepState.replay(read_journal(folder))
    assert [trial.epochs for trial in state.trials.values()] == [epochs] * trials
    assert len(pd.read_parquet(folder / "epochs.parquet")) == trials * epochs
    for trial in state.trials.values():
        assert [row["epoch"] for row in trial.rows] == list(range(1, epochs + 1))
        assert (trial.attempts, trial.status) == (1, "completed")
        # of those that are not the best it is deleted
        assert elsewhere.remote.is_there(f"k/checkpoints/{trial.trial_id}/state.pt") == trial.has_checkpoint
    assert elsewhere.remote.is_there("k/best/model.safetensors")
    return state


@pytest.mark.chaos
def test_a_sweep_whose_network_comes_and_goes_loses_nothing(network, bucket, tmp_path):
    draw, process = random.Random(time.time_ns()), start(tmp_path, bucket, "--json")
    wait_for(lambda: network.num_connections > 5, process)

    def trouble():
        while process.poll() is None:
            network.how = draw.choice(["delay", "cut", "hole", "half"])
            time.sleep(draw.uniform(0.5, 8.0))
            network.how = "pass"
            network.cut_after_of_client = draw.choice([None, draw.randrange(1, 100_000)])
            time.sleep(draw.uniform(0.5, 4.0))

    threading.Thread(target=trouble, daemon=True).start()
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert json.loads(out)["trials"] == 8
    network.how, network.cut_after_of_client = "pass", None
    check_nothing_is_lost(bucket)


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["cut", "hole"])
def test_a_sweep_that_ends_while_the_network_is_down_says_so_and_is_completed_by_a_resume(
    network, bucket, tmp_path, how
):
    process = start(tmp_path, bucket, trials=2)
    journal = Storage(bucket).root / "k" / "journal.jsonl"
    wait_for(lambda: journal.exists() and journal.read_text().count('"report"') >= 12, process)
    network.how = how  # with the last row: the final tables, the best and the end are not there yet
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    wait_for(lambda: any("the sweep has ended, but cannot" in line for line in lines), process)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    reader.join(10)
    assert process.returncode not in (0, None)
    assert "Traceback" not in "".join(lines)
    network.how = "pass"
    process = start(tmp_path, bucket, "--resume", "--json", trials=2)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    check_nothing_is_lost(bucket, trials=2)


@pytest.mark.chaos
def test_trials_are_not_slowed_by_a_network_that_is(network, bucket, tmp_path, capsys):
    """Epochs as the trials measure them: what is uploaded between two is no part of them."""
    medians = {}
    for how in ("pass", "delay"):
        network.how, network.delay_s = how, 0.1
        process = start(tmp_path, f"{bucket}/{how}", "--json", trials=4)
        out, err = process.communicate(timeout=400)
        assert process.returncode == 0, err
        folder = Storage(f"{bucket}/{how}").open("k")
        epochs = pd.read_parquet(folder / "epochs.parquet")
        between = epochs.groupby("trial_id")["reported_at"].diff().dt.total_seconds().median()
        medians[how] = (float(epochs["seconds"].median()), float(between), json.loads(out)["seconds"])
    with capsys.disabled():
        print(
            {
                how: "an epoch {:.2f} s, from row to row {:.2f} s, the sweep {:.0f} s".format(*found)
                for how, found in medians.items()
            }
        )
    assert medians["delay"][0] < 1.5 * medians["pass"][0]
