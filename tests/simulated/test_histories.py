"""Whatever happens to a sweep, nothing is lost: histories made of integers, and of hypothesis' choices.

Here 10^5 epochs of trials; `make simulate` tries 10^7, and `python -m simulated --seed N` one history again.
"""

import random
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from simulated import plans
from simulated.histories import COMMON, DISKS, ENDS, NODES, run_seed
from simulated.world import World

EPOCHS = 100_000


def test_nothing_is_lost_in_many_histories():
    epochs = 0
    for seed in count():
        epochs += run_seed(seed).epochs
        if epochs >= EPOCHS:
            break


def test_nor_where_proposals_learn():
    """Of searchers that take milliseconds for one."""
    for seed in range(8):
        run_seed(seed, slow=1.0)


def test_a_seed_makes_the_same_history_each_time():
    first, second = run_seed(7), run_seed(7)
    assert first.acknowledged == second.acknowledged
    assert (first.kills, first.epochs) == (second.kills, second.epochs)


class Histories(RuleBasedStateMachine):
    """What happens is chosen by hypothesis, which looks for the shortest history that goes wrong."""

    @initialize(seed=st.integers(0, 2**16), slots=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def begin(self, seed, slots):
        self.world = World(plans.options_of(random.Random(seed), slow=0.0), seed, tuple(slots))
        self.life = self.world.lives()
        self.life.__enter__()

    def teardown(self):
        try:
            self.world.finish()
        finally:
            self.life.__exit__(None, None, None)


def _rule(name):
    def act(self, number):
        self.world.act(name, number)

    act.__name__ = name
    return rule(number=st.integers(0, 30))(act)


for action in COMMON | NODES | ENDS | DISKS:
    setattr(Histories, action, _rule(action))


def test_nor_in_those_that_hypothesis_chooses():
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
