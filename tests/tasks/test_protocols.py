"""What a task can do beyond being learned follows from the methods that it has; without one, a command says so."""

import json
from pathlib import Path

import pytest
import torch
from toy import TOY_FILE, Toy

from balltrain.data.cache import load_data
from balltrain.tasks import BUILT_IN, TaskRef, task_ref
from balltrain.tasks import protocols as p
from balltrain.tasks.base import DataRequest
from balltrain.training.outputs import evaluate, examples_of, outputs_of

PROTOCOLS = [each for each in vars(p).values() if getattr(each, "_is_runtime_protocol", False)]
# a user's file: what it defines it can, with nothing inherited or declared; it is called as ever
ABLE = '''
import numpy as np
import torch
from toy import Toy
from balltrain import BalltrainError
from balltrain.tasks.base import Table


class Able(Toy):
    """Sum of four numbers, and all that commands ask for."""

    name = "able"
    export_formats = ("csv",)
    predicts_from = "*.npy"

    def check_weights(self, hp):
        if hp.lr == 0.5:
            raise BalltrainError("the weights for lr = 0.5 are not there")

    def load_weights(self, model, hp):
        torch.nn.init.zeros_(model[2].weight)
        torch.nn.init.constant_(model[2].bias, 7.0)

    def predict_thorough(self, model, batch, hp):
        return {**super().predict_thorough(model, batch, hp), "twice": 2 * model(batch["x"])}

    def tables(self, outputs, targets, facts):
        return {"sums": Table("sums", ["all"], ["twice"], [[float(outputs["twice"].mean())]])}

    def combine(self, outputs, vote):
        return {name: torch.stack([each[name] for each in outputs]).mean(0) for name in outputs[0]}

    def batch_order(self, arrays, hp):
        return arrays["x"][:, 0]

    def check_results(self, path, source, split, facts):
        return {"results": 1, "split": split}

    def score_results(self, path, request, facts, arrays):
        return {"loss": float(path.read_text())}, {}

    def export(self, request, folder, data):
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "x.npy", data["x"])
        return ["written"]

    def export_as(self, name, folder, data, splits):
        return [f"{name}: {len(splits['val'])} of val"]

    def draw_predictions(self, model, hp, device, paths, out):
        return [{"input": str(path)} for path in paths]

    def draw_ensemble(self, members, vote, device, paths, out):
        return [{"input": str(path), "models": len(members)} for path in paths]

    def export_predictions(self, predictions, out):
        (out / "more.txt").write_text(str(len(predictions)))
        return [(out / "more.txt", "their number")]
'''


@pytest.fixture
def trained(cli):
    """Trains a file's task in the current folder, in `run`; the data in `d`."""

    def train(file):
        common = ("--epochs", "1", "--data-dir", "d", "--wandb", "off", "--json")
        code, out, err = cli("train", file, "--out", "run", *common)
        assert code == 0, err
        return json.loads(out)["best"]["checkpoint"]

    return train


def test_what_a_users_task_does_not_have_is_said_by_its_name(cli, tmp_path, trained):
    checkpoint = trained(TOY_FILE)
    (tmp_path / "x.npy").touch()
    for command, says in (
        (("predict", checkpoint, "x.npy", "--out", "out"), "toy cannot predict from files"),
        (("predict", checkpoint, "x.npy", "--out", "out", "--with", checkpoint), "toy cannot combine several"),
        (("evaluate", checkpoint, "--with", checkpoint, "--data-dir", "d"), "toy cannot combine several"),
        (("evaluate", checkpoint, "--results", "x.npy", "--data-dir", "d"), "toy has no format of results"),
        (("data", "export", TOY_FILE, "out", "--data-dir", "d"), "toy has no public format to export to"),
    ):
        code, out, err = cli(*command)
        assert (code, out) == (1, ""), command
        assert err.startswith(f"error: {says}"), command
        assert len(err.splitlines()) == 1
    # and what is only more than the figures is left out
    _, out, _ = cli("evaluate", checkpoint, "--data-dir", "d", "--json")
    assert set(json.loads(out)) == {"task", "split", "items", "metrics"}


def test_what_a_users_task_defines_is_used(cli, tmp_path, trained):
    (tmp_path / "able.py").write_text(ABLE)
    checkpoint = trained("able.py")
    (tmp_path / "x.npy").touch()
    (tmp_path / "results").write_text("0.25")
    _, out, _ = cli("evaluate", checkpoint, "--with", checkpoint, "--data-dir", "d", "--json")
    assert json.loads(out)["sums"]["columns"] == ["twice"]
    _, out, _ = cli("evaluate", checkpoint, "--results", "results", "--data-dir", "d", "--json")
    assert json.loads(out)["metrics"] == {"loss": 0.25}
    _, out, _ = cli("evaluate", checkpoint, "--results", "results", "--check", "--split", "test", "--json")
    assert json.loads(out) == {"task": "able", "file": "results", "results": 1, "split": "test"}
    _, out, _ = cli("predict", checkpoint, "x.npy", "--out", "out", "--json")
    assert json.loads(out)["predictions"] == [{"input": "x.npy"}]
    assert (tmp_path / "out" / "more.txt").read_text() == "1"
    _, out, _ = cli("predict", checkpoint, "x.npy", "--with", checkpoint, "--out", "out", "--data-dir", "d", "--json")
    assert json.loads(out)["predictions"] == [{"input": "x.npy", "models": 2}]
    assert cli("data", "export", "able.py", "exported", "--data-dir", "d")[1] == "written\n"
    assert cli("data", "export", "able.py", "exported", "--format", "csv", "--data-dir", "d")[1] == "csv: 10 of val\n"
    # its weights: the model starts with a constant 7, and a wrong file is found before anything runs
    rows = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    (first,) = [row["row"] for row in rows if row["type"] == "report"]
    assert first["first_loss"] > 30
    code, _, err = cli("train", "able.py", "--set", "lr=0.5", "--data-dir", "d", "--wandb", "off")
    assert (code, err) == (1, "error: the weights for lr = 0.5 are not there\n")


def test_the_built_in_tasks_can_what_their_commands_ask_for():
    can = {
        name: {each.__name__ for each in PROTOCOLS if isinstance(task_ref(name).load(), each)} for name in BUILT_IN
    }
    draws = {"DrawsPredictions", "ExportsData"}
    classifies = draws | {"HasTables", "ShowsExamples", "CombinesModels", "DrawsEnsembles", "WritesPredictions"}
    weights, figures = {"ChecksWeights", "LoadsWeights"}, {"HasTables", "ShowsExamples", "ScoresResults"}
    assert can["detect"] >= draws | {"ExportsFormats"}
    assert can["forecast"] >= draws
    assert can["catdogs"] >= classifies
    assert can["cifar10"] >= classifies
    assert can["coco"] >= draws | weights | figures | {"ChecksFacts", "WritesPredictions", "OrdersBatches"}
    assert "ChecksResults" in can["coco"]
    assert not can["forecast"] & {"CombinesModels", "LoadsWeights", "ExportsFormats"}


def test_the_guide_names_every_method():
    guide = (Path(__file__).parents[2] / "docs" / "own-task.md").read_text()
    methods = [name for each in PROTOCOLS for name in vars(each) if not name.startswith("_")]
    assert len(methods) >= 12
    assert [name for name in methods if f"`{name}`" not in guide] == []


def test_the_items_to_look_at_are_those_of_largest_and_smallest_loss_unless_chosen(tmp_path):
    task, device = Toy(), torch.device("cpu")
    dataset = load_data(TaskRef("toy"), task, DataRequest(), tmp_path)
    hp = task.Hyperparameters()
    model = task.build_model(hp, dataset.facts)
    outputs, targets = outputs_of(task, hp, model, dataset, "val", device)
    examples = examples_of(task, hp, outputs, targets)
    error = (outputs["y"] - targets["x"].sum(1, keepdim=True)).square()[:, 0]
    shown = {title: [row for row, _ in items] for title, items in examples.groups.items()}
    assert shown["The largest losses"][0] == int(error.argmax())
    assert shown["The smallest losses"][0] == int(error.argmin())
    assert evaluate(task, hp, model, dataset, "val", device)["loss"] == pytest.approx(float(error.mean()))
