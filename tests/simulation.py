"""A sweep on simulated trials, for tests of everything that follows from its rows."""

from balltrain.records.journal import VERSION
from balltrain.records.state import SweepState
from balltrain.search.controller import Controller


class Simulation:
    """A sweep on simulated trials: no training, no Ray, and a clock of its own. Its journal is a list."""

    def __init__(self, plan, lines=(), concurrency=2):
        self.lines = list(lines)
        self.now = float(len(self.lines))
        state = SweepState.replay(self.lines)
        if not state.sweep:
            header = {"type": "sweep", "version": VERSION, "sweep": {**plan.to_json(), "data_fingerprint": "f"}}
            self.append(header)
            state.apply(header)
        self.controller = Controller(plan, state, self, concurrency, clock=self.clock)
        self.state = state

    def append(self, line):
        self.lines.append(line)

    def clock(self):
        self.now += 1
        return self.now

    def row(self, attempt, epoch, objective=None):
        """A curve that falls to what the configuration is worth: best at lr = 1e-3."""
        from math import log10

        if objective is None:
            objective = abs(log10(attempt.config["lr"]) + 3) + 1 / epoch
        return {
            "epoch": epoch,
            "seconds": 1.0,
            "lr": attempt.config["lr"],
            "train_loss": objective,
            "val_loss": objective,
            "metrics": {"error": objective / 2},
            "num_params": 49,
            "objective": objective,
            "node": "here",
        }

    def run(self, max_reports=10**9, objective=None):
        """Run attempts side by side, an epoch each in turn, until done or killed after so many reports."""
        running = []
        while not self.controller.done:
            while attempt := self.controller.next_attempt():
                running.append([attempt, attempt.reported_epochs])
            for entry in list(running):
                if max_reports == 0:
                    return
                max_reports -= 1
                entry[1] += 1
                row = self.row(entry[0], entry[1], objective and objective(entry[0], entry[1]))
                if self.controller.report(entry[0].number, row) != "continue":
                    running.remove(entry)
