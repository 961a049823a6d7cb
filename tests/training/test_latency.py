"""How long a prediction takes is measured once, and changes nothing of the training."""

import torch
from toy import Toy

from balltrain.data.cache import load_data
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, resolve
from balltrain.training.loop import fit


class Counted(Toy):
    """Notes how many items each prediction has."""

    def __init__(self):
        self.sizes = []

    def predict(self, model, batch, hp):
        self.sizes.append((len(batch["x"]), model.training))
        return super().predict(model, batch, hp)


def rows_of(tmp_path, name, **options):
    task, rows = Counted(), []
    dataset = load_data(TaskRef("toy"), Toy(), DataRequest(), tmp_path / "data")
    folder = tmp_path / name
    folder.mkdir()
    hp = resolve(task, {"epochs": 3, "batch_size": 16})
    fit(task, hp, dataset, seed=0, folder=folder, report=rows.append, device=torch.device("cpu"), **options)
    return rows, task.sizes


def test_one_item_is_predicted_after_the_first_epoch_alone(tmp_path):
    rows, sizes = rows_of(tmp_path, "measured", measures_latency=True)
    assert sizes.count((1, False)) == 23
    assert [row.get("latency_seconds", 0) > 0 for row in rows] == [True, False, False]


def test_a_training_is_the_same_whether_it_is_measured(tmp_path):
    (measured, _), (plain, sizes) = rows_of(tmp_path, "a", measures_latency=True), rows_of(tmp_path, "b")
    assert (1, False) not in sizes
    assert [(row["train_loss"], row["val_loss"]) for row in measured] == [
        (row["train_loss"], row["val_loss"]) for row in plain
    ]
