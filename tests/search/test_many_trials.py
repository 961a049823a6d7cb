"""What the ten thousandth trial costs beside the thousandth, counted; benchmarks/soak.py takes the time."""

import random
import tracemalloc

import pytest
from ray import tune

from balltrain.records.journal import Journal, read_journal
from balltrain.records.state import SweepState
from balltrain.search.searchers import HyperOptSearcher
from balltrain.search.space import Space
from balltrain.search.stopping import Stopping

SPACE = Space({"x": tune.uniform(-1, 1), "kind": tune.choice(["a", {"kind": "b", "z": tune.uniform(0, 1)}])})


def test_a_decision_at_a_rung_does_not_look_at_all_that_were_there():
    stopping = Stopping("asha", "min", epochs=9, grace=1, reduction_factor=3)
    for number in range(20_000):
        stopping.goes_on(f"{number:05d}", 1, number * 7 % 997 / 997)
    held = []
    for number in range(20_000, 20_005):  # some lists grow in one of them
        tracemalloc.start()
        stopping.goes_on(f"{number:05d}", 1, 0.5)
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert min(held) < 10_000  # bytes; the values alone have 160 000


class Counted(dict):
    """Trials by number, and how often all of them are gone through."""

    passes = 0

    def values(self):
        self.passes += 1
        return super().values()


class CountedList(list):
    passes = 0

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


@pytest.mark.parametrize("searcher", ["random", "hyperopt"])
def test_neither_a_proposal_nor_a_row_goes_through_all_trials(make_toy_plan, simulate, searcher):
    sim = simulate(make_toy_plan(trials=1000, searcher=searcher, epochs=9, grace=1), concurrency=3)
    sim.state.trials, sim.state.searched = Counted(), CountedList()
    for number in range(60):
        attempt = sim.controller.next_attempt()
        for epoch in range(1, 10):
            if sim.controller.report(number, sim.row(attempt, epoch)) != "continue":
                break
    assert len(sim.state.trials) == 60
    assert (sim.state.trials.passes, sim.state.searched.passes) == (0, 0)


def played(searcher, count):
    """So many trials, three at a time, which end in any order: the points, and what was told of them."""
    order, points, running, told = random.Random(0), [], [], []
    for number in range(count):
        points.append(searcher.suggest(number))
        running.append(number)
        if len(running) > 2:
            ended = running.pop(order.randrange(3))
            told.append((ended, None if order.random() < 0.1 else points[ended]["x"] ** 2))
            searcher.tell(*told[-1])
    return points, told


@pytest.fixture
def small_window(monkeypatch):
    """TPE with a window of 30 of more than 50 trials, and the best 5, so that a test comes to its end."""
    monkeypatch.setattr(HyperOptSearcher, "most", 50)
    monkeypatch.setattr(HyperOptSearcher, "most_latest", 30)
    monkeypatch.setattr(HyperOptSearcher, "most_of_best", 5)


def test_tpe_models_the_latest_the_best_and_those_that_run(small_window, monkeypatch):
    import hyperopt

    modelled, make = [], hyperopt.trials_from_docs

    def counted(docs, **options):
        modelled.append([doc["tid"] for doc in docs])
        return make(docs, **options)

    monkeypatch.setattr(hyperopt, "trials_from_docs", counted)
    searcher = HyperOptSearcher(SPACE, "min", 0)
    _, told = played(searcher, 80)
    searcher.suggest(80)
    assert modelled[50] == list(range(50))  # as many as there is room for are all modelled
    assert len(modelled[51]) < 30 + 5 + 3
    best = sorted((loss, number) for number, loss in told if loss is not None)[:5]
    running = set(range(80)) - {number for number, _ in told}
    assert set(modelled[80]) == {*range(50, 80), *(number for _, number in best), *running}


def test_tpe_proposes_the_same_when_it_is_told_of_all_again_in_another_order(small_window):
    """As on a resume; and twice, as of a configuration with folds."""
    first, again = HyperOptSearcher(SPACE, "min", 0), HyperOptSearcher(SPACE, "min", 0)
    points, told = played(first, 80)
    for number, point in enumerate(points):
        again.add(number, point)
    for number, objective in sorted(told) * 2:
        again.tell(number, objective)
    assert again.suggest(80) == first.suggest(80)


def test_proposals_of_up_to_800_trials_are_hyperopts_own():
    assert HyperOptSearcher.most == 800
    points, _ = played(HyperOptSearcher(SPACE, "min", 0), 40)
    assert points[39] == pytest.approx(
        {"x": 0.9048592931596358, "kind": 0}, abs=1e-12
    )  # as before there was a window


def test_equal_names_and_words_of_all_trials_are_one_string(make_toy_plan, simulate, tmp_path):
    plan = make_toy_plan(trials=20)
    sim = simulate(plan)
    sim.run()
    journal = Journal(tmp_path)
    for line in sim.lines:
        journal.append(line)
    journal.close()
    for state in (sim.state, SweepState.replay(read_journal(tmp_path))):
        trials = state.trials.values()
        names = {id(name) for trial in trials for name in trial.config}
        assert len(names) == len(state.trials[0].config)
    rows = [row for trial in trials for row in trial.rows]
    assert len({id(word) for row in rows for word in (*row, row["node"])}) == len(rows[0]) + 1
