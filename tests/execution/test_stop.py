"""`balltrain stop`: of a training in this process, and of sweeps on Ray from another process."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from toy import TOY_FILE

from balltrain.execution.interrupts import interruptible
from balltrain.execution.requested import follow
from balltrain.execution.single import train_once
from balltrain.records import requests as requests_module
from balltrain.records.columns import Status
from balltrain.records.requests import Answer, StopRequest
from balltrain.search.policy import Cause


@pytest.fixture
def asked(capsys, make_toy_plan, simulate):
    """A simulated sweep, and what the driver answers to a request."""
    from ray import tune

    sim = simulate(make_toy_plan(space={"batch_size": tune.choice([8, 16])}, searcher="random", trials=4, epochs=9))
    killed = []
    with interruptible(lambda: None) as interrupts, interrupts.heard():
        yield sim, interrupts, killed, lambda request: follow(request, sim.controller, interrupts, killed.append)


def test_what_the_driver_answers_for_a_trial(asked, capsys):
    sim, interrupts, killed, ask = asked
    assert ask(StopRequest(trial=0)) == Answer(False, "there is no trial 0: it has none yet")
    _, second = sim.controller.next_attempt(), sim.controller.next_attempt()
    assert ask(StopRequest(trial=9)).says == f"there is no trial 9: it has 0 to {max(sim.state.trials)}"
    assert ask(StopRequest(trial=0, who="ada@here")).says == "trial 00000 is stopped after the epoch that runs"
    assert ask(StopRequest(trial=0, now=True)).says == "trial 00000 is stopped at once"
    assert killed == [0]
    assert ask(StopRequest(trial=0)).says == "trial 00000 has ended already: it is stopped"
    assert sim.state.trials[0].stopped_by.startswith("balltrain stop, ")
    sim.controller.fail(second.number, Cause.NODE_LOST, "the node has died")
    assert ask(StopRequest(trial=second.number)).says.endswith("which does not train now, is stopped")
    assert sim.state.trials[second.number].status == Status.STOPPED
    assert "balltrain stop, ada@here: trial 00000 is stopped after" in capsys.readouterr().err
    assert not interrupts.asked


def test_one_with_the_configuration_of_another_names_that_one(asked):
    sim, _, _, ask = asked
    while (same := next((t for t in sim.state.trials.values() if t.same_as is not None), None)) is None:
        sim.controller.concurrency += 1
        sim.controller.next_attempt()
    answer = ask(StopRequest(trial=same.number))
    assert not answer.taken
    assert f"trial {sim.state.trials[same.same_as].trial_id}, which trains for both: stop that one" in answer.says


def test_what_the_driver_answers_for_the_sweep(asked):
    _, interrupts, _, ask = asked
    assert ask(StopRequest()).says == "it ends after the epochs that run, and can be resumed"
    assert (interrupts.asked, interrupts.at_once) == (True, False)
    assert ask(StopRequest()) == Answer(True, "it was ending already, after the epochs that run")
    assert ask(StopRequest(now=True)).says == "it ends at once, and can be resumed"
    assert interrupts.at_once


def test_a_training_is_stopped_by_the_command_and_says_so(make_toy_plan, tmp_path, monkeypatch, cli):
    monkeypatch.setattr(requests_module, "LOOK_EVERY_S", 0.02)
    done = []

    def train():
        plan = make_toy_plan(trials=1, epochs=100_000)
        done.append(train_once(plan, tmp_path / "t", num_gpus=0, data_dir=tmp_path / "data", resume=False))

    thread = threading.Thread(target=train)
    thread.start()
    while not (tmp_path / "t" / "trials.parquet").exists() and '"report"' not in _text(tmp_path / "t/journal.jsonl"):
        time.sleep(0.02)
    code, _, err = cli("stop", "t", "--trial", 0, "--storage", tmp_path)
    assert (code, err) == (2, "error: t: a training is stopped as a whole: leave out --trial\n")
    code, out, _ = cli("stop", "t", "--storage", tmp_path)
    assert (code, out) == (0, "t: it ends after the epochs that run, and can be resumed\n")
    thread.join(30)
    assert done[0].interrupted
    code, out, err = cli("stop", "t", "--storage", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("error: nobody runs t: it has ended, or was interrupted, at 20")


def test_a_sweep_that_nobody_runs_is_said_in_one_line(tmp_path, monkeypatch, cli):
    monkeypatch.setattr(requests_module, "WAIT_S", 0.1)
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "sweep.json").write_text("{}")  # as a kill leaves it
    code, _, err = cli("stop", "k", "--storage", tmp_path)
    assert code == 1
    assert err.startswith("error: nobody who runs k has answered, and the request is withdrawn: ")
    code, _, err = cli("stop", "l", "--storage", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert "it has k" in err


def test_of_object_storage_whose_driver_has_left_it_is_said_at_once(bucket, cli):
    from balltrain.storage import Storage

    Storage(bucket).remote.push(b"{}", "k/sweep.json")
    code, _, err = cli("stop", "k", "--storage", bucket)
    assert (code, err) == (1, "error: nobody runs k: its last driver has left it\n")


@pytest.mark.slow
def test_of_a_sweep_on_ray_a_trial_is_stopped_another_at_once_and_then_the_whole(tmp_path):
    nap = 'import time; time.sleep(1.0)\n        return {"y"'
    (tmp_path / "k.py").write_text(Path(TOY_FILE).read_text().replace('return {"y"', nap))
    sweep = ["sweep", tmp_path / "k.py", "--name=k", "--data-dir", tmp_path / "data", "--trials=6", "--epochs=8"]
    process = start(*sweep, "--scheduler=none", "--wandb=off", "--storage", tmp_path)
    wait_for_reports(tmp_path / "k", 2)
    for number, more in ((0, ()), (1, ("--now",))):
        assert start("stop", "k", f"--trial={number}", *more, "--storage", tmp_path).wait(30) == 0
    wait_for_reports(tmp_path / "k", 6)
    assert start("stop", "k", "--storage", tmp_path).wait(30) == 0
    assert process.wait(60) == 130
    trials = pd.read_parquet(tmp_path / "k" / "trials.parquet").set_index("number")
    assert trials.status[:2].tolist() == ["stopped"] * 2
    assert trials.stopped_by[:2].str.startswith("balltrain stop, ").all()
    assert trials.epochs[0] < 8
    assert set(trials.status[2:]) <= {"interrupted", "completed"}
    assert len(trials) >= 4  # others came in their place


def start(*arguments):
    command = [sys.executable, "-m", "balltrain.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)


def wait_for_reports(folder, count):
    deadline = time.monotonic() + 90
    while _text(folder / "journal.jsonl").count('"report"') < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _text(path):
    return path.read_text() if path.exists() else ""
