"""The command line's contract: exit codes, one line of error, JSON alone on stdout."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from toy import TOY_FILE


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A detector trained for an epoch on a few images: its folder, its data folder, and what --json printed."""
    root = tmp_path_factory.mktemp("trained")
    arguments = ["train", "detect", "--size", "60", "--epochs", "1", "--out", str(root / "run"), "--seed", "3"]
    arguments += ["--data-dir", str(root / "data"), "--set", "batch_size=16", "--wandb", "off", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "balltrain.cli", *arguments], capture_output=True, text=True, check=True
    )
    return root / "run", root / "data", json.loads(done.stdout)


def assert_error(result, code, *parts):
    """One line `error: …` that says all of `parts`, nothing on stdout, no traceback."""
    exit_code, out, err = result
    lines = err.strip().splitlines()
    assert exit_code == code, err
    assert out == ""
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    for part in parts:
        assert str(part) in lines[0]


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom balltrain.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'wandb', 'pandas', 'plotly', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_tasks_lists_the_built_in_ones(cli):
    code, out, _ = cli("tasks", "--json")
    found = json.loads(out)
    assert code == 0
    assert "detect" in [task["name"] for task in found["tasks"]]
    assert "detect" in found["sweeps"]
    code, out, _ = cli("tasks")
    assert "Ball detection" in " ".join(out.split())


def test_data_is_built_and_exported_and_read_back(cli, tmp_path):
    code, out, _ = cli("data", "build", "detect", "--size", 30, "--data-dir", tmp_path / "d", "--json")
    built = json.loads(out)
    assert (code, built["items"], sum(built["splits"].values())) == (0, 30, 30)
    code, out, _ = cli("data", "export", "detect", tmp_path / "public", "--size", 30, "--data-dir", tmp_path / "d")
    assert code == 0
    assert (tmp_path / "public" / "img_00029.jpg").exists()
    label = np.load(tmp_path / "public" / "p_bb_00000.npy")
    assert (label.shape, label.dtype) == ((9, 5), np.float32)
    code, out, _ = cli(
        "data",
        "build",
        "detect",
        "--source",
        tmp_path / "public",
        "--size",
        20,
        "--data-dir",
        tmp_path / "d",
        "--json",
    )
    assert json.loads(out)["items"] == 20


def test_train_prints_the_contracts_summary_and_leaves_a_sweeps_files(trained):
    folder, _, summary = trained
    assert set(summary) >= {
        "name",
        "storage",
        "task",
        "trials",
        "completed",
        "stopped",
        "failed",
        "epochs",
        "best",
        "seconds",
    }
    assert (summary["trials"], summary["completed"], summary["epochs"]) == (1, 1, 1)
    assert set(summary["best"]) == {"trial_id", "objective", "epoch", "config", "checkpoint"}
    assert summary["best"]["config"]["batch_size"] == 16
    for name in ("sweep.json", "journal.jsonl", "trials.parquet", "epochs.parquet", "checkpoints/00000/state.pt"):
        assert (folder / name).is_file()
    for name in ("model.safetensors", "config.json"):
        assert (folder / "best" / name).is_file()
    assert json.loads((folder / "sweep.json").read_text())["seed"] == 3


def test_evaluate_gives_the_value_of_the_trials_row(cli, trained):
    folder, data, summary = trained
    code, out, _ = cli("evaluate", folder / "best", "--data-dir", data, "--json")
    found = json.loads(out)
    assert (code, found["task"], found["split"], found["items"]) == (0, "detect", "val", 6)
    assert found["metrics"]["loss"] == pytest.approx(summary["best"]["objective"], rel=1e-5)
    assert {"color_accuracy", "iou", "map"} <= set(found["metrics"])
    code, out, _ = cli("evaluate", folder / "best", "--split", "test", "--data-dir", data, "--json")
    assert json.loads(out)["split"] == "test"


def test_evaluate_on_another_source_takes_all_of_it(cli, trained, tmp_path):
    folder, data, _ = trained
    cli("data", "export", "detect", tmp_path / "public", "--size", 12, "--seed", 9, "--data-dir", data)
    _, out, _ = cli("evaluate", folder / "best", "--source", tmp_path / "public", "--data-dir", data, "--json")
    assert json.loads(out)["items"] == 12


def test_evaluate_on_the_source_it_was_trained_on_keeps_to_the_split(cli, tmp_path):
    """However the source is written: else what was trained on would count."""
    data = ("--data-dir", tmp_path / "d")
    cli("data", "export", "detect", tmp_path / "public", "--size", 30, *data)
    train = ("--source", "public", "--epochs", 1, "--set", "batch_size=8", "--wandb", "off", "--json")
    assert cli("train", "detect", *train, "--out", tmp_path / "run", *data)[0] == 0
    for source in ("public", "./public", tmp_path / "public"):
        _, out, _ = cli("evaluate", tmp_path / "run" / "best", "--source", source, "--json", *data)
        assert (json.loads(out)["split"], json.loads(out)["items"]) == ("val", 3)


def test_predict_draws_and_writes_json(cli, trained, tmp_path):
    folder, data, _ = trained
    cli("data", "export", "detect", tmp_path / "public", "--size", 3, "--data-dir", data)
    images = sorted((tmp_path / "public").glob("*.jpg"))
    code, out, _ = cli("predict", folder / "best", *images, "--out", tmp_path / "out", "--json")
    found = json.loads(out)
    assert code == 0
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == found["predictions"]
    assert len(found["predictions"]) == 3
    for prediction in found["predictions"]:
        assert Image.open(prediction["picture"]).size == (600, 600)
        for ball in prediction["balls"]:
            assert len(ball["box"]) == 4


def test_results_lists_sweeps_and_shows_one(cli, trained):
    folder, _, _ = trained
    code, out, _ = cli("results", "--storage", folder.parent)
    assert code == 0
    assert "run" in out
    code, out, _ = cli("results", "run", "--storage", folder.parent, "--json")
    assert json.loads(out)["best"]["trial_id"] == "00000"
    code, out, _ = cli("results", "run", "--storage", folder.parent)
    assert "00000" in out


def test_report_is_one_file(cli, trained, tmp_path):
    folder, data_dir, _ = trained
    arguments = ("--out", tmp_path / "r.html", "--data-dir", data_dir)
    code, out, _ = cli("report", "run", "--storage", folder.parent, *arguments)
    assert code == 0
    assert out.strip() == str(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert page.count('src="data:image/webp;base64,') == 6  # as many as its validation split has, of 60 items
    assert "Of the validation split, the first ones." in page


def test_the_report_draws_predictions_without_the_sweeps_data(cli, trained, tmp_path):
    folder, _, _ = trained
    assert (
        cli("report", "run", "--storage", folder.parent, "--out", tmp_path / "r.html", "--data-dir", tmp_path)[0] == 0
    )
    page = (tmp_path / "r.html").read_text()
    assert page.count('src="data:image/webp;base64,') == 12
    assert "Generated with the seed 4, so that none was trained on." in page


def test_results_are_chosen_ordered_exported_and_compared(cli, trained, tmp_path):
    folder, _, summary = trained
    common = ("--storage", folder.parent)
    code, out, _ = cli("results", "run", *common, "--where", "epochs = 1", "--sort", "objective", "--json")
    assert (code, json.loads(out)["top"][0]["trial_id"]) == (0, "00000")
    assert cli("results", "run", *common, "--csv", tmp_path / "t.csv")[0] == 0
    assert list(pd.read_csv(tmp_path / "t.csv").objective) == [summary["best"]["objective"]]
    code, out, _ = cli("results", "run", "run", *common)
    assert code == 0
    assert "best val_loss" in out
    assert_error(cli("results", "run", *common, "--where", "config.lr <"), 2, "--where 'config.lr <'")
    assert_error(cli("results", *common, "--csv", tmp_path / "t.csv"), 2, "--csv", "results NAME")
    assert_error(cli("results", "rum", *common), 1, "did you mean run?")


def test_a_report_in_wandb_without_a_key_leaves_its_specification(cli, trained, tmp_path):
    folder, _, _ = trained
    code, out, _ = cli("report", "run", "--storage", folder.parent, "--out", tmp_path / "r.html", "--wandb")
    assert code == 0
    assert "WANDB_API_KEY" in out
    assert json.loads((tmp_path / "wandb_report.json").read_text())["displayName"] == "run"


def test_a_training_that_was_cut_goes_on(cli, tmp_path):
    common = ("--data-dir", tmp_path / "d", "--out", tmp_path / "run", "--wandb", "off", "--json", "--epochs", 3)
    assert cli("train", TOY_FILE, *common)[0] == 0
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:4]))  # sweep, trial, start, epoch 1: as if killed there
    code, out, _ = cli("train", TOY_FILE, *common, "--resume")
    assert (code, json.loads(out)["epochs"]) == (0, 3)


def test_cross_validation_gives_a_row_a_fold_and_an_interval(cli, tmp_path):
    common = ("--data-dir", tmp_path / "d", "--out", tmp_path / "run", "--wandb", "off")
    code, out, _ = cli("train", TOY_FILE, "--folds", 5, "--epochs", 2, *common, "--json")
    summary = json.loads(out)
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    assert (code, summary["trials"]) == (0, 5)
    assert trials["fold"].tolist() == [0, 1, 2, 3, 4]
    (entry,) = summary["cross_validation"]
    assert entry["val_loss"]["mean"] == pytest.approx(trials["objective"].mean())
    half = 2.7764 * trials["objective"].std() / 5**0.5  # Student's t, 4 degrees of freedom
    assert entry["val_loss"]["interval"] == pytest.approx(half, rel=1e-3)
    # each fold's checkpoint evaluates on the rows that its fold held out
    for trial in trials.itertuples():
        _, out, _ = cli("evaluate", trial.checkpoint, "--data-dir", tmp_path / "d", "--json")
        assert json.loads(out)["metrics"]["loss"] == pytest.approx(trial.objective, rel=1e-5)
    assert "mean of 5 folds" in cli("results", "run", "--storage", tmp_path)[1]


def test_a_sweep_with_failed_trials_exits_3(cli, tmp_path):
    file = tmp_path / "failing.py"
    text = (
        Path(TOY_FILE)
        .read_text()
        .replace("return (model", "if hp.batch_size == 8: raise ValueError('8')\n        return (model", 1)
    )
    file.write_text(text)
    code, out, _ = cli(
        "sweep",
        file,
        "--trials",
        6,
        "--data-dir",
        tmp_path / "d",
        "--wandb",
        "off",
        "--name",
        "f",
        "--json",
        "--seed",
        1,
    )
    summary = json.loads(out)
    assert code == 3
    assert 0 < summary["failed"] < 6
    assert summary["failed"] + summary["completed"] + summary["stopped"] == 6


def test_a_dry_run_checks_and_writes_nothing(cli, tmp_path):
    options = ("--dry-run", "--trials", 5, "--epochs", 9, "--num-gpus", 0, "--data-dir", tmp_path / "data")
    code, out, _ = cli("sweep", TOY_FILE, "--json", *options)
    plan = json.loads(out)
    assert (code, plan["trials"], len(plan["examples"])) == (0, 5, 3)
    code, out, err = cli("sweep", TOY_FILE, *options)
    assert code == 0, err
    for text in ("5 configurations of at most 9 epochs", "asha: 5 reach epoch 1", "checkpoints of", "lr"):
        assert text in " ".join(out.split())
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_dry_run_of_a_sobol_search_says_which_points_and_advises_a_power_of_two(cli, shared_data_dir):
    options = ("--dry-run", "--num-gpus", 0, "--searcher", "sobol", "--data-dir", shared_data_dir)
    code, out, err = cli("sweep", TOY_FILE, "--trials", 20, "--sobol-start", 4, "--no-sobol-scramble", *options)
    assert code == 0, err
    assert "sobol, points 4 to 23, not scrambled" in " ".join(out.split())
    assert err.endswith("20 Sobol points cover the space less evenly than a power of two: --trials 16 or 32\n")
    code, out, err = cli("sweep", TOY_FILE, "--trials", 16, "--json", *options)
    assert (code, err) == (0, "")
    assert (json.loads(out)["sobol_start"], json.loads(out)["sobol_scramble"]) == (0, True)
    code, out, err = cli("sweep", TOY_FILE, "--trials", 20, "--sobol-numbers", "bratley-fox", *options)
    assert (code, err) == (0, "")  # it repeats a search, whose number of points is what it was
    assert "sobol, points 0 to 19 of the numbers bratley-fox, not scrambled" in " ".join(out.split())


def test_where_the_best_go_on_the_epochs_are_theirs_or_the_searchs(cli, tmp_path, shared_data_dir):
    """The toy's file searches with 4 epochs; a sweep that is resumed with as many as it did."""
    options = ("--num-gpus", 0, "--data-dir", shared_data_dir, "--storage", tmp_path, "--dry-run", "--json")
    (tmp_path / "old").mkdir()
    header = {"type": "sweep", "version": 1, "sweep": {"epochs": 3}}
    (tmp_path / "old" / "journal.jsonl").write_text(json.dumps(header) + "\n")
    for typed, epochs in (
        (("--continue-best", 2, "--epochs", 9), (4, 9)),
        (("--continue-best", 2, "--epochs", 9, "--name", "old", "--resume"), (3, 9)),
        (("--continue-best", 2, "--epochs", 5, "--continue-epochs", 9), (5, 9)),
        (("--epochs", 5), (5, None)),
    ):
        code, out, err = cli("sweep", TOY_FILE, "--scheduler", "none", *typed, *options)
        assert code == 0, err
        plan = json.loads(out)
        assert (plan["epochs"], plan["continue_epochs"]) == epochs
        more = 2 * (9 - epochs[0]) if epochs[1] else 0
        assert plan["all_epochs"] == {"expected": 6 * epochs[0] + more, "at_most": 6 * epochs[0] + more}


def test_a_sweep_file_runs_as_a_script(tmp_path):
    file = Path(__file__).parents[2] / "sweeps" / "detect.py"
    done = subprocess.run(
        [sys.executable, str(file), "--dry-run", "--json", "--size", "300", "--num-gpus", "0", "--data-dir", "data"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["task"] == "detect"


USAGE = [
    (("sweep", "nope"), ["no sweep of 'nope'", "detect"]),
    (("sweep", "nope.py"), ["cannot read nope.py"]),
    (("sweep", "detect", "--continue-epochs", "9"), ["needs --continue-best K"]),
    (("sweep", "detect", "--continue-patience", "9"), ["needs --continue-best K"]),
    (("sweep", TOY_FILE, "--continue-best", "1", "--epochs", "4"), ["go on to epoch 4", "to epoch 4 already"]),
    (("sweep", "detect", "--sobol-start", "1"), ["need the searcher sobol, not hyperopt"]),
    (("sweep", "detect", "--searcher", "sobol", "--sobol-start", "-1"), ["begin at -1", "from 0 to"]),
    (("train", "nope"), ["unknown task 'nope'", "detect"]),
    (("data", "build", "nope"), ["unknown task 'nope'"]),
    (("train", "detect", "--set", "lrr=1"), ["no hyperparameter 'lrr'", "did you mean lr"]),
    (("train", "detect", "--set", "lr=-1"), ["lr = -1", "greater than 0"]),
    (("train", "detect", "--set", "lr=fast"), ["lr", "fast", "valid number"]),
    (("train", "detect", "--set", "lr"), ["'lr' is not KEY=VALUE"]),
    (("train", "detect", "--epochs", "many"), ["--epochs", "integer"]),
    (("train", "detect", "--epochs", "0"), ["epochs is 0"]),
    (("train", "detect", "--workers", "0"), ["--workers is 0"]),
    (("train", "detect", "--size", "0"), ["--size is 0"]),
    (("train", "detect", "--seed", "-1"), ["--seed"]),
    (("train", "detect", "--wandb", "maybe"), ["unknown --wandb mode 'maybe'"]),
    (("train", "detect", "--resume"), ["--out"]),
    (("sweep", "detect", "--trials", "0"), ["trials is 0"]),
    (("sweep", "detect", "--searcher", "grids"), ["unknown searcher 'grids'", "hyperopt, sobol, random"]),
    (("sweep", "detect", "--scheduler", "pbt"), ["unknown scheduler 'pbt'", "asha, none"]),
    (("sweep", "detect", "--repeats", "3"), ["--repeats needs --confirm"]),
    (("sweep", "detect", "--confirm", "2", "--repeats", "1"), ["repeats is 1", "at least 2"]),
    (("sweep", "detect", "--grace", "91"), ["grace period is 91"]),
    (("sweep", "detect", "--reduction-factor", "1"), ["reduction factor is 1"]),
    (("sweep", "detect", "--name", "a/b"), ["'a/b' cannot be a folder's name"]),
    (("sweep", "detect", "--resume"), ["--name"]),
    (("evaluate", "x", "--split", "half"), ["unknown --split 'half'"]),
    (("nope",), ["nope"]),
    (("train",), ["Missing argument", "task"]),
    (("train", "detect", "--nope"), ["--nope"]),
]


@pytest.mark.parametrize(
    ("arguments", "parts"), USAGE, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_what_was_typed_wrong_is_one_line_and_exit_2(cli, tmp_path, arguments, parts):
    assert_error(cli(*arguments), 2, *parts)
    assert not (tmp_path / "runs").exists()


def test_a_source_that_is_missing_empty_or_wrong_is_named(cli, tmp_path):
    build = ("data", "build", "detect", "--data-dir", tmp_path / "d", "--source")
    assert_error(cli(*build, tmp_path / "nowhere"), 1, "nowhere", "no such file")
    (tmp_path / "empty").mkdir()
    assert_error(cli(*build, tmp_path / "empty"), 1, tmp_path / "empty")
    cli("data", "export", "detect", tmp_path / "public", "--size", 6, "--data-dir", tmp_path / "d")
    assert_error(cli(*build, tmp_path / "public", "--size", 7), 1, "holds 6 images")
    label = tmp_path / "public" / "p_bb_00002.npy"
    label.rename(tmp_path / "label")
    assert_error(cli(*build, tmp_path / "public"), 1, "img_00002.jpg", "label", "missing")
    (tmp_path / "label").rename(label)
    (tmp_path / "public" / "img_00003.jpg").write_bytes(b"no image")
    assert_error(cli(*build, tmp_path / "public"), 1, "img_00003.jpg")


def test_a_data_folder_that_cannot_be_written_is_named(cli, tmp_path):
    (tmp_path / "file").write_text("")
    result = cli("data", "build", "detect", "--size", 6, "--data-dir", tmp_path / "file")
    assert_error(result, 1, "cannot write the data", "--data-dir")


@pytest.mark.skipif(not shutil.which("mount") or os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_named(cli, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        result = cli("data", "build", "detect", "--size", 300, "--data-dir", small)
        assert_error(result, 1, "No space left", "--data-dir")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_name_that_exists_offers_resume(cli, trained):
    folder, data, _ = trained
    result = cli("sweep", "detect", "--name", folder.name, "--storage", folder.parent, "--data-dir", data)
    assert_error(result, 1, "holds a sweep already", "--resume")
    assert_error(cli("train", "detect", "--out", folder), 1, "holds a sweep already", "--resume")
    result = cli("sweep", "detect", "--name", "nothing", "--storage", folder.parent, "--resume")
    assert_error(result, 1, "no sweep to resume")


def test_wandb_online_without_a_key(cli):
    assert_error(cli("sweep", "detect", "--wandb", "online"), 1, "W&B has no key", "--wandb offline")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPUs")
def test_gpus_that_are_not_there(cli, tmp_path):
    for command in ("train", "sweep"):
        result = cli(command, TOY_FILE, "--num-gpus", 8, "--data-dir", tmp_path / "d")
        assert_error(result, 1, "8 GPUs were asked for, but there are 0 GPUs", "--num-gpus 0")
        assert not (tmp_path / "d").exists()


def test_ray_out_of_reach(cli, tmp_path):
    result = cli("sweep", TOY_FILE, "--address", "127.0.0.1:1", "--data-dir", tmp_path / "d")
    assert_error(result, 1, "no Ray answers at 127.0.0.1:1", "ray start --head")
    assert_error(cli("sweep", TOY_FILE, "--address", "somewhere", "--data-dir", tmp_path / "d"), 2, "host:port")


def test_a_storage_of_an_unknown_kind(cli):
    assert_error(cli("results", "--storage", "ftp://host/runs"), 2, "ftp://host/runs", "s3://bucket/prefix")


def test_results_of_nothing(cli, tmp_path):
    assert cli("results", "nothing")[0] == 1
    assert_error(cli("report", "nothing", "--storage", tmp_path), 1, "nothing")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_checkpoint_that_is_none_truncated_a_pickle_or_of_another_task(cli, trained, tmp_path, command):
    more = () if command == "evaluate" else (__file__, "--out", tmp_path / "out")
    assert_error(cli(command, tmp_path / "nowhere", *more), 1, "nowhere", "checkpoint")
    copy = shutil.copytree(trained[0] / "best", tmp_path / "copy")
    model = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(model[: len(model) // 2])
    assert_error(cli(command, copy, *more), 1, "model.safetensors", "truncated")
    (copy / "model.safetensors").write_bytes(pickle.dumps({"weights": 1}))
    assert_error(cli(command, copy, *more), 1, "model.safetensors", "cannot be read")
    (copy / "model.safetensors").write_bytes(model)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "task": "toy", "task_file": TOY_FILE}))
    assert_error(cli(command, copy, *more), 1, "config.json", "toy has no hyperparameter")


def test_predict_refuses_other_images(cli, trained, tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "small.png")
    predict = ("predict", trained[0] / "best")
    assert_error(cli(*predict, tmp_path / "small.png", "--out", tmp_path / "out"), 1, "small.png", "64 x 48")
    assert_error(cli(*predict, tmp_path / "none.png", "--out", tmp_path / "out"), 1, "none.png")
    (tmp_path / "text.jpg").write_text("text")
    assert_error(cli(*predict, tmp_path / "text.jpg", "--out", tmp_path / "out"), 1, "text.jpg")


def test_debug_shows_where(cli):
    code, _, err = cli("--debug", "train", "nope")
    assert code == 2
    assert "Traceback" in err
    assert err.strip().splitlines()[-1].startswith("error: ")


def test_doctor(cli):
    code, out, _ = cli("doctor", "--json")
    checks = json.loads(out)["checks"]
    assert code in (0, 1)
    assert {check["status"] for check in checks} <= {"ok", "warn", "fail"}
    assert any("torch" in check["name"].lower() for check in checks)


def test_data_show_writes_a_page(cli, tmp_path):
    arguments = ("data", "show", "forecast", "--size", "40", "--data-dir", "d", "--out", "page")
    code, out, err = cli(*arguments, "--json")
    assert code == 0, err
    assert json.loads(out)["page"] == "page/index.html"
    assert (tmp_path / "page" / "index.html").is_file()
    assert_error(cli(*arguments, "--set", "augmentation=high"), 2, "forecast has no hyperparameter 'augmentation'")
