"""`evaluate` and `predict` of classifiers, of one checkpoint and of several, on the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from balltrain.data.cache import open_dataset
from balltrain.training.checkpoint import load_checkpoint


@pytest.fixture
def pictures(tmp_path):
    """A folder of 6 numbered pictures of different sizes, red where the number is odd; 4 is missing."""
    folder = tmp_path / "test"
    folder.mkdir()
    for number in (1, 2, 3, 5, 6, 7):
        pixels = np.full((20 + number, 40, 3), 90, np.uint8)
        pixels[:, :, 0 if number % 2 else 2] = 150
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return folder


def validation(reds):
    """Images and labels of the validation split of a, b and c."""
    datasets = [open_dataset(path.parent) for path in (reds / "d").rglob("manifest.json")]
    (dataset,) = (each for each in datasets if len(each) == 200)
    rows = dataset.splits["val"]
    return torch.from_numpy(dataset.arrays["images"][rows]), dataset.arrays["label"][rows]


def test_evaluate_gives_figures_as_numbers_and_the_matrix_beside_them(cli, reds):
    code, out, _ = cli("evaluate", reds / "a", "--data-dir", reds / "d", "--json")
    found = json.loads(out)
    assert (code, found["task"], found["split"], found["items"]) == (0, "reds", "val", 20)
    assert all(isinstance(value, float) for value in found["metrics"].values())
    metrics = found["metrics"]
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert 0 <= metrics["ece"] <= 1
    matrix = found["confusion_matrix"]
    assert matrix["rows"] == matrix["columns"] == ["Red", "Blue"]
    counts = np.array(matrix["values"])
    assert (counts.sum(), np.trace(counts) / 20) == (20, pytest.approx(metrics["accuracy"]))
    assert "members" not in found
    _, out, _ = cli("evaluate", reds / "a", "--data-dir", reds / "d")
    assert [line.split() for line in out.splitlines() if line.startswith("Red ")] == [
        ["Red", *map(str, matrix["values"][0])]
    ]


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_evaluate_gives_each_members_accuracy_and_that_of_all_together(cli, reds, vote):
    members = (reds / "a", "--with", reds / "b", "--with", reds / "c")
    code, out, _ = cli("evaluate", *members, "--vote", vote, "--data-dir", reds / "d", "--json")
    found = json.loads(out)
    assert code == 0
    assert [member["checkpoint"] for member in found["members"]] == [str(reds / name) for name in "abc"]
    images, label = validation(reds)
    with torch.inference_mode():
        each = torch.stack([load_checkpoint(reds / name).model(images).softmax(1) for name in "abc"])
    accuracies = [(one.argmax(1).numpy() == label).mean() for one in each]
    assert [member["metrics"]["accuracy"] for member in found["members"]] == pytest.approx(accuracies)
    decided = each.mean(0) if vote == "mean" else each.argmax(2).float().mean(0)[:, None] * torch.tensor([[0, 2.0]])
    decided = decided.argmax(1) if vote == "mean" else (decided[:, 1] > 1).long()
    assert found["metrics"]["accuracy"] == pytest.approx((decided.numpy() == label).mean())
    assert found["vote"] == vote
    _, out, _ = cli("evaluate", *members, "--vote", vote, "--data-dir", reds / "d")
    assert f"together ({vote})" in out


def test_predict_writes_pictures_json_and_the_submission(cli, reds, pictures, tmp_path):
    code, out, _ = cli("predict", reds / "a", pictures, "--out", tmp_path / "out", "--json")
    found = json.loads(out)
    assert code == 0
    assert [entry["id"] for entry in found["predictions"]] == [1, 2, 3, 5, 6, 7]
    assert all(Image.open(entry["picture"]).size == (600, 320) for entry in found["predictions"])
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == found["predictions"]
    assert found["files"] == [str(tmp_path / "out" / "submission.csv")]
    labels = [f"{entry['id']},{entry['label']}" for entry in found["predictions"]]
    assert (tmp_path / "out" / "submission.csv").read_text().splitlines() == ["id,label", *labels]
    assert "ensemble" not in found
    _, out, _ = cli("predict", reds / "a", pictures, "--out", tmp_path / "out")
    assert "submission of 6 pictures, without 1 up to 7 that are not there (4)" in out


def test_a_picture_file_is_predicted_without_a_submission(cli, reds, pictures, tmp_path):
    code, out, _ = cli("predict", reds / "a", pictures / "1.jpg", "--out", tmp_path / "out", "--json")
    found = json.loads(out)
    assert (code, found["files"], len(found["predictions"])) == (0, [], 1)
    assert not (tmp_path / "out" / "submission.csv").exists()
    top = found["predictions"][0]["top"]
    assert sum(each["probability"] for each in top) == pytest.approx(1, abs=2e-4)


def test_several_predict_with_their_accuracy_on_the_validation_split(cli, reds, pictures, tmp_path):
    predict = (
        "predict",
        reds / "a",
        pictures,
        "--with",
        reds / "b",
        "--data-dir",
        reds / "d",
        "--out",
        tmp_path / "o",
    )
    _, out, _ = cli(*predict, "--json")
    found = json.loads(out)
    assert all(len(entry["votes"]) == 2 for entry in found["predictions"])
    _, out, _ = cli("evaluate", reds / "a", "--with", reds / "b", "--data-dir", reds / "d", "--json")
    assert found["ensemble"] == json.loads(out)
    code, out, _ = cli(*predict)
    assert code == 0
    assert "20 items of val" in out
    assert "together (mean)" in out


def test_members_of_other_data_predict_without_a_common_accuracy(cli, reds, pictures, tmp_path):
    predict = ("predict", reds / "a", pictures, "--with", reds / "other", "--data-dir", reds / "d")
    code, out, _ = cli(*predict, "--out", tmp_path / "o")
    assert code == 0
    assert "together is not known: " in out
    assert "were trained on different data" in out
    _, out, _ = cli(*predict, "--out", tmp_path / "o", "--json")
    assert "different data" in json.loads(out)["ensemble"]["unknown"]


def test_members_of_other_data_are_not_evaluated_together(cli, reds):
    code, out, err = cli("evaluate", reds / "a", "--with", reds / "other", "--data-dir", reds / "d")
    assert (code, out) == (1, "")
    assert "other and " in err
    assert "were trained on different data: what validates one may have trained the other" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("evaluate", "{reds}/a", "--vote", "both"), 2, "unknown --vote 'both': choose mean or majority"),
        (("evaluate", "{reds}/a", "--with", "{reds}/none"), 1, "none is not there"),
        (("predict", "{reds}/a", "none.jpg", "--out", "o"), 1, "none.jpg: there is no such file"),
        (("predict", "{reds}/a", "{reds}/d/reds", "--out", "o"), 1, "reds holds no pictures"),
    ],
)
def test_wrong_arguments_are_told(cli, reds, arguments, code, message):
    got, out, err = cli(*(argument.format(reds=reds) for argument in arguments))
    assert (got, out, len(err.strip().splitlines())) == (code, "", 1)
    assert message in err
