"""Event files, read by TensorBoard's own reader."""

import math

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from balltrain.errors import UsageError
from balltrain.tracking.mirrors import Mirrors, Tracking, mirrored


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def scalars(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def close_to(expected):
    return [(step, value if value is None else _float32(value)) for step, value in expected]


def _float32(value):
    import numpy as np

    return float(np.float32(value))


def follow(sim, **run):
    with mirrored(sim.folder, Mirrors(tensorboard=True).build(sim.folder)):
        sim.run(**run)


def test_a_folder_a_trial_with_its_curves_and_hparams(written):
    sim = written()
    follow(sim)
    assert sorted(path.name for path in (sim.folder / "tensorboard").iterdir()) == [
        "00000",
        "00001",
        "00002",
        "00003",
    ]
    for trial in sim.state.trials.values():
        events = read(sim.folder / "tensorboard" / trial.trial_id)
        assert scalars(events, "val_loss") == close_to(sim.curve(trial.number))
        assert {"train_loss", "lr", "objective", "best_objective", "error"} <= set(events.Tags()["scalars"])
        assert events.Scalars("best_objective")[-1].value == _float32(trial.objective)
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        hparams = metadata.parse_session_start_info_plugin_data(content).hparams
        assert hparams["lr"].number_value == trial.config["lr"]
        assert hparams["optimizer"].string_value == "adamw"
        assert hparams["clip_norm"].string_value == "null"


def test_a_sweep_killed_and_resumed_has_each_epoch_once(written):
    sim = written(trials=6)
    follow(sim, max_reports=5)
    again = written(trials=6)
    follow(again)
    for trial in again.state.trials.values():
        events = read(again.folder / "tensorboard" / trial.trial_id)
        assert scalars(events, "val_loss") == close_to(again.curve(trial.number))


def test_values_that_are_not_finite_are_left_out(written):
    sim = written(trials=1)
    follow(sim, objective=lambda attempt, epoch: 1.0 if epoch == 1 else math.nan)
    events = read(sim.folder / "tensorboard" / "00000")
    assert scalars(events, "val_loss") == [(1, 1.0)]


def test_a_full_disk_leaves_the_sweep_alone(written, capsys):
    sim = written()
    (sim.folder / "tensorboard").write_text("in the way")
    follow(sim)
    assert len(sim.state.ended_in_order) == 4
    assert "TensorBoard: not everything could be sent (" in capsys.readouterr().err


def draw(checkpoint, data_dir, folder):
    files = [folder / f"{name}.png" for name in ("first", "second")]
    for file in files:
        Image.new("RGB", (8, 6), "red").save(file)
    return files


def test_pictures_of_predictions_are_in_the_runs_folder_and_in_tensorboard(written):
    """The latest epoch that is a multiple of N: the weights of those before it are gone when a mirror is late."""
    sim = written(trials=2)
    with mirrored(sim.folder, Mirrors(tensorboard=True, pictures=draw, pictures_every=2).build(sim.folder)):
        sim.run()
    for trial in sim.state.trials.values():
        last = 2 * (trial.epochs // 2)
        folder = sim.folder / "pictures" / trial.trial_id
        drawn = sorted(path.name for path in folder.iterdir()) if last else []
        assert (drawn[-1] if last else None) == (f"epoch-{last:05d}" if last else None)
        if last:
            assert [path.name for path in sorted((folder / drawn[-1]).iterdir())] == ["00.png", "01.png"]
            events = read(sim.folder / "tensorboard" / trial.trial_id)
            assert events.Tags()["images"] == ["predictions/00", "predictions/01"]
            assert events.Images("predictions/00")[-1].step == last
    assert any(trial.epochs >= 2 for trial in sim.state.trials.values())


def test_pictures_every_zero_epochs_are_refused():
    with pytest.raises(UsageError, match="--pictures-every is 0, but must be at least 1"):
        Tracking(pictures_every=0, wandb="off").mirrors()


def test_where_nothing_can_be_drawn_the_user_is_told(written, capsys):
    sim = written(trials=2)
    with mirrored(sim.folder, Mirrors(pictures=lambda *_: [], pictures_every=1).build(sim.folder)):
        sim.run()
    assert "pictures: none were drawn: the task draws no predictions" in capsys.readouterr().err
