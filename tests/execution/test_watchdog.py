"""What is said of a sweep in which nothing goes on, on simulated trials and a clock of its own."""

import time

import pytest

from balltrain.execution.watchdog import Watch, Watchdog, Whereabouts


class Watched:
    """A sweep of two trials at a time, and its watchdog."""

    def __init__(self, simulation, where):
        self.sim, self.now, self.said = simulation, 0.0, []
        self.where, self.trouble = where, None
        watch = Watch(self.said.append, lambda: self.trouble)
        self.dog = Watchdog(simulation.controller, "here", lambda: self.where, watch, lambda: self.now)

    def wait(self, seconds):
        for _ in range(seconds):
            self.now += 1.0
            self.dog.look()

    @property
    def waiting(self):
        return self.sim.controller.waiting

    def report(self, attempt, epoch, **figures):
        self.sim.controller.report(attempt.number, {**self.sim.row(attempt, epoch), **figures})


@pytest.fixture
def watched(make_toy_plan, simulate):
    def make(**where):
        return Watched(simulate(make_toy_plan(trials=6, epochs=9, scheduler="none")), Whereabouts(**where))

    return make


def test_it_says_which_epoch_of_which_trial_where_and_since_when(watched):
    found = watched(nodes={0: "here", 1: "here"})
    first, _ = found.sim.controller.next_attempt(), found.sim.controller.next_attempt()
    found.report(first, 1)
    reported = time.strftime("%H:%M:%S", time.localtime(found.sim.state.trials[0].times[-1]))
    found.wait(20)
    assert found.waiting is None
    found.wait(1)
    assert found.waiting.startswith("nothing reported for 20 s: trial 00000 is in epoch 2 on here since " + reported)
    assert "; trial 00001 is in epoch 1 on here since " in found.waiting
    found.report(first, 2)
    found.wait(1)
    assert found.waiting is None


def test_epochs_that_take_long_are_waited_for_longer(watched):
    found = watched()
    attempt = found.sim.controller.next_attempt()
    found.report(attempt, 1, seconds=100.0)
    found.wait(295)
    assert found.waiting is None
    found.wait(10)
    assert "trial 00000 is in epoch 2" in found.waiting


def test_a_first_epoch_has_a_minute_and_more_is_said_ever_more_rarely(watched):
    found = watched()
    found.sim.controller.next_attempt()
    found.wait(59)
    assert found.said == []
    found.wait(940)
    assert [text.partition(":")[0] for text in found.said] == [
        "nothing reported for 60 s",
        "nothing reported for 4 min",
        "nothing reported for 16 min",
    ]


def test_what_waits_for_resources_and_what_starts_is_told_apart(watched):
    found = watched(pending=(0, 1), resources="1 CPU: 0 of 4 CPU are free")
    found.sim.controller.next_attempt(), found.sim.controller.next_attempt()
    found.wait(61)
    assert found.waiting.endswith(": 2 trials wait for 1 CPU: 0 of 4 CPU are free")
    found.where = Whereabouts(starting=(0,), nodes={0: "far", 1: "far"})
    found.wait(1)
    assert ": the process of trial 00000 starts on far since " in found.waiting
    assert "; trial 00001 is in epoch 1, or builds the data, on far since " in found.waiting


def test_a_loop_that_stands_still_and_a_proposal_that_takes_long_are_said(watched):
    found = watched(loop_s=50.0)
    found.wait(61)
    assert found.waiting.endswith(": the next trial is being proposed")
    found.sim.controller.next_attempt()
    found.wait(62)
    assert ": Ray Tune does not go on since " in found.waiting


def test_storage_that_is_away_is_named_first(watched):
    found = watched()
    found.sim.controller.next_attempt()
    found.trouble = "cannot write to s3://bucket: no route (since 12:00:00)"
    found.wait(61)
    assert found.waiting.startswith(
        "nothing reported for 60 s: cannot write to s3://bucket: no route (since 12:00:00); trial 00000 is in epoch 1"
    )


def test_of_many_trials_three_are_named(make_toy_plan, simulate):
    found = Watched(simulate(make_toy_plan(trials=9, scheduler="none"), concurrency=9), Whereabouts())
    for _ in range(9):
        found.sim.controller.next_attempt()
    found.wait(61)
    assert found.waiting.count("trial 0") == 3
    assert found.waiting.endswith("; and so are 6 more")


def test_nothing_is_said_of_a_sweep_that_is_done(watched):
    found = watched()
    found.sim.run()
    found.wait(500)
    assert found.said == []
