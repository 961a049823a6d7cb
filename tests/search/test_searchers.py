"""What only one searcher promises. What all pass: test_every_searcher.py."""

import math

import numpy as np
import pytest
from ray import tune

from balltrain.errors import UsageError
from balltrain.search.searchers import Sobol, build_searcher
from balltrain.search.space import Space

SPACE = Space(
    {
        "x": tune.uniform(-1, 1),
        "y": tune.loguniform(1e-4, 1),
        "n": tune.randint(0, 5),
        "kind": tune.choice(["a", "b", {"kind": "c", "z": tune.uniform(0, 1)}]),
        "same": 7,
    }
)


def objective(config):
    return (config["x"] - 0.3) ** 2 + (math.log10(config["y"]) + 2) ** 2 / 10 + (config["kind"] != "b")


def test_an_unknown_searcher_is_refused():
    with pytest.raises(UsageError, match=r"unknown searcher 'grids'.*hyperopt, sobol, random, grid"):
        build_searcher("grids", SPACE, "min", 0)


@pytest.mark.parametrize(("mode", "sign"), [("min", 1), ("max", -1)])
def test_hyperopt_finds_more_good_points_than_random_does(mode, sign):
    def mean_of_last(name):
        values = []
        for seed in range(3):
            searcher = build_searcher(name, SPACE, mode, seed)
            for number in range(60):
                value = objective(SPACE.decode(searcher.suggest(number)))
                searcher.tell(number, sign * value)
                values.append(value if number >= 40 else None)
        return np.mean([value for value in values if value is not None])

    assert mean_of_last("hyperopt") < 0.6 * mean_of_last("random")


def test_hyperopt_turns_away_from_failures():
    """A loss of NaN is "ok" to hyperopt, and attracts it: failed trials must be told as errors."""
    space = Space({"x": tune.uniform(0, 1)})
    late = []
    for seed in range(4):
        searcher = build_searcher("hyperopt", space, "min", seed)
        for number in range(80):
            x = searcher.suggest(number)["x"]
            searcher.tell(number, None if x < 0.5 else (x - 0.8) ** 2)
            late += [x] * (number >= 60)
    assert np.mean([x < 0.5 for x in late]) < 0.2


def test_sobol_fills_the_space_evenly():
    space = Space({"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)})
    points = [build_searcher("sobol", space, "min", 0).suggest(number) for number in range(16)]
    cells = {(int(4 * point["x"]), int(4 * point["y"])) for point in points}
    assert len(cells) == 16


MIXED = Space(
    {
        "x": tune.uniform(-1, 1),
        "lr": tune.loguniform(1e-4, 1),
        "n": tune.randint(0, 4),
        "size": tune.lograndint(1, 256),
        "step": tune.quniform(0, 1, 0.25),
        "kind": tune.choice(["a", "b", {"kind": "c", "z": tune.uniform(0, 1), "deep": tune.choice([1, 2])}, "d"]),
    }
)


def sobol(count, space=MIXED, seed=0, **options):
    searcher = build_searcher("sobol", space, "min", seed, Sobol(**{f"sobol_{key}": v for key, v in options.items()}))
    return [searcher.suggest(number) for number in range(count)]


@pytest.mark.parametrize("options", [{}, {"scramble": False}, {"start": 64}])
def test_sobol_is_even_in_every_kind_of_dimension(options):
    """Of 64 points each quarter, option and decade of every dimension gets its share."""
    points = sobol(64, **options)
    configs = [MIXED.decode(point) for point in points]

    def counts(values):
        return np.unique(np.array(list(values)), return_counts=True)[1].tolist()

    assert counts(config["x"] // 0.5 for config in configs) == [16] * 4
    assert counts(math.floor(math.log10(config["lr"]) + 1e-9) for config in configs) == [16] * 4
    assert counts(config["n"] for config in configs) == [16] * 4
    sizes = counts(math.floor(math.log2(config["size"]) / 2) for config in configs)
    assert sizes == pytest.approx([16] * 4, abs=1)  # a point on an edge is rounded either way
    assert counts(config["kind"] for config in configs) == [16] * 4
    assert {config["step"] for config in configs} == {0, 0.25, 0.5, 0.75, 1}
    nested = [config for config in configs if config["kind"] == "c"]
    assert all(("z" in config, "deep" in config) == (config["kind"] == "c",) * 2 for config in configs)
    assert {config["deep"] for config in nested} == {1, 2}
    assert min(config["z"] for config in nested) < 0.25 < 0.75 < max(config["z"] for config in nested)


def test_sixteen_sobol_points_have_a_lower_discrepancy_than_random_ones():
    from scipy.stats import qmc

    space = Space({name: tune.uniform(0, 1) for name in "xyz"})

    def discrepancy(name, seed):
        searcher = build_searcher(name, space, "min", seed)
        return qmc.discrepancy(np.array([[*searcher.suggest(number).values()] for number in range(16)]))

    found = {name: [discrepancy(name, seed) for seed in range(10)] for name in ("sobol", "random")}
    assert max(found["sobol"]) < min(found["random"])


def test_unscrambled_sobol_begins_in_the_corner_and_is_the_same_for_any_seed():
    corner, middle, *_ = points = sobol(8, scramble=False)
    assert corner == {"x": -1, "lr": pytest.approx(1e-4), "n": 0, "size": 1, "step": 0, "kind": 0}
    assert (middle["x"], middle["n"], middle["lr"]) == (0, 2, pytest.approx(1e-2))
    assert sobol(8, scramble=False, seed=5) == points
    assert sobol(8) != points


@pytest.mark.parametrize("scramble", [True, False])
def test_a_later_start_takes_the_same_sequence_from_there(scramble):
    assert sobol(12, start=5, scramble=scramble) == sobol(17, scramble=scramble)[5:]


def test_sobol_knows_how_many_dimensions_it_has_numbers_for():
    with pytest.raises(UsageError, match="the space has 0 dimensions, but a Sobol search needs 1 to 21201"):
        sobol(1, Space({"x": 1}))
    with pytest.raises(UsageError, match="21202 dimensions"):
        sobol(1, Space({f"x{n}": tune.uniform(0, 1) for n in range(21202)}))
