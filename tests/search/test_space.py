import json
from pathlib import Path

import numpy as np
import pytest
from ray import tune

from balltrain.errors import UsageError
from balltrain.search.space import Space

NESTED = {
    "lr": tune.loguniform(1e-5, 1e-1),
    "layers": tune.randint(1, 5),
    "width": tune.qrandint(8, 64, 8),
    "dropout": tune.choice([0.0, tune.uniform(0.1, 0.45)]),
    "optimizer": tune.choice([{"optimizer": "adam"}, {"optimizer": "sgd", "momentum": tune.uniform(0.5, 0.99)}]),
    "stack": tune.choice([[1, 2], [3]]),
    "batch_size": 32,
}


def test_dimensions_are_flat_and_know_their_condition():
    found = {d.label: d for d in Space(NESTED).dimensions}
    assert list(found) == [
        "lr", "layers", "width", "dropout", "dropout/1", "optimizer", "optimizer/1/momentum", "stack",
    ]  # fmt: skip
    assert found["lr"].log
    assert found["dropout/1"].condition == (("dropout", 1),)
    assert found["optimizer/1/momentum"].condition == (("optimizer", 1),)


def test_decode_gives_flat_hyperparameters():
    space = Space(NESTED)
    point = {"lr": 0.01, "layers": 2, "width": 16, "dropout": 0, "optimizer": 0, "stack": 1}
    assert space.decode(point) == {
        "lr": 0.01, "layers": 2, "width": 16, "dropout": 0.0, "optimizer": "adam", "stack": [3], "batch_size": 32,
    }  # fmt: skip
    point |= {"dropout": 1, "dropout/1": 0.3, "optimizer": 1, "optimizer/1/momentum": 0.9}
    decoded = space.decode(point)
    assert (decoded["dropout"], decoded["optimizer"], decoded["momentum"]) == (0.3, "sgd", 0.9)


def test_the_unit_cubes_ends_are_the_spaces_ends():
    space = Space(
        {"a": tune.uniform(2, 4), "b": tune.loguniform(0.1, 10), "c": tune.randint(0, 3), "d": tune.choice("xy")}
    )
    assert space.from_unit_cube([0, 0, 0, 0]) == pytest.approx({"a": 2, "b": 0.1, "c": 0, "d": 0})
    assert space.from_unit_cube([1 - 1e-12] * 4) == pytest.approx({"a": 4, "b": 10, "c": 2, "d": 1})
    assert space.from_unit_cube([0.5] * 4) == pytest.approx({"a": 3, "b": 1, "c": 1, "d": 1})


def test_quantized_values_are_multiples_inside_the_bounds():
    space = Space({"width": tune.qrandint(8, 64, 8)})
    values = {space.from_unit_cube([u / 1000])["width"] for u in range(1000)}
    assert values <= set(range(8, 65, 8))
    assert {8, 56} <= values


def test_corners_hold_every_bound_and_option():
    points = list(Space(NESTED).corners())
    assert {point["lr"] for point in points} >= {1e-5, 1e-1}
    assert {point.get("optimizer/1/momentum") for point in points} >= {0.5, 0.99}
    for point in points:
        Space(NESTED).decode(point)


def test_descriptions_are_equal_for_equal_spaces_only():
    first, again = Space(NESTED).to_json(), Space(dict(NESTED)).to_json()
    assert first == again
    assert first != Space({**NESTED, "lr": tune.loguniform(1e-5, 1e-2)}).to_json()
    assert first != Space({**NESTED, "lr": tune.uniform(1e-5, 1e-1)}).to_json()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lr": tune.choice([])}, "nothing to choose from"),
        ({"lr": tune.sample_from(lambda _: 1)}, "Function is not supported"),
        ({"lr": tune.randn(0, 1)}, "needs bounds"),
        ({"a/b": 1}, "flat"),
        ({3: 1}, "flat"),
    ],
)
def test_what_no_searcher_can_propose_is_refused(space, message):
    with pytest.raises(UsageError, match=message):
        Space(space)


def test_a_range_written_downwards_has_the_same_bounds_and_is_another_space():
    up, down = Space({"lr": tune.uniform(1e-5, 0.01)}), Space({"lr": tune.uniform(0.01, 1e-5)})
    for space in (up, down):
        assert [point["lr"] for point in space.corners()] == [1e-5, 0.01]
        assert space.from_unit_cube([0.0])["lr"] == 1e-5
    assert up.to_json() == {"lr": {"float": [1e-5, 0.01]}}
    assert down.to_json() == {"lr": {"float": [1e-5, 0.01], "falling": True}}


def test_domains_inside_of_dicts_and_lists_are_searched():
    space = Space({
        "head": {"drop": tune.uniform(0, 1), "n": 2, "deep": [tune.choice(["a", "b"]), 3]},
        "widths": [tune.randint(1, 9), 4],
        "either": tune.choice([[tune.uniform(0, 1), 5], [6]]),
    })  # fmt: skip
    labels = ["head/drop", "head/deep/0", "widths/0", "either", "either/0/0"]
    assert [dimension.label for dimension in space.dimensions] == labels
    config = space.decode(space.from_unit_cube([0.5, 0.9, 0.0, 0.0, 0.25]))
    assert config == {"head": {"drop": 0.5, "n": 2, "deep": ["b", 3]}, "widths": [1, 4], "either": [0.25, 5]}
    assert space.encode(config) == space.from_unit_cube([0.5, 0.9, 0.0, 0.0, 0.25])
    assert Space({"head": {"drop": tune.grid_search([1, 2])}}).grids == ["head/drop"]
    with pytest.raises(UsageError, match="widths: a set of domains"):
        Space({"widths": {tune.uniform(0, 1)}})


def test_an_option_sets_a_hyperparameter_that_is_a_dict():
    space = Space({"model": tune.choice([{"head": {"drop": tune.uniform(0, 1)}, "lr": 0.1}])})
    assert space.decode(space.from_unit_cube([0.0, 0.5])) == {"head": {"drop": 0.5}, "lr": 0.1}


def test_numbers_of_numpy_are_plain_ones():
    space = Space({
        "width": tune.choice(2 ** np.arange(2, 5)),
        "lr": tune.uniform(np.float32(0), np.float64(1)),
        "depth": tune.randint(np.int64(1), np.int64(5)),
        "fixed": np.bool_(True),
        "path": Path("weights"),
    })  # fmt: skip
    assert json.loads(json.dumps(space.to_json()))["width"] == {"choice": [4, 8, 16]}
    config = space.decode(space.from_unit_cube([0.9, 0.5, 0.9]))
    assert json.dumps(config, default=str) == '{"width": 16, "lr": 0.5, "depth": 4, "fixed": true, "path": "weights"}'
