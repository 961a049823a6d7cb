"""What every searcher passes: balltrain/testing/searchers.py has it, for plug-ins too."""

from ray import tune

from balltrain.search.searchers import FREEZE_THAW, SEARCHERS
from balltrain.testing import SearcherConformance
from balltrain.testing.searchers import STEPS


class TestHyperopt(SearcherConformance):
    searcher = "hyperopt"


class TestSobol(SearcherConformance):
    searcher = "sobol"


class TestRandom(SearcherConformance):
    searcher = "random"


class TestGrid(SearcherConformance):
    searcher = "grid"
    space = {
        "n": tune.grid_search([1, 2, 3]),
        "step": tune.quniform(0, 1, 0.25),
        "kind": tune.choice(["a", {"kind": "c", "m": tune.randint(0, 2)}]),
    }
    one_point = {"n": tune.grid_search([3])}
    follows_seed = repeats = False


class TestOptunaTpe(SearcherConformance):
    searcher = "optuna-tpe"


class TestOptunaGp(SearcherConformance):
    searcher = "optuna-gp"
    space = STEPS
    trials = 13  # each takes 0.3 s


class TestOptunaCmaes(SearcherConformance):
    searcher = "optuna-cmaes"
    space = STEPS
    one_point = {"n": tune.randint(3, 4), "m": tune.randint(5, 6)}


class TestFreezeThaw(SearcherConformance):
    searcher = FREEZE_THAW


def test_none_is_left_out():
    assert {cls.searcher for cls in SearcherConformance.__subclasses__()} >= set(SEARCHERS.own_names())
