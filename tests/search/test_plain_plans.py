"""What a sweep file may hold: numbers of numpy, paths; what JSON lacks is refused by its name, before Ray starts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from balltrain.api.wording import as_arguments
from balltrain.errors import UsageError
from balltrain.search.plan import as_json
from balltrain.search.sweep import Sweep
from balltrain.tasks.hyperparameters import Hyperparameters


class Odd(Hyperparameters):
    width: int = np.int64(16)  # type: ignore[assignment]  # as users write them
    drop: float = np.float32(0.5)  # type: ignore[assignment]
    sizes: tuple[int, ...] = (1, 2)
    anything: Any = None


def test_defaults_of_numpy_are_plain():
    found = as_json(Odd(anything={"a": np.float32(1), "b": Path("w")}))
    assert (found["width"], found["drop"], found["sizes"]) == (16, 0.5, [1, 2])
    assert json.loads(json.dumps(as_json(Odd()))) == as_json(Odd())


def test_a_value_that_json_lacks_is_refused_by_its_name():
    with pytest.raises(UsageError, match=r"the hyperparameter anything\['f'\] is <class 'dict'>, but must be"):
        as_json(Odd(anything={"f": dict}))


def test_a_sweeps_own_numbers_are_plain(make_toy_plan):
    sweep = Sweep("toy", {}, trials=np.int64(3), hyperparameters={"batch_size": np.int64(8)})
    assert (type(sweep.trials), type(sweep.hyperparameters["batch_size"])) == (int, int)
    plan = make_toy_plan(hyperparameters={"weight_decay": np.float32(0.5)})
    json.dumps(plan.to_json())


@pytest.mark.parametrize("space", [{}, {"batch_size": 8}])
def test_a_space_without_anything_to_search_is_refused(make_toy_plan, space):
    with pytest.raises(UsageError, match=r"nothing to search.*balltrain train"):
        make_toy_plan(space=space, searcher="hyperopt")
    assert make_toy_plan(space=space, searcher="random").num_searched == 6


def test_in_python_an_option_of_the_data_is_named_as_it_is_written_there():
    assert as_arguments("--data categories: no such one") == 'data["categories"]: no such one'
    assert as_arguments("did you mean --data image_size?") == 'did you mean data["image_size"]?'
    assert as_arguments("choose another folder with --data-dir") == "choose another folder with data_dir"
