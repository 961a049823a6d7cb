"""A detector of red and blue rectangles, from COCO's folder to COCO's results."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from balltrain.cli import main
from balltrain.data.batches import Batches
from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tasks.coco.metrics import FIGURES
from balltrain.tasks.coco.resnet import ResNet
from balltrain.tasks.coco.task import task
from balltrain.training.checkpoint import CheckpointConfig, load_checkpoint, save_config
from balltrain.training.loop import NonFiniteObjective, fit, training_batches

CPU = torch.device("cpu")
SMALL = {"channels": 32, "head_convs": 1, "batch_size": 4}
NUM_EPOCHS = 6


def load(source, data, image_size=64):
    return load_data(TaskRef("coco"), task, DataRequest(str(source), options={"image_size": image_size}), data)


def train(hp, source, folder, image_size=64):
    """Make `folder` a checkpoint."""
    dataset = load(source, folder / "data", image_size)
    config = CheckpointConfig(
        TaskRef("coco"), hp.model_dump(mode="json"), 0, dataset.request, dataset.facts, dataset.fingerprint
    )
    save_config(folder, config)
    fit(task, hp, dataset, seed=0, folder=folder, report=lambda row: None, device=CPU)
    return folder


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    """A checkpoint, in the same folder as its `data`."""
    folder = tmp_path_factory.mktemp("trained")
    # in float32, as the figures of an evaluation are compared with those of results that `predict` wrote
    values = {"epochs": NUM_EPOCHS, "lr": 2e-3, "scale_jitter": 0.1, "precision": "float32"}
    hp = resolve(task, {**SMALL, **values})
    return train(hp, source, folder)


@pytest.fixture
def cli(capsys):
    """Run a command: (exit code, the JSON that it prints or its error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_.value.code or 0, json.loads(captured.out) if captured.out.startswith("{") else captured.err

    return run


def evaluated(cli, trained, *more):
    code, found = cli("evaluate", trained, "--data-dir", trained / "data", "--json", *more)
    assert code == 0, found
    return found


def test_it_learns_rectangles(cli, trained):
    found = evaluated(cli, trained)
    assert found["items"] == 6
    assert found["metrics"]["map_50"] > 0.5
    assert set(found["metrics"]) == {"loss", *FIGURES}
    table = found["ap_by_category"]
    assert table["rows"] == ["red", "blue"]
    assert np.mean(table["values"]) == pytest.approx(found["metrics"]["map"])


def test_predictions_are_drawn_and_score_what_the_model_does(cli, trained, source, tmp_path):
    images = sorted((source / "val").glob("*.png"))
    out = tmp_path / "out"
    code, found = cli("predict", trained, *images, "--out", out, "--json")
    assert code == 0, found
    first = found["predictions"][0]
    assert first["image_id"] == 101
    assert Image.open(first["picture"]).size == (672, 504)
    assert {"category", "category_id", "score", "box"} <= set(first["objects"][0])
    results = json.loads((out / "results.json").read_text())
    assert {entry["category_id"] for entry in results} == {2, 5}
    scored = evaluated(cli, trained, "--results", out / "results.json")
    expected = evaluated(cli, trained)["metrics"]
    assert scored["metrics"] == pytest.approx({name: expected[name] for name in scored["metrics"]}, abs=1e-6)
    # and without a checkpoint, of the annotation file alone
    arguments = ("--source", source / "annotations" / "instances_val.json", "--results", out / "results.json")
    code, alone = cli("evaluate", "coco", *arguments, "--data-dir", tmp_path / "data", "--json")
    assert (code, alone["items"], alone["metrics"]) == (0, 6, scored["metrics"])


@pytest.mark.parametrize(
    ("names", "ids"),
    [(("dog.png", "0042.png"), [1, 2]), (("7.png", "0042.png"), [7, 42]), (("7.png", "a/7.png"), [1, 2])],
)
def test_pictures_of_other_names_get_ids(cli, trained, source, tmp_path, names, ids):
    (tmp_path / "a").mkdir()
    for name in names:
        (tmp_path / name).write_bytes((source / "val" / "000000000101.png").read_bytes())
    inputs = [tmp_path / name for name in names]
    _, found = cli("predict", trained, *inputs, "--out", tmp_path / "out", "--json")
    assert [entry["image_id"] for entry in found["predictions"]] == ids
    assert len({entry["picture"] for entry in found["predictions"]}) == 2


def test_a_folder_is_predicted_like_its_files(cli, trained, source, tmp_path):
    _, whole = cli("predict", trained, source / "val", "--out", tmp_path / "whole", "--json")
    cli("predict", trained, *sorted((source / "val").iterdir()), "--out", tmp_path / "files", "--json")
    assert [entry["image_id"] for entry in whole["predictions"]] == [101, 102, 103, 104, 105, 106]
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "files")]
    assert results[0] == results[1] != []


def test_wide_and_tall_images_are_inspected(cli, source, tmp_path):
    train(resolve(task, {**SMALL, "epochs": 1}), source, tmp_path, image_size=160)  # where their canvases differ
    command = ("inspect", tmp_path, "--data-dir", tmp_path / "data", "--out", tmp_path / "page", "--json")
    code, found = cli(*command, "--layer", "backbone.layer2")
    assert code == 0, found
    page = (tmp_path / "page" / "index.html").read_text()
    assert "AP by category" in page
    assert "Feature maps of backbone.layer2" in page


def test_inputs_are_not_overwritten(cli, trained, source, tmp_path):
    (tmp_path / "a.png").write_bytes((source / "val" / "000000000101.png").read_bytes())
    code, error = cli("predict", trained, tmp_path / "a.png", "--out", tmp_path)
    assert code == 1
    assert "a.png is an input, and would be overwritten: choose another --out" in error


def test_results_of_some_categories_are_scored(cli, source, tmp_path):
    entries = [
        {"image_id": entry["image_id"], "category_id": entry["category_id"], "bbox": entry["bbox"], "score": 1}
        for entry in json.loads((source / "annotations" / "instances_val.json").read_text())["annotations"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(entries))
    options = ["--source", source, "--results", tmp_path / "results.json", "--data-dir", tmp_path, "--json"]
    _, found = cli("evaluate", "coco", *options, "--categories", "red")
    assert found["ap_by_category"]["rows"] == ["red"]
    assert found["metrics"]["map"] == pytest.approx(1.0)
    assert "the test split of these 30 items is empty" in cli("evaluate", "coco", *options, "--split", "test")[1]


def test_a_checkpoint_has_its_own_categories(cli, trained):
    code, error = cli("evaluate", trained, "--categories", "red")
    assert code == 2
    assert "--categories: a checkpoint keeps the data's options that it was trained with" in error


def test_data_of_other_categories_is_refused(cli, trained, awkward, tmp_path):
    checkpoint = trained
    code, error = cli("evaluate", checkpoint, "--source", awkward.root, "--data-dir", tmp_path / "data")
    assert code == 1
    assert "the model has 2 red, 5 blue, the data 1 cat, 3 traffic light, 90 dog" in error


def test_two_workers_give_the_figures_of_one(trained, source):
    loaded = load_checkpoint(trained)
    dataset = load(source, trained / "data")
    figures = []
    for world in (1, 2):
        rows = dataset.splits["val"]
        outputs = {}
        for rank in range(world):
            batches = Batches(dataset, "val", 4, CPU, rank=rank, world=world)
            with torch.inference_mode():
                parts = [task.predict(loaded.model, batch, loaded.hp) for batch, _ in batches.in_order()]
            for name in parts[0]:
                part = torch.cat([part[name] for part in parts]).float()
                outputs.setdefault(name, part.new_empty(len(rows), *part.shape[1:]))[rank::world] = part
        targets = {name: torch.from_numpy(array[rows]) for name, array in dataset.arrays.items()}
        figures.append(task.metrics(outputs, targets, loaded.hp, thorough=True))
    assert figures[1] == pytest.approx(figures[0], abs=1e-6)


def test_what_is_predicted_for_an_image_does_not_depend_on_the_others(trained, source):
    loaded = load_checkpoint(trained)
    # at 64 px all shapes have the same canvas
    batch, _ = next(Batches(load(source, trained / "data", image_size=160), "val", 6, CPU).in_order())
    assert len(set(batch["bucket"].tolist())) == 2
    with torch.inference_mode():
        together = task.predict(loaded.model, batch, loaded.hp)
        for n in range(6):
            alone = task.predict(loaded.model, {name: values[n : n + 1] for name, values in batch.items()}, loaded.hp)
            assert torch.allclose(together["scores"][n], alone["scores"][0], atol=1e-4)
            assert torch.equal(together["labels"][n], alone["labels"][0])


def test_a_learning_rate_that_diverges_fails_by_the_non_finite_policy(source, tmp_path):
    hp = resolve(task, {**SMALL, "epochs": 3, "optimizer": "sgd", "lr": 1e30, "clip_norm": None, "warmup": 0.0})
    with pytest.raises(NonFiniteObjective, match="the learning rate may be too high"):
        train(hp, source, tmp_path, image_size=32)


def test_outputs_that_are_not_numbers_have_no_objective(source, tmp_path):
    """They detect nothing, which would count as 0: a training that diverged would be complete."""
    dataset = load(source, tmp_path)
    rows = dataset.splits["val"]
    outputs = {"boxes": torch.zeros(len(rows), 1, 4), "scores": torch.zeros(len(rows), 1)}
    outputs |= {"labels": torch.full((len(rows), 1), -1), "loss": torch.full((len(rows),), torch.nan)}
    targets = {name: torch.from_numpy(array[rows]) for name, array in dataset.arrays.items()}
    assert np.isnan(task.metrics(outputs, targets, None, thorough=False)["map"])


def test_training_images_are_cut_to_the_canvas_of_their_batch(source, tmp_path):
    shapes = set()
    for batch, _ in Batches(load(source, tmp_path, image_size=160), "train", 6, CPU).shuffled(0, 1):
        augmented = task.augment(batch, resolve(task, {"scale_jitter": 0.2}))
        shapes.add((len(set(batch["resized"][:, 0].tolist())) > 1, *augmented["images"].shape[1:3]))
    assert shapes == {(False, 128, 160), (False, 160, 128), (True, 160, 160)}


def test_batches_by_aspect_ratio_are_of_images_of_one_shape(source, tmp_path):
    """Two thirds of the 24 training images are wide."""
    dataset = load(source, tmp_path, 160)
    hp = resolve(task, {"batch_size": 5, "batches": "aspect"})
    batches = training_batches(task, hp, dataset, CPU)
    for epoch in (1, 2, 3):
        shapes = [batch["original"].tolist() for batch, _ in batches.shuffled(0, epoch)]
        assert sorted(map(len, shapes)) == [4, 5, 5, 5, 5]
        assert sum([72, 96] in shape and [96, 72] in shape for shape in shapes) <= 1
    assert training_batches(task, resolve(task, {"batches": "canvas"}), dataset, CPU).order_by is None


def test_the_original_has_its_published_values():
    hp = resolve(task, {"model": "reference"})
    assert (hp.optimizer, hp.lr, hp.weight_decay, hp.schedule) == ("adam", 1e-4, 0, "constant")
    assert (hp.batch_size, hp.drop_last, hp.batches) == (2, False, "aspect")
    assert (hp.prior, hp.focal_alpha, hp.focal_gamma) == (0.01, 0.25, 2)
    assert resolve(task, {"model": "reference", "depth": 50, "lr": 1e-3}).depth == 50
    assert resolve(task, {}).optimizer == "adamw"


def test_a_training_goes_on_without_the_file_that_it_started_from(cli, source, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(ResNet(18, "batch").state_dict(), path)
    values = {**SMALL, "weights": str(path)}
    train(resolve(task, {**values, "epochs": 1}), source, tmp_path, image_size=32)
    command = ["train", "coco", "--source", source, "--image-size", 32, "--data-dir", tmp_path / "data", "--json"]
    command += ["--wandb", "off", "--epochs", 1]
    for name, value in values.items():
        command += ["--set", f"{name}={value}"]
    out = tmp_path / "run"
    assert cli(*command, "--out", out)[0] == 0
    path.unlink()
    train(resolve(task, {**values, "epochs": 2}), source, tmp_path, image_size=32)  # on with the second epoch
    assert cli(*command, "--out", out, "--resume")[0] == 0
    code, error = cli(*command, "--out", tmp_path / "other")
    assert code == 1
    assert "resnet18.pth: there is no such file" in error


def test_weights_are_loaded_before_training_alone(source, tmp_path):
    """A checkpoint needs the file no more."""
    path = tmp_path / "resnet18.pth"
    torch.save(ResNet(18, "batch").state_dict(), path)
    train(resolve(task, {**SMALL, "epochs": 1, "weights": str(path), "lr": 1e-9}), source, tmp_path, image_size=32)
    expected = torch.load(path, weights_only=True)["layer3.1.conv1.weight"]
    path.unlink()
    model = load_checkpoint(tmp_path).model
    assert torch.allclose(model.backbone.state_dict()["layer3.1.conv1.weight"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "coco"), "coco has no data of its own: give a folder"),
        (("train", "detect", "--categories", "red"), "the data of detect has no categories: leave out --categories"),
        (("data", "export", "forecast", "x", "--format", "coco"), "forecast has no --format 'coco': leave it out"),
        (("data", "export", "detect", "x", "--format", "voc"), "detect has no --format 'voc': choose coco"),
        (("evaluate", "detect", "--results", "x.json"), "detect has no format of results"),
        (("evaluate", "x", "--results", "x.json", "--with", "y"), "--results scores a file without any model"),
        # before any data is read
        (("train", "coco", "--source", ".", "--set", "weights=none.pth"), "none.pth: there is no such file"),
    ],
)
def test_the_command_line_says_what_is_wrong(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, error = cli(*arguments)
    assert code in (1, 2)
    assert error.startswith("error: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_balls_become_coco(cli, tmp_path):
    data = tmp_path / "data"
    cli("data", "export", "detect", tmp_path / "balls", "--format", "coco", "--size", 30, "--data-dir", data)
    code, found = cli("data", "build", "coco", "--source", tmp_path / "balls", "--data-dir", data, "--json")
    assert code == 0
    assert found["splits"] == {"train": 24, "val": 3, "test": 3}
    assert found["notes"] == []
    dataset = load_data(TaskRef("coco"), task, DataRequest(str((tmp_path / "balls").resolve())), data)
    assert [category["name"] for category in dataset.facts["categories"]][:3] == ["red", "green", "blue"]
    assert (dataset.arrays["labels"] >= 0).sum() == 90
    numbers = (dataset.arrays["image_id"] - 1) // 3  # the three images of a scene stay together
    scenes = [set(numbers[dataset.splits[name]]) for name in ("train", "val", "test")]
    assert not scenes[0] & scenes[1] | scenes[0] & scenes[2] | scenes[1] & scenes[2]
    # a ball of 9 to 13 px; the boxes of COCO end after their last pixel
    assert set(np.unique(dataset.arrays["truth"][..., 2:])) <= set(range(8, 15))
