"""What is wrong with a user's task is told when it is loaded: the class, the value, and what to change."""

import re

import pytest
from toy import TOY_FILE

from balltrain.errors import UsageError
from balltrain.records import columns
from balltrain.records.tables import epochs_schema, trials_schema
from balltrain.tasks import BUILT_IN, task_ref
from balltrain.tasks.checks import ROW_COLUMNS, TRIAL_COLUMNS, check_task
from balltrain.training.rows import EpochRow

TASK = """
import dataclasses
import pydantic
from balltrain import Hyperparameters, Task

{before}

class Mine({base}):
    name = "mine"
    metric_names = ("accuracy", "iou")
    {attributes}
    def prepare(self, request, arrays): ...
    def build_model(self, hp, facts): ...
    def loss(self, model, batch, hp): ...
    def predict(self, model, batch, hp): ...
    def metrics(self, outputs, targets, hp, *, thorough): ...
    {methods}
"""


@pytest.fixture
def load(tmp_path):
    def load(*, before="", base="Task", attributes="", methods="", without=None):
        text = TASK.format(before=before, base=base, attributes=attributes, methods=methods)
        if without is not None:
            text = re.sub(rf"    def {without}\(.*\n", "", text)
        (tmp_path / "mine.py").write_text(text)
        return task_ref(str(tmp_path / "mine.py")).load()

    return load


HP = "class H(Hyperparameters):\n    "


@pytest.mark.parametrize(("wrong", "message"), [
    ({"without": "loss"}, r"has no loss: define loss\(self, model, batch, hp\)"),
    ({"without": "metrics"}, r"has no metrics: define metrics\(self, outputs, targets, hp, \*, thorough\)"),
    ({"without": "metrics", "methods": "def metric(self): ..."}, "has no metrics: rename its metric to metrics"),
    ({"methods": "def metrics(self, outputs, targets, hp): ..."},
     r"metrics\(outputs, targets, hp\) is called as metrics\(outputs, targets, hp, thorough=True\), but"),
    ({"methods": "def loss(self, model, batch): ..."}, r"loss\(model, batch\) is called as loss\(model, batch, hp\)"),
    ({"methods": "predict = None"}, "predict is None, but must be a method"),
    # hyperparameters
    ({"before": "@dataclasses.dataclass\nclass H:\n    lr: float = 0.1", "attributes": "Hyperparameters = H"},
     r"Hyperparameters is the dataclass H: begin it with `class H\(balltrain.Hyperparameters\):`"),
    ({"before": "@dataclasses.dataclass\nclass H:\n    lr: float = 0.1", "base": "Task[H]"},
     r"Hyperparameters is the dataclass H: begin it with"),
    ({"before": "class H(pydantic.BaseModel):\n    lr: float = 0.1", "attributes": "Hyperparameters = H"},
     "Hyperparameters is H, another pydantic model: begin it with"),
    ({"before": "class H:\n    lr = 0.1", "base": "Task[H]"}, "Hyperparameters is the class H: begin it with"),
    ({"attributes": "Hyperparameters = Hyperparameters()"}, "which is no class: begin it with"),
    ({"base": "Task['H']", "before": HP + "width: int = 4"}, r"ForwardRef\('H'\), which is no class: begin it with"),
    ({"attributes": "DataOptions = dict"}, "DataOptions is the class dict: begin it with"),
    ({"before": HP + "seed: int = 4", "base": "Task[H]"},
     "the hyperparameter seed has the name of a column of the results: rename it"),
    ({"before": HP + "width: int = 4\n    Width: int = 8", "base": "Task[H]"},
     "the hyperparameters: width and Width differ in case alone: rename one"),
    # metrics and the objective
    *[({"attributes": f"metric_names = ('accuracy', '{name}')"}, f"the metric {name} has the name of a column")
      for name in ("seconds", "lr", "epoch", "train_loss", "objective", "num_params", "Seconds")],
    ({"attributes": "metric_names = ('val_loss',)"}, "the metric val_loss has the name .*: return it as loss"),
    ({"attributes": "metric_names = ('loss',)"}, "metric_names has loss, which becomes the column val_loss"),
    ({"attributes": "metric_names = ('accuracy')"}, r"metric_names = 'accuracy', .* write \(\"accuracy\",\)"),
    ({"attributes": "metric_names = ('a', 'a')"}, "the metrics: a is there twice: rename one"),
    ({"attributes": "inputs = ('images')"}, r"inputs = 'images', but must be a tuple of names: write"),
    ({"attributes": "objective = 'acuracy'"}, "objective 'acuracy' is none of its metrics: did you mean accuracy"),
    ({"attributes": "objective = 'loss'"}, "the objective 'loss' is none of its metrics: did you mean val_loss"),
    ({"attributes": "objective = 'seconds'"}, "objective 'seconds' is none of its metrics: choose one of accuracy"),
    ({"attributes": "mode = 'maximise'"}, "mode = 'maximise': choose min or max"),
])  # fmt: skip
def test_a_class_that_is_wrong_is_told_why(load, wrong, message):
    with pytest.raises(UsageError, match=message) as refused:
        load(**wrong)
    assert str(refused.value).startswith("Mine in ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("right", [
    {},
    {"before": HP + "width: int = 4", "base": "Task[H]"},
    {"before": HP + "width: int = 4", "attributes": "Hyperparameters = H"},
    {"before": HP + "width: int = 4\n" + "class Base(Task[H]):\n    pass", "base": "Base"},
    {"before": HP + "width: int = 4\nclass I(H): ...", "base": "Task[H]", "attributes": "Hyperparameters = I"},
    {"attributes": "objective = 'train_loss'"},
    {"attributes": "metric_names = ['accuracy', 'iou']; objective, mode = 'iou', 'max'"},
    {"methods": "loss = staticmethod(lambda *arguments: 0)"},
    {"methods": "def metrics(self, *arguments, **named): ..."},
    {"methods": "def metrics(self, outputs, targets, hp, thorough=False): ..."},
    # of the methods beyond the five nothing is asked
    {"methods": "def augment(self, batch, hp): ...\n    def tables(self, outputs, targets, facts): ..."},
])  # fmt: skip
def test_what_is_right_loads(load, right):
    task = load(**right)
    assert ("width" in task.Hyperparameters.model_fields) == ("width" in str(right))


def test_generic_classes_hand_on_their_hyperparameters(load):
    before = (
        HP + "width: int = 4\n"
        "from typing import TypeVar\n"
        "T = TypeVar('T', bound=Hyperparameters)\n"
        "class Pictures(Task[T]):\n    size = 8\n"
    )
    based = before + "class Base(Pictures[H]):\n    pass\n"
    assert load(before=based, base="Base").Hyperparameters.__name__ == "H"
    assert load(before=before, base="Pictures[H]").Hyperparameters.__name__ == "H"
    assert load(before=before, base="Pictures").Hyperparameters.__name__ == "Hyperparameters"


def test_the_built_in_tasks_and_plug_ins_are_checked_too(monkeypatch):
    from importlib.metadata import EntryPoint

    import balltrain.tasks as tasks

    for name in BUILT_IN:
        check_task(task_ref(name).load(), name)
    point = EntryPoint("plugged", "toy:Sweep", tasks.PLUGIN_GROUP)
    monkeypatch.setattr(tasks, "entry_points", lambda group: [point])
    with pytest.raises(UsageError, match=r"toy:Sweep of the plug-in plugged is .*: make it a balltrain.Task"):
        task_ref("plugged").load()


def test_no_column_of_rows_and_tables_is_forgotten():
    task = task_ref(TOY_FILE).load()
    plain = {"trials": set(), "epochs": set()}
    for table, schema in (("trials", trials_schema(task)), ("epochs", epochs_schema(task))):
        prefixes = (columns.CONFIG_PREFIX, columns.METRIC_PREFIX)
        plain[table] = {name for name in schema.names if not name.startswith(prefixes)}
    assert set(EpochRow.__annotations__) | plain["epochs"] == ROW_COLUMNS
    assert plain["trials"] - set(task.Hyperparameters.model_fields) == TRIAL_COLUMNS
