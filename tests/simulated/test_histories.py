"""Whatever happens to a sweep, nothing is lost: histories made of integers, and of hypothesis' choices.

Here 10^5 epochs of trials; `make simulate` tries 10^7, and `python -m simulated --seed N` one history again.
"""

import os
import random
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from simulated import plans
from simulated.histories import COMMON, DISKS, ENDS, NODES, STORES, history_of, run_seed
from simulated.mutants import MUTANTS
from simulated.oracle import Wrong
from simulated.stored import StoredWorld
from simulated.world import World

EPOCHS = int(os.environ.get("SIMULATED_EPOCHS", 100_000))  # fewer where a mutant is tried (make mutation)


def test_nothing_is_lost_in_many_histories():
    epochs = 0
    for seed in count():
        epochs += run_seed(seed).epochs
        if epochs >= EPOCHS:
            break


def test_nor_where_proposals_learn():
    """Of searchers that take milliseconds for one."""
    for seed in range(4):
        run_seed(seed, slow=1.0)


def test_a_seed_makes_the_same_history_each_time():
    first, second = run_seed(7), run_seed(7)
    assert first.promises.lines == second.promises.lines
    assert (first.kills, first.epochs) == (second.kills, second.epochs)


@pytest.mark.crash
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_what_is_taken_out_is_missed(mutant):
    with mutant.in_place():
        for seed in range(400):
            if history_of(seed, slow=float(mutant.learns)).error() is not None:
                print(f"{mutant.what}: seed {seed}")
                return
    pytest.fail("nothing was found")


def test_a_history_that_goes_wrong_is_said_as_short_as_it_can_be():
    (mutant,) = [mutant for mutant in MUTANTS if mutant.what == "rungs begin anew at a resume"]
    with mutant.in_place():
        seed = next(seed for seed in count() if history_of(seed, slow=0.0).error() is not None)
        with pytest.raises(Wrong, match=rf"^seed {seed}: Wrong: the rungs are") as error:
            run_seed(seed)
    assert str(error.value).count("\n  ") <= 4


class Histories(RuleBasedStateMachine):
    """What happens is chosen by hypothesis, which looks for the shortest history that goes wrong."""

    @initialize(
        seed=st.integers(0, 2**16),
        slots=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        kind=st.sampled_from([World, StoredWorld]),
    )
    def begin(self, seed, slots, kind):
        self.world = kind(plans.options_of(random.Random(seed), slow=0.0), seed, tuple(slots))
        self.life = self.world.lives()
        self.life.__enter__()

    def teardown(self):
        try:
            self.world.finish()
        finally:
            self.life.__exit__(None, None, None)


def _rule(name):
    def act(self, number):
        if hasattr(self.world, name):  # what happens to object storage alone
            self.world.act(name, number)

    act.__name__ = name
    return rule(number=st.integers(0, 30))(act)


for action in COMMON | NODES | ENDS | DISKS | STORES:
    setattr(Histories, action, _rule(action))


def test_nor_in_those_that_hypothesis_chooses():
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
