"""A sweep that runs elsewhere, seen through its storage alone."""

from __future__ import annotations

import json
import os
import threading
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from rich.console import Console

from balltrain.cli import main
from balltrain.errors import BalltrainError
from balltrain.reporting import watch as watching
from balltrain.reporting.live import View
from balltrain.reporting.snapshot import snapshot_of
from balltrain.reporting.watch import Watched, watch
from balltrain.storage import Storage, Uploads


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(watching, "POLL_S", 0.05)


def terminal() -> Console:
    return Console(file=StringIO(), force_terminal=True, width=80, height=24, color_system=None)


def plain() -> Console:
    return Console(file=StringIO(), width=200)


def end(simulation: Any, storage: Path) -> None:
    """As a sweep does: the last tables, then in sweep.json that it has ended."""
    folder = simulation.write(storage)
    sweep = json.loads((folder / "sweep.json").read_text())
    (folder / ".new").write_text(json.dumps({**sweep, "ended_at": "2026-11-21T21:00:00Z"}))
    (folder / ".new").replace(folder / "sweep.json")


def run_elsewhere(simulation: Any, storage: Path) -> threading.Thread:
    """The rest of the sweep in another thread, its tables written every 20 epochs."""

    def work() -> None:
        going = True
        while going:
            for _ in range(20):
                going = simulation.step()
            simulation.write(storage)
            time.sleep(0.1)
        end(simulation, storage)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def begun(simulate: Any, storage: Path, steps: int = 30, **options: Any) -> Any:
    simulation = simulate(**options)
    for _ in range(steps):
        simulation.step()
    simulation.write(storage)
    return simulation


def test_the_panel_follows_the_tables_and_ends_with_the_sweep(simulate, tmp_path: Path):
    simulation = begun(simulate, tmp_path)
    thread = run_elsewhere(simulation, tmp_path)
    console = terminal()
    results = watch(Storage(str(tmp_path)), "bowl-1", console)
    thread.join()
    text = console.file.getvalue()
    assert "/24 trials" in text
    assert "as of" in text
    assert len(results.trials) == 24
    assert results.counts["running"] == 0


def test_without_a_terminal_it_is_a_line_a_change(simulate, tmp_path: Path):
    simulation = begun(simulate, tmp_path)
    thread = run_elsewhere(simulation, tmp_path)
    console = plain()
    watch(Storage(str(tmp_path)), "bowl-1", console)
    thread.join()
    lines = console.file.getvalue().splitlines()
    assert len(lines) == len(set(lines)) >= 2
    assert all(line.startswith("bowl-1: ") and "of 24 trials" in line for line in lines)
    assert "best val_loss" in lines[-1]


@pytest.mark.parametrize("steps", [0, 3, 70, 150])
def test_the_panel_of_the_tables_is_that_of_the_sweep(simulate, tmp_path: Path, steps: int):
    simulation = begun(simulate, tmp_path, steps=steps, failing=lambda number: "boom" if number == 2 else None)
    snapshot = Watched(Storage(str(tmp_path)), "bowl-1").snapshot
    assert snapshot == snapshot_of(simulation.controller)
    running = simulation.state.with_status("running")
    assert [trial.trial_id for trial in snapshot.running] == [trial.trial_id for trial in running]
    assert [trial.curve for trial in snapshot.running] == [
        tuple(row["objective"] for row in trial.rows) for trial in running
    ]


def test_tables_of_two_moments_are_shown(simulate, tmp_path: Path):
    """Each is replaced by itself: the trials may be ahead of the epochs."""
    simulation = begun(simulate, tmp_path, steps=1)
    before = (tmp_path / "bowl-1" / "epochs.parquet").read_bytes()
    for _ in range(10):
        simulation.step()
    (simulation.write(tmp_path) / "epochs.parquet").write_bytes(before)
    snapshot = Watched(Storage(str(tmp_path)), "bowl-1").snapshot
    assert any(trial.epoch and not trial.curve for trial in snapshot.running)
    assert snapshot.num_epochs == sum(trial.epochs for trial in simulation.state.trials.values())
    assert View().render(snapshot, 80, 24)


def test_confirmations_count(simulate, tmp_path: Path):
    simulation = begun(simulate, tmp_path, steps=10**3, trials=4, confirm=2)
    watched = Watched(Storage(str(tmp_path)), "bowl-1")
    assert watched.snapshot.num_trials == 4 + 2 * 3
    assert watched.ended
    assert watched.snapshot.best.trial_id == simulation.state.best.trial_id


def test_a_sweep_without_tables_is_waited_for(simulate, tmp_path: Path):
    simulation = begun(simulate, tmp_path, steps=0)
    folder = tmp_path / "bowl-1"
    for file in folder.glob("*.parquet"):
        file.unlink()
    console = terminal()
    threading.Timer(0.3, lambda: run_elsewhere(simulation, tmp_path)).start()
    assert len(watch(Storage(str(tmp_path)), "bowl-1", console).trials) == 24
    assert "has just begun" in console.file.getvalue()


def test_an_interrupted_sweep_ends_the_view(simulate, tmp_path: Path):
    end(begun(simulate, tmp_path), tmp_path)
    assert watch(Storage(str(tmp_path)), "bowl-1", plain()).counts["running"] == 4


def test_a_sweep_that_is_silent_says_so(simulate, tmp_path: Path):
    simulation = begun(simulate, tmp_path)
    long_ago = time.time() - 300
    os.utime(tmp_path / "bowl-1" / "epochs.parquet", (long_ago, long_ago))
    console = terminal()
    threading.Timer(0.4, lambda: end(simulation, tmp_path)).start()
    watch(Storage(str(tmp_path)), "bowl-1", console)
    assert "no sign of life for 5 min" in console.file.getvalue()


def test_an_unknown_name_says_which_there_are(simulate, tmp_path: Path, capsys):
    begun(simulate, tmp_path)
    with pytest.raises(SystemExit) as end_:
        main(["watch", "bowl", "--storage", str(tmp_path)])
    assert end_.value.code == 1
    assert "bowl-1" in capsys.readouterr().err


def test_a_sweep_in_object_storage(simulate, tmp_path: Path, monkeypatch):
    import boto3

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
                        ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
                        ("XDG_CACHE_HOME", str(tmp_path / "cache"))):  # fmt: skip
        monkeypatch.setenv(name, value)
    try:
        boto3.client("s3").create_bucket(Bucket="watched")
        here = Storage("s3://watched/sweeps")
        simulation = begun(simulate, tmp_path)
        uploads = Uploads(here.remote, tmp_path / "bowl-1", "bowl-1")
        uploads.push()

        def rest() -> None:
            while simulation.step():
                pass
            end(simulation, tmp_path)
            uploads.push()

        threading.Timer(0.5, rest).start()
        console = plain()
        assert len(watch(here, "bowl-1", console).trials) == 24
        assert "of 24 trials" in console.file.getvalue()
        with pytest.raises(BalltrainError, match="no sweep 'other'"):
            watch(here, "other", console)
    finally:
        server.stop()
