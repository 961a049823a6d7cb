"""Bratley and Fox's Sobol sequence is that of the package sobol_seq, with which published searches were made."""

import math

import pytest
from ray import tune

from balltrain.errors import UsageError
from balltrain.search.bratley_fox import MAX_DIMENSIONS, BratleyFoxSequence
from balltrain.search.searchers import Sobol, build_searcher
from balltrain.search.space import Space
from balltrain.search.sweep import Sweep, override

# what sobol_seq 0.2.0 has for the point 12345 of 40 dimensions, times 2**14
POINT_12345 = [
    *(10501, 13327, 2753, 10095, 6349, 383, 14383, 9925, 5661, 2943, 2577, 3139, 8795, 11285, 10499, 11837),
    *(14273, 5123, 3217, 7305, 6295, 2023, 8389, 2355, 5199, 5897, 11087, 7211, 8235, 2201, 6685, 13203),
    *(79, 10659, 11873, 10811, 15983, 6287, 14503, 8933),
]
VGG = {
    "lr": tune.uniform(1e-4, 0.01),
    "batch_size": tune.randint(65, 129),
    "regularization": tune.uniform(1e-4, 0.005),
}


def points(count, space, **options):
    searcher = build_searcher("sobol", Space(space), "max", 0, Sobol(sobol_numbers="bratley-fox", **options))
    return [searcher.suggest(number) for number in range(count)]


def test_all_forty_dimensions_are_those_of_sobol_seq():
    assert MAX_DIMENSIONS == 40
    assert BratleyFoxSequence(40).point(12345) == [number / 2**14 for number in POINT_12345]
    assert BratleyFoxSequence(3).point(12345) == [number / 2**14 for number in POINT_12345[:3]]
    assert BratleyFoxSequence(40).point(0) == [0.0] * 40
    assert BratleyFoxSequence(40).point(1) == [0.5] * 40


def test_each_dimension_is_even_in_every_power_of_two_of_points():
    sequence = BratleyFoxSequence(40)
    for coordinates in zip(*(sequence.point(index) for index in range(64, 128)), strict=True):
        assert sorted(math.floor(64 * u) for u in coordinates) == list(range(64))


def test_the_published_search_of_vgg_is_repeated():
    found = points(20, VGG, sobol_start=10030)
    assert found[0] == {"lr": 0.006178131103515626, "batch_size": 76, "regularization": 0.001434759521484375}
    assert found[1] == {"lr": 0.001228131103515625, "batch_size": 108, "regularization": 0.0038847595214843746}
    assert found[12] == {
        "lr": 0.008962506103515625,
        "batch_size": 78,
        "regularization": pytest.approx(0.00128163, abs=5e-9),
    }


def test_whole_numbers_above_the_lower_bound_are_the_ceiling_of_the_coordinate():
    """What `math.ceil` makes of a coordinate is `tune.randint(low + 1, high + 1)`: also where it is at an edge."""
    sequence = BratleyFoxSequence(3)
    found = points(500, VGG, sobol_start=1000)
    ceilings = [math.ceil(64 + 64 * sequence.point(1000 + n)[1]) for n in range(500)]
    assert [point["batch_size"] for point in found] == ceilings


def test_a_resumed_search_goes_on_in_the_sequence():
    assert points(5, VGG, sobol_start=10037) == points(12, VGG, sobol_start=10030)[7:]


@pytest.mark.parametrize("numbers", ["scipy", "bratley-fox"])
def test_a_range_written_downwards_is_gone_through_downwards(numbers):
    options = Sobol(sobol_numbers=numbers, sobol_scramble=False, sobol_start=1)
    up, down = (
        build_searcher("sobol", Space({"x": domain}), "min", 0, options)
        for domain in (tune.uniform(1, 3), tune.uniform(3, 1))
    )
    for number in range(8):
        assert up.suggest(number)["x"] + down.suggest(number)["x"] == 4


def test_it_is_never_scrambled_and_says_so_where_both_are_asked_for():
    sweep = Sweep("detect", VGG, searcher="sobol", sobol_numbers="bratley-fox")
    assert not sweep.sobol_scramble
    assert not override(Sweep("detect", VGG, searcher="sobol"), sobol_numbers="bratley-fox").sobol_scramble
    with pytest.raises(UsageError, match="the Sobol numbers bratley-fox are not scrambled: leave out --sobol-scr"):
        override(sweep, sobol_scramble=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"searcher": "sobol", "sobol_numbers": "joe-kuo"},
            "unknown Sobol numbers 'joe-kuo': choose one of scipy, br",
        ),
        ({"sobol_numbers": "bratley-fox"}, "numbers of Sobol points need the searcher sobol, not hyperopt"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Sweep("detect", VGG, **options)


def test_it_knows_how_many_dimensions_it_has_numbers_for():
    with pytest.raises(UsageError, match="41 dimensions, but a Sobol search with the numbers bratley-fox needs 1 to"):
        points(1, {f"x{n}": tune.uniform(0, 1) for n in range(41)})
