from ray import tune

from balltrain.records.columns import Status
from balltrain.tracking.mirrors import mirrored


class Seen:
    """A mirror that remembers each trial's last status."""

    name, remedy = "Seen", ""

    def __init__(self):
        self.status = {}

    def open(self, state):
        pass

    def update(self, trial):
        self.status[trial.number] = trial.status

    def close(self, state):
        return None


def test_a_mirror_hears_of_the_end_of_trials_that_are_not_trained_again(written):
    sim, seen = written(space={"batch_size": tune.choice([8])}, trials=3), Seen()
    with mirrored(sim.folder, [seen]):
        sim.run()
    assert seen.status == dict.fromkeys(range(3), Status.COMPLETED)
