"""After a power loss at any moment a sweep goes on: every state that the disk may be in is made, and resumed.

Here a sample of them; `make crash` tries all.
"""

import os
import random

import pytest
from durability.disk import Recorder, states
from durability.scenarios import FailingSync, Scenario, scenarios
from durability.sweeps import toy_plan

from balltrain import durable
from balltrain.data import cache
from balltrain.records import journal

SCENARIOS = scenarios()
EXCHANGING = ("a second stage", "data in the cache")  # what replaces a folder
SAMPLE = 20


class WithoutExchange(Recorder):
    """A system that cannot exchange two names at once."""

    def exchange(self, path, other):
        return False


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_power_loss_takes_nothing_back(name):
    scenario = SCENARIOS[name]()
    wrong, tried = scenario.violations(scenario.record(), most=SAMPLE)
    assert wrong == []
    assert tried == SAMPLE


@pytest.mark.parametrize("name", EXCHANGING)
def test_nor_where_names_cannot_be_exchanged(name):
    scenario = SCENARIOS[name]()
    assert scenario.violations(scenario.record(WithoutExchange), most=SAMPLE)[0] == []


def test_nor_after_a_sync_that_failed():
    for number in range(3, 60, 12):
        disk, scenario = failed(number)
        assert scenario.violations(disk, most=4, seed=number)[0] == []


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "make"), [*((name, Recorder) for name in SCENARIOS), *((name, WithoutExchange) for name in EXCHANGING)]
)
def test_no_power_loss_at_all_takes_anything_back(name, make):
    scenario = SCENARIOS[name]()
    wrong, tried = scenario.violations(scenario.record(make))
    print(f"{name}, {make.__name__}: {tried} states")
    assert wrong == []


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_no_sync_that_failed_takes_anything_back():
    number = count = 0
    while True:
        disk, scenario = failed(number)
        if disk.syncs <= number:
            break
        wrong, tried = scenario.violations(disk, most=20, seed=number)
        assert wrong == []
        number, count = number + 1, count + tried
    print(f"{number} syncs that failed: {count} states")


def failed(number: int) -> tuple[Recorder, Scenario]:
    """The trace of a sweep whose sync of that number failed, and of its resume, with the states after that."""
    scenario = FailingSync("a sync that failed", toy_plan(trials=2, epochs=2)).scenario()
    disk = scenario.record(lambda root: Recorder(root, fails_at=number))
    disk.begin = next((n for n, op in enumerate(disk.trace) if op.kind == "forget"), 0)
    return disk, scenario


# -- what the enumeration is worth: it finds what was wrong before, once a mend is taken out


def found(name: str, make=Recorder, most: int = 400) -> str:
    """The first thing that goes wrong in a scenario."""
    scenario = SCENARIOS[name]()
    every = list(states(scenario.record(make), random.Random(0)))
    for state in random.Random(1).sample(every, min(most, len(every))):
        if (wrong := scenario.violation(state)) is not None:
            return wrong
    pytest.fail("nothing was found")


class NoFolders(Recorder):
    """Syncs no folder."""

    def sync_folder(self, path):
        pass


def test_names_that_were_not_synced_are_found():
    """The first hole: journal and checkpoints with synced contents, under names that are not there for good."""
    assert "lines that were promised" in found("a sweep", NoFolders)


def replaced_unsynced(path, content):
    """As sweep.json and the manifest were."""
    file = durable.disk.open(new := path.with_name(f".{path.name}.new"))
    durable.disk.truncate(file, 0)
    durable.disk.write(file, content, 0)
    durable.disk.close(file)
    durable.disk.rename(new, path)
    durable.disk.sync_folder(path.parent)


def test_files_that_were_renamed_unsynced_are_found(monkeypatch):
    """The second: sweep.json may be there and empty; so may be a manifest, which then counted as complete."""
    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", replaced_unsynced)
        assert "a sweep" in found("a sweep")
    monkeypatch.setattr(durable, "replace", replaced_unsynced)
    monkeypatch.setattr(durable, "sync_tree", lambda folder: None)
    monkeypatch.setattr(
        cache, "_current", lambda folder, made: cache.open_dataset(folder) if folder.exists() else None
    )
    assert "is damaged" in found("data in the cache")


def test_a_folder_that_was_removed_before_its_successor_came_is_found(monkeypatch):
    """The third."""

    def replace_folder(new, path):
        durable.remove_tree(path)
        durable.disk.rename(new, path)

    monkeypatch.setattr(durable, "replace_folder", replace_folder)
    assert "best" in found("a second stage")


def test_lines_with_a_hole_and_a_newline_are_found(monkeypatch):
    """The fourth: only a line without its newline was taken for torn."""

    def lines(self):
        while (raw := self.file.readline()).endswith(b"\n"):
            self._number += 1
            line = journal._parsed(raw, False)
            if line is None:
                raise journal._damage(self.path, self._number, raw)
            yield line
        self.file.seek(-len(raw), os.SEEK_CUR)

    monkeypatch.setattr(journal._Lines, "__iter__", lines)
    assert "is damaged" in found("a sweep")


def test_a_line_that_is_not_written_again_after_a_failed_sync_is_found(monkeypatch):
    """The fifth: the system takes it for written, and a later sync does nothing for it."""
    init = durable.AppendedFile.__init__
    monkeypatch.setattr(durable.AppendedFile, "__init__", lambda self, path, size=0, last=b"": init(self, path, size))
    wrong = []
    for number in range(40):
        disk, scenario = failed(number)
        wrong += scenario.violations(disk, most=3, seed=number)[0]
        if wrong:
            break
    assert "damaged" in wrong[0] or "promised" in wrong[0]
