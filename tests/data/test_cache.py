import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from toy import TOY_FILE

from balltrain.data.cache import MANIFEST, data_key, load_data, open_dataset
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef, task_ref
from balltrain.tasks.base import DataRequest, Task


class Counting(Task):
    """Counts how often its data is prepared, in a file that survives processes."""

    name = "counting"

    def __init__(self, log):
        self.log = log

    def prepare(self, request, arrays):
        with open(self.log, "a") as file:
            file.write("built\n")
        arrays["x"] = np.arange(request.size or 10)
        return {"answer": 42}


@pytest.fixture
def task(tmp_path):
    return Counting(tmp_path / "log")


REF = TaskRef("counting")


def test_data_is_built_once_and_mapped_after(task, tmp_path):
    first = load_data(REF, task, DataRequest(), tmp_path)
    second = load_data(REF, task, DataRequest(), tmp_path)
    assert task.log.read_text() == "built\n"
    assert first.facts == second.facts == {"answer": 42}
    assert isinstance(second.arrays["x"], np.memmap)
    assert second.arrays["x"].tolist() == list(range(10))


def _load(log, folder):
    load_data(REF, Counting(log), DataRequest(), folder)


def test_processes_that_start_together_build_once(task, tmp_path):
    workers = [
        multiprocessing.get_context("spawn").Process(target=_load, args=(task.log, tmp_path)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert task.log.read_text() == "built\n"


def test_another_size_seed_or_source_is_other_data(task, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("1")
    requests = [DataRequest(), DataRequest(size=5), DataRequest(seed=1), DataRequest(source=str(source))]
    keys = {data_key(REF, task, request) for request in requests}
    assert len(keys) == 4
    (source / "a").write_text("22")
    assert data_key(REF, task, requests[3]) not in keys


def test_fingerprint_is_of_the_contents(task, tmp_path):
    same = [load_data(REF, task, DataRequest(size=7), tmp_path / name).fingerprint for name in "ab"]
    assert same[0] == same[1]
    assert load_data(REF, task, DataRequest(size=8), tmp_path).fingerprint != same[0]


def test_a_build_that_was_killed_is_built_again(task, tmp_path):
    folder = load_data(REF, task, DataRequest(), tmp_path).folder
    (folder / MANIFEST).unlink()  # it is written last: a killed build has none
    assert len(load_data(REF, task, DataRequest(), tmp_path)) == 10
    assert task.log.read_text() == "built\nbuilt\n"


def test_a_failed_build_leaves_nothing(tmp_path):
    class Failing(Task):
        name = "failing"

        def prepare(self, request, arrays):
            arrays["x"] = np.zeros(3)
            raise BalltrainError("no luck")

    with pytest.raises(BalltrainError, match="no luck"):
        load_data(TaskRef("failing"), Failing(), DataRequest(), tmp_path)
    assert [path.name for path in (tmp_path / "failing").iterdir() if path.suffix != ".lock"] == []


def test_arrays_of_different_lengths_are_refused(tmp_path):
    class Uneven(Task):
        name = "uneven"

        def prepare(self, request, arrays):
            arrays["x"], arrays["y"] = np.zeros(3), np.zeros(4)
            return {}

    with pytest.raises(BalltrainError, match="different lengths"):
        load_data(TaskRef("uneven"), Uneven(), DataRequest(), tmp_path)


def test_a_task_may_fix_its_own_splits(tmp_path):
    class Fixed(Task):
        name = "fixed"

        def prepare(self, request, arrays):
            arrays["x"], arrays["split"] = np.arange(4), np.array([0, 1, 2, 0], np.uint8)
            return {}

    splits = load_data(TaskRef("fixed"), Fixed(), DataRequest(), tmp_path).splits
    assert {name: rows.tolist() for name, rows in splits.items()} == {
        "train": [0, 3],
        "val": [1],
        "test": [2],
        "all": [0, 1, 2, 3],
    }


@pytest.mark.parametrize(("file", "size"), [("x.npy", 40), ("x.npy", 0), (MANIFEST, 0), (MANIFEST, 30)])
@pytest.mark.parametrize("knows_key", [False, True])
def test_damaged_data_is_built_anew(task, tmp_path, file, size, knows_key):
    """A power loss under an earlier version left such: each trial failed until somebody deleted the folder."""
    dataset = load_data(REF, task, DataRequest(), tmp_path)
    os.truncate(dataset.folder / file, size)
    with pytest.raises(BalltrainError, match=f"{dataset.folder} is damaged"):
        open_dataset(dataset.folder)
    again = load_data(REF, task, DataRequest(), tmp_path, dataset.folder.name if knows_key else None)
    assert (again.folder, again.fingerprint) == (dataset.folder, dataset.fingerprint)


def test_what_a_killed_build_has_left_is_removed(task, tmp_path):
    folder = load_data(REF, task, DataRequest(), tmp_path).folder
    for left in (f".{folder.name}.building-123", f"{folder.name}.building-abc"):
        (folder.parent / left).mkdir()
        (folder.parent / left / "x.npy").write_text("half")
    load_data(REF, task, DataRequest(), tmp_path, anew=True)
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_a_folder_that_cannot_be_made_is_named(task, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BalltrainError, match=r"cannot write the data to .*--data-dir"):
        load_data(REF, task, DataRequest(), tmp_path / "file")


def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path):
    class Huge(Task):
        name = "huge"

        def prepare(self, request, arrays):
            arrays.create("x", (1 << 50,), np.uint8)
            return {}

    with pytest.raises(BalltrainError, match="free some space"):
        load_data(TaskRef("huge"), Huge(), DataRequest(), tmp_path)


def test_pages_given_back_leave_the_process_small(tmp_path):
    class Big(Task):
        name = "big"

        def prepare(self, request, arrays):
            arrays.create("x", (64, 1 << 20), np.uint8)[:] = 1
            return {}

    dataset = load_data(TaskRef("big"), Big(), DataRequest(), tmp_path)

    def mapped_bytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[2]) * os.sysconf("SC_PAGE_SIZE")

    before = mapped_bytes()
    assert dataset.arrays["x"].sum() == 64 << 20
    read = mapped_bytes()
    dataset.release_pages()
    assert read - before > 50 << 20
    assert mapped_bytes() - before < 10 << 20


def test_editing_a_users_file_makes_its_data_anew(tmp_path):
    file = tmp_path / "mine.py"
    text = Path(TOY_FILE).read_text()
    keys = []
    for version in (text, text.replace("default_size = 100", "default_size = 50")):
        file.write_text(version)
        ref = task_ref(str(file))
        keys.append(data_key(ref, ref.load(), DataRequest()))
    assert keys[0] != keys[1]


def test_the_manifest_says_what_is_there(task, tmp_path):
    folder = load_data(REF, task, DataRequest(size=4, seed=2), tmp_path).folder
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["request"] == {"source": None, "size": 4, "seed": 2}
    assert manifest["arrays"] == ["split", "x"]


def test_folds_validate_every_row_once_and_leave_the_test_split_alone(task, tmp_path):
    dataset = load_data(REF, task, DataRequest(size=50), tmp_path)
    folds = [dataset.fold(number, 5) for number in range(5)]
    validated = np.concatenate([fold.splits["val"] for fold in folds])
    assert sorted(validated) == sorted(np.concatenate([dataset.splits["train"], dataset.splits["val"]]))
    for fold in folds:
        assert (fold.splits["test"] == dataset.splits["test"]).all()
        assert not set(fold.splits["train"]) & (set(fold.splits["val"]) | set(fold.splits["test"]))


def test_more_folds_than_groups_are_refused(task, tmp_path):
    with pytest.raises(UsageError, match="60 folds need as many groups"):
        load_data(REF, task, DataRequest(size=50), tmp_path).fold(0, 60)
