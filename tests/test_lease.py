"""One driver of a sweep at a time, in a store that lists what was written: no two go on, whatever their order."""

import itertools
import json
import os
import random
import threading

import pytest

from balltrain import lease as leases
from balltrain.errors import BalltrainError, StorageError
from balltrain.lease import DEAD_AFTER_S, Lease, held


class Bucket:
    """A store in memory. `step` is called before each operation: tests put other drivers' there."""

    def __init__(self):
        self.objects, self.now, self.away = {}, 1000.0, False
        self.step = lambda: None

    def _begin(self):
        self.step()
        if self.away:
            raise StorageError("the storage is away")

    def push(self, content, relative):
        self._begin()
        self.objects[relative] = (content, self.now)

    def read(self, relative):
        self._begin()
        return self.objects[relative][0] if relative in self.objects else None

    def is_there(self, relative):
        self._begin()
        return relative in self.objects

    def times(self, relative):
        self._begin()
        return {name: written for name, (_, written) in self.objects.items() if name.startswith(relative + "/")}

    def delete_file(self, relative):
        self._begin()
        self.objects.pop(relative, None)


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(leases.time, "sleep", lambda seconds: None)


@pytest.fixture
def elsewhere(monkeypatch):
    """The next lease is of another machine."""
    numbers = itertools.count()

    def move():
        machine = f"machine {next(numbers)}"
        monkeypatch.setattr(leases, "_machine", lambda: machine)

    move()
    return move


def test_a_second_driver_is_refused_with_who_and_since_when(bucket, elsewhere):
    Lease(bucket, "s").acquire()
    elsewhere()
    bucket.now += 30
    with pytest.raises(
        BalltrainError, match=rf"run by .+@.+, process {os.getpid()}, since 20.+alive 30 s ago"
    ) as error:
        Lease(bucket, "s").acquire()
    assert "try again after 60 s" in str(error.value)
    assert len(bucket.objects) == 1
    Lease(bucket, "another").acquire()


def test_a_released_sweep_is_free(bucket, elsewhere):
    with held(bucket, "s", on_lost=lambda why: None):
        assert len(bucket.objects) == 1
    elsewhere()
    Lease(bucket, "s").acquire()


def test_a_dead_holders_claim_runs_out(bucket, elsewhere):
    Lease(bucket, "s").acquire()
    elsewhere()
    bucket.now += DEAD_AFTER_S + 1
    Lease(bucket, "s").acquire()
    assert len(bucket.objects) == 1


def test_one_that_beats_is_alive(bucket, elsewhere):
    first = Lease(bucket, "s")
    first.acquire()
    elsewhere()
    for _ in range(12):
        bucket.now += 10
        first.beat()
    with pytest.raises(BalltrainError, match="alive 0 s ago"):
        Lease(bucket, "s").acquire()


def test_a_process_of_this_machine_that_is_no_more_is_not_waited_for(bucket):
    Lease(bucket, "s").acquire()
    (claim,) = bucket.objects
    who = json.loads(bucket.objects[claim][0])
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    bucket.objects[claim] = (json.dumps({**who, "pid": process}).encode(), bucket.now)
    Lease(bucket, "s").acquire()


def test_who_was_away_and_finds_its_claim_taken_stops(bucket, elsewhere):
    first = Lease(bucket, "s")
    first.acquire()
    bucket.now += DEAD_AFTER_S + 1
    elsewhere()
    second = Lease(bucket, "s")
    second.acquire()
    for _ in range(2):
        with pytest.raises(BalltrainError, match=r"has taken the sweep s over: .+@"):
            first.beat()
    first.release()
    second.beat()


def test_before_writing_after_a_pause_it_is_asked(bucket, elsewhere, monkeypatch):
    first = Lease(bucket, "s")
    first.acquire()
    bucket.objects.clear()
    first.check()  # it has just been heard of
    monkeypatch.setattr(first, "_beat_at", first._beat_at - DEAD_AFTER_S)
    with pytest.raises(BalltrainError, match="has taken the sweep s over"):
        first.check()


def test_storage_that_is_away_is_no_loss(bucket, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    told, beats = [], threading.Event()
    with held(bucket, "s", told.append):
        bucket.away = True
        count = itertools.count()
        bucket.step = lambda: beats.set() if next(count) == 3 else None
        assert beats.wait(5)
        bucket.away = False
    assert told == []


@pytest.mark.parametrize("seed", range(300))
def test_of_drivers_that_begin_at_once_never_two_go_on(seed, elsewhere):
    """Threads whose operations take turns by chance: all interleavings of a few drivers, many of them."""
    chance, bucket, turns = random.Random(seed), Bucket(), threading.Condition()
    waiting, winners, done, num_drivers = set(), [], [], chance.choice([2, 3])
    running = [None]

    def step():
        me = threading.current_thread()
        with turns:
            waiting.add(me)
            running[0] = None
            turns.notify_all()
            turns.wait_for(lambda: running[0] is me)
            waiting.discard(me)

    def drive(found):
        try:
            found.acquire()
            winners.append(found)
        except BalltrainError:
            pass
        with turns:
            done.append(threading.current_thread())
            running[0] = None
            turns.notify_all()

    bucket.step = step
    drivers = []
    for _ in range(num_drivers):
        elsewhere()
        drivers.append(threading.Thread(target=drive, args=(Lease(bucket, "s"),), daemon=True))
    for driver in drivers:
        driver.start()
    while len(done) < num_drivers:
        with turns:
            turns.wait_for(lambda: running[0] is None and len(waiting) + len(done) == num_drivers)
            if waiting:
                bucket.now += 0.1
                running[0] = chance.choice(sorted(waiting, key=lambda thread: thread.name))
                turns.notify_all()
    assert len(winners) <= 1
