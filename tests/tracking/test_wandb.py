import time

import pytest
from PIL import Image
from wandb_files import read_wandb_run

from balltrain.errors import BalltrainError, UsageError
from balltrain.records.state import SweepState
from balltrain.reporting import gallery
from balltrain.tracking import wandb as tracking
from balltrain.tracking.mirrors import Mirrors, mirrored


def test_auto_is_offline_without_a_key_and_online_with_one(monkeypatch):
    assert tracking.resolve_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert tracking.resolve_mode("auto") == "online"
    assert tracking.resolve_mode("online") == "online"


def test_a_key_of_wandb_login_is_found(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert tracking.resolve_mode("auto") == "online"


def test_online_without_a_key_says_what_to_do():
    with pytest.raises(BalltrainError, match=r"wandb login.*--wandb offline"):
        tracking.resolve_mode("online")


def test_an_unknown_mode_is_refused():
    with pytest.raises(UsageError, match="unknown --wandb mode 'on'"):
        tracking.resolve_mode("on")


def test_off_imports_and_writes_nothing(written, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    sim = written()
    with mirrored(sim.folder, Mirrors().build(sim.folder)):
        sim.run()
    assert {path.name for path in sim.folder.iterdir()} == {"journal.jsonl", ".lock"}


def follow(sim, mode="offline", checkpoint=False, **run):
    with mirrored(
        sim.folder, Mirrors(wandb=mode, wandb_checkpoint=checkpoint, pictures=gallery.pictures_of).build(sim.folder)
    ):
        sim.run(**run)


def runs_of(sim):
    """By id; an id twice is an error."""
    found = [read_wandb_run(path) for path in (sim.folder / "wandb").glob("offline-run-*/*.wandb")]
    assert len({run["id"] for run in found}) == len(found)
    return {run["id"].removeprefix("toy-sweep-"): run for run in found}


def check(sim):
    runs = runs_of(sim)
    assert set(runs) == {trial.trial_id for trial in sim.state.trials.values()}
    for trial in sim.state.trials.values():
        run = runs[trial.trial_id]
        assert (run["group"], run["job_type"], run["finished"]) == ("toy-sweep", "toy", True)
        assert run["config"]["lr"] == trial.config["lr"]
        assert [(row["epoch"], row["val_loss"]) for row in run["history"]] == sim.curve(trial.number)
        assert run["steps"] == {"*": "epoch"}
    return runs


def test_a_run_a_trial_with_the_epoch_as_its_axis(written):
    sim = written(confirm=1, repeats=2)
    follow(sim)
    check(sim)


def test_a_sweep_killed_and_resumed_offline_has_one_whole_run_a_trial(written):
    sim = written(trials=6)
    follow(sim, max_reports=7)
    time.sleep(1.1)  # W&B names its folders by the second
    again = written(trials=6)
    follow(again)
    check(again)


def test_a_trial_that_paused_goes_on_as_the_same_run(written):
    """Each run is open while its trial trains, and those of paused trials are not."""
    sim = written(trials=8, epochs=8, searcher="freeze-thaw", grace=None)
    mirror = tracking.WandbMirror("offline", sim.folder)
    replayed, thawed, most = SweepState.replay(sim.lines), 0, 0
    mirror.open(replayed)
    sim.run()
    for line in sim.lines[1:]:
        replayed.apply(line)
        if "number" in line:
            mirror.update(replayed.trials[line["number"]])
        thawed += line["type"] == "thaw"
        most = max(most, len(mirror._runs))
    mirror.close(replayed)
    assert thawed
    assert most <= 2
    for trial in sim.state.trials.values():
        assert runs_of(sim)[trial.trial_id]["status"] == trial.status
    check(sim)


def test_the_best_checkpoint_is_an_artifact_when_asked_for(written):
    sim = written()
    (sim.folder / "best").mkdir()
    (sim.folder / "best" / "model.safetensors").write_bytes(b"weights")
    follow(sim, checkpoint=True)
    runs = runs_of(sim)
    assert set(runs) == {"00000", "00001", "00002", "00003", "best"}
    assert runs["best"]["artifacts"] == {"toy-sweep-best": ["model.safetensors"]}
    assert runs["best"]["group"] == "toy-sweep"


def test_the_best_has_pictures_of_its_predictions(written, monkeypatch):
    def drawn(checkpoint, data_dir, folder):
        Image.new("RGB", (8, 8)).save(folder / "img_00007.png")
        return [folder / "img_00007.png"], "Of the validation split."

    monkeypatch.setattr(gallery, "sample_predictions", drawn)
    sim = written()
    (sim.folder / "best").mkdir()
    follow(sim)
    assert set(runs_of(sim)) == {"00000", "00001", "00002", "00003", "best"}
    (folder,) = (sim.folder / "wandb").glob("offline-run-*-best")
    (picture,) = folder.glob("files/media/images/**/*.png")
    assert Image.open(picture).size == (8, 8)


def test_a_task_that_draws_nothing_has_no_such_run(written):
    sim = written()
    (sim.folder / "best").mkdir()
    follow(sim)
    check(sim)


@pytest.fixture(params=["refuses", "hangs", "answers 500"])
def broken(request, broken_server, monkeypatch):
    """W&B's server is none."""
    monkeypatch.setenv("WANDB_BASE_URL", broken_server(request.param))
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(tracking, "TIMEOUT_S", 1.0)


def test_a_server_that_is_down_slow_or_refusing_costs_the_trials_nothing(written, broken, capsys):
    sim = written(trials=20)
    with mirrored(sim.folder, Mirrors(wandb="online").build(sim.folder)):
        start = time.monotonic()
        sim.run()
        assert time.monotonic() - start < 10  # a second a trial, if they waited for it
    assert len(sim.state.ended_in_order) == 20
    text = capsys.readouterr().err
    assert "W&B: no answer (" in text
    assert "wandb sync" in text
    check(sim)  # all of it is kept offline


def test_a_run_has_the_figures_of_several_objectives(written):
    sim = written(trials=2, objectives=["val_loss", "error:max", "num_params"])
    follow(sim)
    for trial in sim.state.trials.values():
        summary = runs_of(sim)[trial.trial_id]["summary"]
        assert summary["objectives/val_loss"] == trial.objective
        assert summary["objectives/error"] == trial.figure("error")
        assert summary["objectives/num_params"] == 49
