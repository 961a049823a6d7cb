"""Real sweeps on a file system that forgets what was not synced, whose power is cut at a random moment."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from durability.forgetful import Forgetful, why_not
from toy import TOY_FILE

from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def test_what_was_not_synced_may_be_forgotten_and_what_was_stays(tmp_path):
    left, forgotten = tmp_path / "left", set()
    for seed in range(6):
        with Forgetful(tmp_path / f"disk{seed}", tmp_path / "mount") as disk:
            folder = disk.mountpoint / "a"
            folder.mkdir()
            for name in ("synced", "without its name", "not synced"):
                with open(folder / name, "wb") as file:
                    file.write(b"x" * 10_000)
                    if name != "not synced":
                        os.fsync(file.fileno())
                if name == "synced":
                    for path in (folder, disk.mountpoint):
                        number = os.open(path, os.O_RDONLY)
                        os.fsync(number)
                        os.close(number)
            disk.cut(left / str(seed), seed)
            with pytest.raises(OSError, match="Input/output error"):
                (folder / "synced").read_bytes()
        there = {path.name: path.read_bytes() for path in (left / str(seed) / "a").iterdir()}
        assert there["synced"] == b"x" * 10_000
        assert there.get("without its name", b"x" * 10_000) == b"x" * 10_000  # its content was synced
        forgotten |= {"name"} if "without its name" not in there else set()
        forgotten |= {"content"} if there.get("not synced", b"x" * 10_000) != b"x" * 10_000 else set()
    assert forgotten == {"name", "content"}


def start(kind, storage, tmp_path, *more):
    """A sweep of six trials, or one training, without Ray; 36 epochs in all."""
    command = [sys.executable, "-m", "balltrain.cli", kind, str(tmp_path / "k.py"), "--wandb=off", "--json"]
    if kind == "sweep":
        command += ["--name=k", f"--storage={storage}", "--trials=6", "--epochs=6", "--scheduler=none"]
    else:
        command += [f"--out={storage / 'k'}", "--epochs=36"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, f"--data-dir={tmp_path / 'data'}", *more], **pipes, start_new_session=True)


def promised(storage):
    """Lines of the journal that somebody has acted on: what comes after a line was written once it was on disk."""
    with contextlib.suppress(OSError):
        return (storage / "k" / "journal.jsonl").read_bytes().splitlines(keepends=True)[:-1]
    return []


@pytest.mark.chaos
@pytest.mark.parametrize(("kind", "seed"), [("train", 0), ("train", 1), ("sweep", 0), ("sweep", 1)])
def test_a_real_run_whose_power_is_cut_loses_nothing(tmp_path, kind, seed, capsys):
    slow = Path(TOY_FILE).read_text().replace('return {"y"', 'import time; time.sleep(0.1)\n        return {"y"')
    (tmp_path / "k.py").write_text(slow)
    draw, folder, mount, cuts, more = random.Random(seed), tmp_path / "disk0", tmp_path / "mount", 0, ()
    while True:
        with Forgetful(folder, mount) as disk:
            process = start(kind, mount, tmp_path, *more)
            if cuts == 3:
                out, err = process.communicate(timeout=300)
                assert process.returncode == 0, err
                break
            rows = len(promised(mount)) + draw.randrange(1, 20)
            deadline = time.monotonic() + 120
            while len(promised(mount)) < rows and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 0.5))
            before = promised(mount)
            cuts += 1
            folder = tmp_path / f"disk{cuts}"
            disk.cut(folder, seed=draw.randrange(10**6))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        journal = folder / "k" / "journal.jsonl"
        after = journal.read_bytes() if journal.exists() else b""
        assert after.startswith(b"".join(before)), "a line that was promised is not there"
        more = ("--resume",) if journal.exists() and any(True for _ in read_journal(folder / "k")) else ()
    assert json.loads(out)
    left, trials = tmp_path / f"disk{cuts}" / "k", 6 if kind == "sweep" else 1
    state = SweepState.replay(read_journal(left))
    rows = [[row["epoch"] for row in trial.rows] for trial in state.trials.values()]
    assert rows == [list(range(1, 36 // trials + 1))] * trials
    assert len(pd.read_parquet(left / "epochs.parquet")) == 36
    assert (left / "best" / "model.safetensors").exists()
    with capsys.disabled():
        print(f"{cuts} cuts, {sum(trial.attempts for trial in state.trials.values())} attempts at {trials} trials")
