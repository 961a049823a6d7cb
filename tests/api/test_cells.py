"""Tasks of a notebook's cells: their text goes to trials and checkpoints, whole, or is refused by name."""

from pathlib import Path

import pytest
from sum_task import IMPORTS, SUM
from toy import TOY_FILE

from balltrain.tasks import TaskRef

NAMED = "from balltrain.tasks.sources import ref_of\nprint(json.dumps([ref_of(TASK).name, ref_of(TASK).source]))"


@pytest.fixture(scope="module")
def cells(kernel):
    """Run cells, the last of which names a task: its reference, as another process has it."""

    def run(*texts, task="Sum"):
        for text in texts:
            assert kernel.run(text).error is None
        name, source = kernel.json(NAMED.replace("TASK", task))
        return TaskRef(name, None, source)

    kernel.run(IMPORTS)
    return run


def refusal(kernel, task="Sum"):
    return kernel.run(f"from balltrain.tasks.sources import ref_of\nref_of({task})").error


def test_a_task_of_a_cell_is_loaded_by_another_process(cells):
    task = cells(SUM).load()
    assert (task.name, task.__doc__) == ("sum", "Sum of four numbers.")


def test_what_the_task_uses_of_other_cells_goes_with_it(cells):
    ref = cells(
        "from math import pi, sqrt as root\nimport torch.nn.functional as F\nimport xml, xml.etree.ElementTree",
        "SIZES = {'a': [1, 2.5], 'b': (None, True), 'c': float('inf')}",
        "def outer(x):\n    return inner(x) + SIZES['a'][0]\n\nhalf = lambda x: x / 2",
        "def inner(x):\n    return root(x) * pi",
        "class Wide(Hyperparameters):\n    width: int = 3\n    inner: 'Inner | None' = None\n",
        "from pydantic import BaseModel\nclass Inner(BaseModel):\n    depth: int = 1\n",
        "Wide.model_rebuild() and None",
        SUM.replace('name = "sum"', 'name = "sum"\n    Hyperparameters = Wide')
        + "\n    def all(self):"
        + "\n        return outer(4), half(3), F.relu.__name__, xml.etree.ElementTree.Element('a').tag",
    )
    task = ref.load()
    assert task.all() == (2 * 3.141592653589793 + 1, 1.5, "relu", "a")
    assert task.Hyperparameters(inner={"depth": 2}).inner.depth == 2


def test_a_task_that_extends_one_of_another_cell(cells):
    ref = cells(SUM, "class Double(Sum):\n    name = 'double'\n    factor = 2\n", task="Double")
    assert ref.name == "double"
    assert (ref.load().name, ref.load().factor) == ("double", 2)


def test_a_task_defined_again_is_another_version(cells):
    first = cells(SUM)
    again = cells(SUM)
    other = cells(SUM.replace("nn.Linear(4, 1)", "nn.Linear(4, 1, bias=False)"))
    assert first.code_id == again.code_id
    assert first.code_id != other.code_id
    assert other.load().build_model(None, {}).bias is None


def test_fields_alone_are_those_of_the_class_that_is_used(cells, kernel):
    """A class without methods does not say where it was defined: the last that was run with its fields counts."""
    one, two = (f"class Hp(Hyperparameters):\n    width: int = {width}\n" for width in (1, 2))
    with_hp = SUM.replace('name = "sum"', 'name = "sum"\n    Hyperparameters = Hp')
    assert cells(one, two, with_hp).load().Hyperparameters().width == 2
    assert cells(one, with_hp).load().Hyperparameters().width == 1


def test_hyperparameters_in_brackets_go_with_the_task(cells):
    ref = cells(
        "class Deep(Hyperparameters):\n    depth: int = 7\n", SUM.replace("class Sum(Task)", "class Sum(Task[Deep])")
    )
    assert ref.load().Hyperparameters().depth == 7


def test_annotations_stay_texts_where_a_cell_said_so(cells, kernel):
    ref = cells("from __future__ import annotations", SUM + "\n    def late(self, x: NotThere):\n        return 1\n")
    assert ref.source.startswith("from __future__ import annotations\n")
    assert ref.load().late(0) == 1
    kernel.run("del annotations")


@pytest.mark.parametrize(
    ("cell", "use", "refused"),
    [
        ("MEAN = np.array([1.0])", "MEAN", "uses MEAN, an object (ndarray) whose source cannot be read"),
        ("exec('def hidden(): pass')", "hidden", "uses hidden, whose source cannot be read"),
        (
            "def make():\n    def f(): pass\n    return f\nmade = make()",
            "made",
            "uses made, which is defined inside a",
        ),
        ("LONG = list(range(50_000))", "LONG", "uses LONG, a constant of 338890 characters"),
    ],
)
def test_what_has_no_text_is_named_in_one_line(kernel, cells, cell, use, refused):
    kernel.run(cell)
    kernel.run(SUM + f"\n    def other(self):\n        return {use}\n")
    error = refusal(kernel)
    assert error.startswith(f"BalltrainError: the task Sum {refused}")
    assert error.endswith("make it inside the task, or put both into a file")
    assert "\n" not in error


def test_a_name_that_only_a_function_has_is_not_asked_for(cells):
    ref = cells("rng = np.zeros(3)", SUM)
    assert "rng = np.zeros(3)" not in ref.source


def test_a_task_with_values_of_its_own_is_refused(kernel, cells):
    kernel.run(SUM)
    kernel.run("task = Sum()\ntask.width = 3")
    assert "has values of its own (width), unknown to trials" in refusal(kernel, "task")
    assert cells(task="Sum()").name == "sum"


def test_a_task_inside_a_function_or_without_a_name_is_refused(kernel, cells):
    kernel.run("def make():\n    class Inner(Task):\n        name = 'inner'\n    return Inner")
    assert "is defined inside a function (make.<locals>.Inner)" in refusal(kernel, "make()")
    kernel.run("class Nameless(Task):\n    pass")
    assert 'the task Nameless needs a name, an identifier: set `name = "…"`' in refusal(kernel, "Nameless")


def test_a_file_that_is_imported_is_taken_whole(kernel, cells):
    kernel.run(f"import sys, pathlib\nsys.path.append(str(pathlib.Path({TOY_FILE!r}).parent))\nimport toy")
    assert cells(task="toy.Toy").source == Path(TOY_FILE).read_text()
