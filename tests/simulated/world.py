"""A sweep in a world that is all simulated but the sweep: its clock, its disk, its nodes, and what Tune does.

What happens is a list of actions, each with a number that says to which node, to which trial, or how much. The same
plan, seed and actions give the same history, to the byte.
"""

from __future__ import annotations

from simulated.disk import Killed
from simulated.oracle import Wrong
from simulated.runner import Runner

from balltrain.errors import BalltrainError
from balltrain.search.policy import Cause

MOST_STEPS = 200_000  # to the end of a sweep whose world has been mended


class World(Runner):
    """`actions` are methods by name. A wrong history raises Wrong, or what should never be raised."""

    def run(self, actions: list[tuple[str, int]]) -> World:
        """All that happens, and then the rest of the sweep in peace."""
        with self.lives():
            for name, number in actions:
                self.act(name, number)
            self.finish()
        return self

    def act(self, name: str, number: int = 0) -> None:
        """One action; it does nothing where there is nothing to do it to."""
        if self.has_ended:
            return
        try:
            if self.driver is None and name != "start_is_killed":
                self._start()
            if self.driver is not None or name == "start_is_killed":
                getattr(self, name)(number)
        except (Killed, BalltrainError):
            if not self.disk.is_dead:
                raise
            self._died()

    def finish(self) -> None:
        """Mend what is broken, and go on to the end."""
        self.disk.is_full = self.disk.fails_to_sync = False
        self.disk.fuse = self.fuse_of_next = None
        self.power_goes = False
        if not self.nodes:
            self.nodes[0] = 1
        for _ in range(MOST_STEPS):
            if self.has_ended:
                break
            self.act("rounds", 0)
        else:
            raise Wrong(f"the sweep does not end: {self.driver and self.driver.running}")
        self.promises.reader.check_end()

    # -- what happens

    def work(self, number: int) -> None:
        """A trial trains an epoch and reports it."""
        if running := self._one_of(self._free(), number):
            self._train(running)
            self._deliver(running)

    def rounds(self, number: int) -> None:
        """All trials train some epochs, in turn."""
        for _ in range(number + 1):
            if self.driver is None:
                return
            free = self._free()
            for running in free:
                if self.driver is not None and running in self.driver.running:
                    self._train(running)
                    self._deliver(running)
            if not free:
                self._pass(1.0)
                self._deliver_all()
                self._ask()

    def hold(self, number: int) -> None:
        """A trial trains an epoch, and its row is late."""
        if running := self._one_of(self._free(), number):
            self._train(running)

    def deliver(self, number: int) -> None:
        """A late row comes: of one that runs, or of one that was given up."""
        assert self.driver is not None
        held = [r for r in (*self.driver.running, *self.driver.late) if r.row is not None]
        if running := self._one_of(held, number):
            self._deliver(running)

    def double(self, number: int) -> None:
        """A row comes once more."""
        assert self.driver is not None
        if heard := self._one_of(self.driver.heard, number):
            self._tell(*heard)
            self._ask()

    def node_joins(self, number: int) -> None:
        if len(self.nodes) < 4:
            self.nodes[max(self.nodes, default=0) + 1] = number % 3 + 1
            self._follow_nodes()

    def node_dies(self, number: int) -> None:
        self._lose_node(number, cut=False)

    def node_is_cut(self, number: int) -> None:
        """It is given up; what its trials had reported comes later."""
        self._lose_node(number, cut=True)

    def trial_is_killed(self, number: int) -> None:
        assert self.driver is not None
        running = self._one_of(self.driver.running, number)
        if running and self._may_fail(running):
            self._ends(running)
            self._fail(running, Cause.KILLED)
            self._ask()

    def dies_late(self, number: int) -> None:
        """A trial's process dies after its attempt was over, and Tune says so when another may run already."""
        assert self.driver is not None
        if self.driver.heard:
            running = self._one_of(self.driver.heard, number)[0]
            if running not in self.driver.running:
                self._fail(running, Cause.KILLED)
                self._ask()

    def trial_raises(self, number: int) -> None:
        self._raise(number, Cause.EXCEPTION)

    def trial_cannot_write(self, number: int) -> None:
        self._raise(number, Cause.STORAGE)

    def kill(self, number: int) -> None:
        """The driver is killed, and with it its Ray."""
        if self.driver is not None:
            self.disk.is_dead = True
            self._died()

    def kill_soon(self, number: int) -> None:
        """In an operation on a file."""
        self.disk.fuse = number + 1

    def start_is_killed(self, number: int) -> None:
        """The next one, in an operation on a file; perhaps it is the power that goes."""
        self.kill(0)
        self.fuse_of_next, self.power_goes = number // 2 + 1, bool(number % 2)

    def lose_power(self, number: int) -> None:
        self.kill(0)
        self.disk.lose_power()
        self.promises.check(self.folder)

    def disk_fills(self, number: int) -> None:
        self.disk.is_full = True

    def disk_has_room(self, number: int) -> None:
        self.disk.is_full = False

    def sync_fails(self, number: int) -> None:
        self.disk.fails_to_sync = True

    def interrupt(self, number: int) -> None:
        """Ctrl-C."""
        assert self.driver is not None
        self.driver.controller.interrupted = True
        self._note_closed()
        self._ask()

    def terminate(self, number: int) -> None:
        """SIGTERM: epochs that run are left."""
        self.interrupt(0)
        if self.driver is not None:
            self._leave()

    def wait(self, number: int) -> None:
        self._pass(4.0 * number)
        self._ask()

    def stop_trial(self, number: int) -> None:
        """A user ends it for good, at once or after its epoch."""
        assert self.driver is not None
        controller = self.driver.controller
        trials = [t for t in controller.state.trials.values() if not t.has_ended and t.same_as is None]
        if (trial := self._one_of(trials, number)) is None or self.is_forgiving or self._is_broken:
            return
        now = bool(number % 2)
        controller.stop(trial.number, "a user", now=now)
        for running in [r for r in self.driver.running if now and r.attempt.number == trial.number]:
            self._ends(running)
        self._ask()

    def _lose_node(self, number: int, *, cut: bool) -> None:
        assert self.driver is not None
        if len(self.nodes) < 2 and number % 2:
            return
        node = self._one_of(sorted(self.nodes), number)
        if node is None:
            return
        del self.nodes[node]
        for running in [r for r in self.driver.running if r.node == node]:
            self._ends(running)
            if cut:
                self.driver.late.append(running)
            self._fail(running, Cause.NODE_LOST)
        if not self.nodes:  # another comes in its place
            self.nodes[node + 1] = 1
        self._follow_nodes()
