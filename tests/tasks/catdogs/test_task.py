"""What a user sees of catdogs on the command line."""

import json

import pytest
from picture_files import write_trainset
from PIL import Image


def test_a_small_network_learns_red_from_blue(cli, tmp_path):
    trainset = write_trainset(tmp_path, 40)
    settings = ("widths=[8]", "batch_size=16", "augmentation=high", "label_smoothing=0")
    command = ["train", "catdogs", "--source", trainset, "--epochs", 4, "--wandb", "off", "--json", "--out", "run"]
    command += ["--data-dir", tmp_path / "data", *(part for pair in settings for part in ("--set", pair))]
    code, out, err = cli(*command)
    assert code == 0, err
    assert json.loads(out)["best"]["objective"] == 1.0
    code, out, err = cli("evaluate", "run/best", "--split", "test", "--data-dir", tmp_path / "data", "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"]["accuracy"] == 1.0
    # the epoch with the smallest loss is kept beside the one with the best accuracy
    rows = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    smallest = min(row["row"]["val_loss"] for row in rows if row["type"] == "report")
    command = ("evaluate", "run/best", "--data-dir", tmp_path / "data", "--json", "--state")
    assert json.loads(cli(*command, "smallest-loss")[1])["metrics"]["loss"] == pytest.approx(smallest, rel=1e-3)
    assert cli(*command, "last")[::2] == (2, "error: unknown --state 'last': choose best or smallest-loss\n")
    (tmp_path / "run/best/smallest_loss.safetensors").unlink()
    code, _, err = cli(*command, "smallest-loss")
    assert code == 1
    assert "best has no smallest_loss.safetensors: it was trained by an earlier version, or its task keeps" in err


def test_converted_pictures_are_said_once(cli, tmp_path):
    trainset = write_trainset(tmp_path, 5)
    Image.new("L", (64, 64)).save(trainset / "Dog" / "2.png")
    Image.new("RGB", (99, 64)).save(trainset / "Dog" / "3.png")
    command = ("data", "build", "catdogs", "--source", trainset, "--data-dir", tmp_path / "data", "--json")
    code, out, err = cli(*command)
    assert (code, json.loads(out)["items"]) == (0, 12)
    said = [line for line in err.splitlines() if "converted" in line]
    assert said == [
        f"2 of 12 pictures were converted to RGB of 64 x 64 px, the first {trainset / 'Dog' / '2.png'}",
    ]
    assert "converted" not in cli(*command)[2]


def test_without_a_source_it_says_how_to_get_the_data(cli, tmp_path):
    code, out, err = cli("train", "catdogs", "--data-dir", tmp_path / "data", "--wandb", "off")
    assert (code, out) == (2, "")
    assert err.startswith("error: catdogs needs --source: a folder or zip with the folders Cat and Dog")
    assert len(err.splitlines()) == 1


def test_a_wrong_source_is_one_line(cli, tmp_path):
    trainset = write_trainset(tmp_path, 3)
    (trainset / "Cat" / "4.jpg").write_bytes(b"no picture")
    code, out, err = cli("data", "build", "catdogs", "--source", trainset, "--data-dir", tmp_path / "data")
    assert (code, out) == (1, "")
    advice = "remove it, or leave it out by --skip-bad"
    assert err == f"error: {trainset / 'Cat' / '4.jpg'} cannot be read: no image that Pillow knows; {advice}\n"


def test_bad_pictures_are_left_out_and_listed_where_that_is_asked_for(cli, tmp_path):
    """Kaggle's PetImages, as it is downloaded."""
    trainset = write_trainset(tmp_path, 4)
    (trainset / "Cat" / "666.jpg").write_bytes(b"")
    (trainset / "Dog" / "11702.jpg").write_bytes(b"")
    (trainset / "Dog" / "Thumbs.db").write_bytes(b"")
    (trainset / "Dog" / "readme.txt").write_text("dogs")
    command = ("data", "build", "catdogs", "--source", trainset, "--data-dir", tmp_path / "data", "--json")
    code, out, err = cli(*command)
    assert (code, out) == (1, "")
    assert "Cat/666.jpg (the file is empty)" in err
    assert "Dog/11702.jpg (the file is empty); remove them, or leave them out by --skip-bad\n" in err
    assert len(err.splitlines()) == 1

    code, out, err = cli(*command, "--skip-bad")
    found = json.loads(out)
    assert (code, found["items"]) == (0, 8)
    others, bad = found["notes"]
    assert "1 of the files is no picture of a class and is left out: Dog/readme.txt" in others
    assert bad.startswith("2 of 10 pictures cannot be read and are left out: ")
    assert "Cat/666.jpg (the file is empty), " in bad
    assert bad in err
    folder = write_trainset(tmp_path / "clean", 4)
    _, out, _ = cli("data", "build", "catdogs", "--source", folder, "--data-dir", tmp_path / "data", "--json")
    assert json.loads(out)["fingerprint"] == found["fingerprint"]  # the rows of the others, in their order


def test_a_class_of_bad_pictures_alone_is_refused(cli, tmp_path):
    trainset = write_trainset(tmp_path, 2)
    for path in (trainset / "Dog").iterdir():
        path.write_bytes(b"")
    code, _, err = cli("data", "build", "catdogs", "--source", trainset, "--data-dir", "data", "--skip-bad")
    assert code == 1
    assert "no picture of Dog can be read; 2 of 4 pictures cannot be read" in err
