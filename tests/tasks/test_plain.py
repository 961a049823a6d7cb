"""Numbers of numpy become plain ones, and what JSON or torch lacks is refused by its name."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from balltrain.data.cache import ArrayFolder
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.plain import plain, plain_facts, strict


def test_scalars_and_arrays_are_plain_at_any_depth():
    found = plain({"n": np.int64(3), "mean": [np.float32(0.5), (np.bool_(True),)], np.int64(1): np.arange(2)})
    assert json.dumps(found) == '{"n": 3, "mean": [0.5, [true]], "1": [0, 1]}'
    assert plain(torch.tensor([1, 2])) == [1, 2]


def test_strict_json_has_no_nan():
    assert strict({"a": math.nan, "b": [np.float32("inf"), 1]}) == {"a": None, "b": [None, 1]}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"classes": {1, 2}}, "the fact classes is {1, 2}, .*sorted list"),
        ({"a": {"b": [Path("x")]}}, r"the fact a\['b'\]\[0\] is PosixPath"),
        ({"t": np.datetime64("2020-01-01")}, "the fact t is"),
        ({"a": {(1, 2): 3}}, r"the fact a has the key \(1, 2\)"),
        ([1], "prepare returned .*dict"),
    ],
)
def test_a_fact_that_json_lacks_is_refused_by_its_key(facts, said):
    with pytest.raises(UsageError, match=said):
        plain_facts(facts)


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a"]),
        np.array([None]),
        np.zeros(2, np.longdouble),
        np.zeros(2, "M8[s]"),
        np.zeros(2, [("a", "f4")]),
    ],
)
def test_an_array_of_a_dtype_that_torch_lacks_is_refused_by_its_name(tmp_path, array):
    with pytest.raises(BalltrainError, match=r"the array names has the dtype .*torch does not have"):
        ArrayFolder(tmp_path)["names"] = array


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".x", 3])
def test_an_array_needs_a_name_of_a_file(tmp_path, name):
    with pytest.raises(BalltrainError, match="name"):
        ArrayFolder(tmp_path)[name] = np.zeros(2)


def test_an_array_in_another_byte_order_is_turned(tmp_path):
    folder = ArrayFolder(tmp_path)
    folder["x"] = np.arange(3, dtype=">i4")
    assert torch.from_numpy(np.array(folder.arrays["x"])).tolist() == [0, 1, 2]


def test_a_number_is_no_array(tmp_path):
    with pytest.raises(BalltrainError, match="the array x is a single number"):
        ArrayFolder(tmp_path)["x"] = np.float32(1)
