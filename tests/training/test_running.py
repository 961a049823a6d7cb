"""Figures of the training batches, from the pass that trains."""

import pytest
import torch
from torch import nn
from toy import Toy

from balltrain.data.batches import Batches
from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef, task_ref
from balltrain.tasks.base import DataRequest, resolve
from balltrain.training import running
from balltrain.training.outputs import evaluate
from balltrain.training.running import training_names
from balltrain.training.training import Training

CPU = torch.device("cpu")


class Measured(Toy):
    """Toy without dropout, that says what it predicts of its training batches."""

    def build_model(self, hp, facts):
        return nn.Sequential(nn.Linear(facts["width"], 1))

    def training_outputs(self, returned, batch, hp):
        return {"y": returned}


class Unmeasured(Measured):
    """None of these hyperparameters' batches have outputs."""

    def training_outputs(self, returned, batch, hp):
        return None


class OwnFigure(Measured):
    metric_names = ("error", "train_error")

    def metrics(self, outputs, targets, hp, *, thorough):
        return {**super().metrics(outputs, targets, hp, thorough=thorough), "train_error": 7.0}


def figures_of_an_epoch(task, folder, **values):
    """An epoch that moves the weights by next to nothing, and the figures of the training split after it."""
    hp = resolve(task, {"batch_size": 16, "optimizer": "sgd", "lr": 1e-12, **values})
    dataset = load_data(TaskRef(task.name), task, DataRequest(), folder)
    training = Training(task, hp, Batches(dataset, "train", hp.batch_size, CPU), seed=0)
    _, _, figures = training.train_epoch(1)
    return figures, evaluate(task, hp, training.model, dataset, "train", CPU)


@pytest.mark.parametrize("held_bytes", [1, 1000, running.HELD_BYTES])
def test_an_epochs_figures_are_those_of_its_training_items(tmp_path, monkeypatch, held_bytes):
    monkeypatch.setattr(running, "HELD_BYTES", held_bytes)
    figures, split = figures_of_an_epoch(Measured(), tmp_path)
    assert figures == {"train_error": pytest.approx(split["error"], rel=1e-5)}


@pytest.mark.parametrize("task", [Toy(), Unmeasured()])
def test_where_a_task_cannot_there_are_none(tmp_path, task):
    assert figures_of_an_epoch(task, tmp_path)[0] == {}


def test_a_tasks_own_metric_of_that_name_stays_its_own(tmp_path):
    assert training_names(OwnFigure()) == {}
    assert figures_of_an_epoch(OwnFigure(), tmp_path)[0] == {}


def test_a_loss_that_calls_no_model_has_no_figures(tmp_path):
    class ByParts(Measured):
        def loss(self, model, batch, hp):
            return (model[0](batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()

    assert figures_of_an_epoch(ByParts(), tmp_path)[0] == {}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("detect", {}),
        ("detect", {"model": "reference"}),
        ("forecast", {"windows": 3, "symmetry": "none"}),
        ("forecast", {"model": "reference"}),
    ],
)
def test_the_outputs_of_the_training_pass_are_the_predictions(shared_data_dir, name, values):
    ref = task_ref(name)
    task = ref.load()
    hp = resolve(task, values)
    dataset = load_data(ref, task, DataRequest(size=60), shared_data_dir)
    batch = {key: torch.tensor(array[:6]) for key, array in dataset.arrays.items()}
    model = task.build_model(hp, dataset.facts).eval()
    figures = running.RunningFigures(task, hp, CPU)
    with torch.inference_mode(), figures.watching(model):
        task.loss(model, batch, hp)
        found = task.training_outputs(figures._returned, batch, hp)
        expected = task.predict(model, batch, hp)
    assert set(found) == set(expected)
    for output in expected:
        torch.testing.assert_close(found[output], expected[output], rtol=1e-4, atol=1e-3)
