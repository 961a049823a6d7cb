"""Every task passes the same tests; and how tasks are found."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from cifar_files import contents, write_archive
from picture_files import write_trainset
from toy import TOY_FILE

from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError, UsageError
from balltrain.reporting.samples import NUM_AUGMENTED, NUM_SAMPLES, NUM_TIMES, write_samples
from balltrain.tasks import BUILT_IN, known_tasks, task_ref
from balltrain.tasks.base import DataRequest, resolve
from balltrain.training.loop import fit
from balltrain.training.outputs import evaluate
from balltrain.training.running import training_names


def write_balls(folder):
    """Balls as COCO: a file alone, as it is split like the data of other tasks, with more than SIZE images."""
    ref = task_ref("detect")
    dataset = load_data(ref, ref.load(), DataRequest(size=75), folder)
    splits = {name: dataset.splits[name] for name in ("train", "val", "test")}
    ref.load().export_as("coco", folder / "balls", dataset.arrays, splits)
    return folder / "balls" / "annotations" / "instances_train.json"


CPU = torch.device("cpu")
SIZE = 60
# of the tasks whose data is not generated: writes some into a folder, and says where
SOURCES = {
    "catdogs": write_trainset,
    "cifar10": lambda folder: write_archive(folder / "c.tar.gz", contents(rows=12, test_rows=12)),
    "coco": write_balls,
}
AUGMENTED = {"catdogs": {"augmentation": "high"}, "detect": {"augmentation": "mirror_shift"}}
OPTIONS = {"coco": {"image_size": 32}}
QUICK = {"coco": {"channels": 32, "head_convs": 1}}  # hyperparameters of a task that is slow with its own


@pytest.fixture(params=[*BUILT_IN, TOY_FILE], ids=lambda name: name.split("/")[-1])
def ref(request):
    return task_ref(request.param)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return {name: str(write(tmp_path_factory.mktemp(name))) for name, write in SOURCES.items()}


@pytest.fixture
def data_request(ref, sources):
    return DataRequest(sources.get(ref.name), SIZE, options=OPTIONS.get(ref.name, {}))


@pytest.fixture
def dataset(ref, data_request, shared_data_dir):
    return load_data(ref, ref.load(), data_request, shared_data_dir)


class TestEveryTask:
    def test_trains_and_reports_what_it_declares(self, ref, dataset, tmp_path):
        task, rows = ref.load(), []
        hp = resolve(task, {"epochs": 1, "batch_size": 16, **QUICK.get(ref.name, {})})
        fit(task, hp, dataset, seed=0, folder=tmp_path, report=rows.append, device=CPU)
        (row,) = rows
        assert set(row["metrics"]) == {*task.metric_names, *training_names(task)}
        assert np.isfinite(row["objective"])

    def test_evaluates_thoroughly(self, ref, dataset):
        task = ref.load()
        hp = resolve(task, QUICK.get(ref.name, {}))
        figures = evaluate(task, hp, task.build_model(hp, dataset.facts), dataset, "test", CPU)
        assert set(figures) >= {"loss", *task.metric_names}
        json.dumps(figures, allow_nan=False)

    def test_its_items_can_be_looked_at_before_and_after_augmentation(self, ref, dataset, tmp_path):
        task = ref.load()
        hp = resolve(task, {**QUICK.get(ref.name, {}), **AUGMENTED.get(ref.name, {})})
        if ref.name == "toy":
            with pytest.raises(BalltrainError, match="toy does not draw its items: give it the method draw_items"):
                write_samples(task, hp, dataset, 0, tmp_path)
            return
        text = write_samples(task, hp, dataset, 0, tmp_path).read_text()
        assert text.count("<figure>") == NUM_SAMPLES + NUM_AUGMENTED * NUM_TIMES
        pictures = set(re.findall(r'src="data:image/[a-z]+;base64,([^"]+)"', text))
        augments = ref.name != "forecast"
        assert ("With these hyperparameters nothing is augmented." in text) is not augments
        # each draw is another, or all are the same
        assert (len(pictures) > NUM_SAMPLES + 2 * NUM_AUGMENTED) is augments

    def test_data_has_the_size_asked_for_and_all_splits(self, ref, dataset):
        assert len(dataset) == SIZE
        assert all(len(dataset.splits[name]) for name in ("train", "val", "test"))
        assert sum(len(dataset.splits[name]) for name in ("train", "val", "test")) == SIZE

    def test_same_seed_same_bytes(self, ref, data_request, dataset, tmp_path):
        again = load_data(ref, ref.load(), data_request, tmp_path)
        other = load_data(ref, ref.load(), replace(data_request, seed=1), tmp_path)
        assert again.fingerprint == dataset.fingerprint != other.fingerprint

    def test_every_parameter_learns(self, ref, dataset):
        from balltrain.data.batches import Batches

        task = ref.load()
        hp = resolve(task, QUICK.get(ref.name, {}))
        model = task.build_model(hp, dataset.facts)
        batch, _ = next(Batches(dataset, "train", 16, CPU).shuffled(0, 1))
        task.loss(model, task.augment(batch, hp), hp).backward()
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []

    def test_facts_and_defaults_are_json(self, ref, dataset):
        json.dumps(dataset.facts, allow_nan=False)
        json.dumps(ref.load().Hyperparameters().model_dump(mode="json"), allow_nan=False)


def test_plug_ins_are_found(monkeypatch):
    from importlib.metadata import EntryPoint

    import balltrain.tasks as tasks

    point = EntryPoint("plugged", "toy:toy", tasks.PLUGIN_GROUP)
    monkeypatch.setattr(tasks, "entry_points", lambda group: [point])
    assert known_tasks()["plugged"] == "toy:toy"
    assert task_ref("plugged").load().name == "toy"


def test_unknown_tasks_are_refused_with_those_that_are_known():
    with pytest.raises(
        UsageError, match=r"unknown task 'detekt': did you mean detect\? choose one of .*detect.*or a Python file"
    ):
        task_ref("detekt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "has 0 tasks"),
        ("import balltrain\nclass T(balltrain.Task): pass\n", "needs a name"),
        ("import balltrain\nclass T(balltrain.Task): name = 'detect'\n", "called detect, as a built-in one"),
        (
            "import balltrain\nclass A(balltrain.Task): name = 'a'\nclass B(balltrain.Task): name = 'b'\n",
            "has 2 tasks",
        ),
        ("import nothing_of_this_name\n", "line 1, fails: ModuleNotFoundError"),
    ],
)
def test_a_users_file_that_is_wrong_is_told_why(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(BalltrainError, match=message):
        task_ref(str(tmp_path / "mine.py"))


def test_a_users_task_loads_where_its_file_is_not(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(open(TOY_FILE).read())  # noqa: SIM115
    ref = task_ref(str(file))
    file.unlink()
    assert ref.load().name == "toy"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lrr": 1}, "toy has no hyperparameter 'lrr': did you mean lr"),
        ({"lr": 0}, "lr = 0: should be greater than 0"),
        ({"lr": "fast"}, 'lr = "fast": should be a valid number'),
        ({"batch_size": 2.5}, "batch_size = 2.5: should be a valid integer"),
        ({"schedule": "linear"}, "schedule = \"linear\": should be 'constant'"),
    ],
)
def test_hyperparameters_quote_the_value_and_the_rule(values, message):
    with pytest.raises(UsageError, match=message):
        resolve(task_ref(TOY_FILE).load(), values)
