"""Data is made anew when what it was made of has changed: behind links, with old times, in files that others name."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from balltrain.data.cache import MANIFEST, data_key, load_data
from balltrain.errors import UsageError
from balltrain.folders import files_below
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Task

REF = TaskRef("sizes")


class Sizes(Task):
    """The sizes of the source's files; `more` are files that it opens beside them."""

    name = "sizes"

    def __init__(self, more=()):
        self.more = more

    def source_files(self, request):
        return self.more

    def prepare(self, request, arrays):
        arrays["x"] = np.frombuffer(b"".join(path.read_bytes() for path in files_below(Path(request.source))), "u1")
        return {}


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a").write_text("1")
    return tmp_path / "store"


def key(source, task=None):
    return data_key(REF, task or Sizes(), DataRequest(str(source)))


@pytest.mark.parametrize("length", [1, 3])
def test_what_lies_behind_links_counts(store, tmp_path, length):
    source = tmp_path / "source"
    source.mkdir()
    target = store
    for number in range(length - 1):  # a chain of links
        target = tmp_path / f"link{number}"
        target.symlink_to(tmp_path / f"link{number - 1}" if number else store)
    (source / "data").symlink_to(target)
    before = key(source)
    assert before == key(source)
    (store / "a").write_text("22")
    assert key(source) != before
    (store / "b").write_text("3")
    assert len({before, key(source)}) == 2


def test_a_link_that_leads_elsewhere_counts(store, tmp_path):
    """Both targets have files of the same names, sizes and times."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("2")
    os.utime(other / "a", ns=(1, 1))
    os.utime(store / "a", ns=(1, 1))
    keys = []
    for name, target in (("data", store), ("data", other)):
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / name).unlink(missing_ok=True)
        (source / name).symlink_to(target)
        keys.append(key(source))
    assert keys[0] != keys[1]


def test_links_in_a_circle_end(store):
    (store / "again").symlink_to(store)
    (store / "self").symlink_to(store / "self")
    (store / "gone").symlink_to(store / "nowhere")
    assert [path.name for path in files_below(store)] == ["a"]
    assert key(store) == key(store)


def test_an_edit_that_keeps_size_and_time_makes_the_data_anew(store, tmp_path):
    request, file = DataRequest(str(store)), store / "a"
    first = load_data(REF, Sizes(), request, tmp_path)
    times = file.stat()
    file.write_text("2")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = load_data(REF, Sizes(), request, tmp_path)
    assert (first.arrays["x"].tolist(), second.arrays["x"].tolist()) == ([ord("1")], [ord("2")])
    assert second.folder == first.folder
    built = (second.folder / MANIFEST).stat().st_mtime_ns
    assert load_data(REF, Sizes(), request, tmp_path).fingerprint == second.fingerprint
    assert (second.folder / MANIFEST).stat().st_mtime_ns == built


def test_data_of_earlier_versions_still_holds(store, tmp_path):
    """Its key knew neither links nor other files, and its manifest not when files had changed."""
    file = store / "a"
    listed = [(str(file), 1, file.stat().st_mtime_ns)]
    identity = {"format": 1, "task": "sizes", "code": "", "version": 1, "source": listed, "size": None, "seed": 0}
    assert key(store) == hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    folder = load_data(REF, Sizes(), DataRequest(str(store)), tmp_path).folder
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["changed"], manifest["files"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    file.chmod(0o600)
    load_data(REF, Sizes(), DataRequest(str(store)), tmp_path)
    assert json.loads((folder / MANIFEST).read_text()) == manifest


def test_anew_is_built_again_and_what_was_mapped_stays(store, tmp_path):
    request = DataRequest(str(store))
    first = load_data(REF, Sizes(), request, tmp_path)
    with open(first.folder / "x.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"9")
    second = load_data(REF, Sizes(), request, tmp_path, anew=True)
    assert (first.arrays["x"].tolist(), second.arrays["x"].tolist()) == ([ord("9")], [ord("1")])
    assert [path.name for path in second.folder.parent.iterdir() if path.is_dir()] == [second.folder.name]


class TestFilesOfATask:
    @pytest.mark.parametrize("named", ["file", "folder"])
    def test_their_changes_count(self, store, tmp_path, named):
        beside = tmp_path / "beside"
        beside.mkdir()
        (beside / "labels.csv").write_text("1")
        task = Sizes([beside if named == "folder" else str(beside / "labels.csv")])
        before = key(store, task)
        assert before != key(store)
        (beside / "labels.csv").write_text("22")
        assert key(store, task) != before

    def test_those_of_the_source_count_once(self, store):
        assert key(store, Sizes([store / "a"])) == key(store)

    def test_one_that_is_not_there_yet_counts_when_it_comes(self, store, tmp_path):
        task = Sizes([tmp_path / "later"])
        before = key(store, task)
        (tmp_path / "later").write_text("")
        assert key(store, task) != before

    @pytest.mark.parametrize(("wrong", "said"), [("labels.csv", "a list of paths"), ([3], "3 among its paths")])
    def test_what_are_no_paths_is_refused(self, store, wrong, said):
        with pytest.raises(UsageError, match=f"source_files of sizes returns .*{said}"):
            key(store, Sizes(wrong))


class TestCodeBesideATask:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "package" / "deep").mkdir(parents=True)
        for name in ("package/__init__.py", "package/deep/__init__.py", "unused.py", "far.py"):
            (tmp_path / name).write_text("")
        (tmp_path / "near.py").write_text("def f():\n    import far\n")
        (tmp_path / "package" / "deep" / "part.py").write_text("from .. import other\nfrom . import sibling\n")
        for name in ("package/other.py", "package/deep/sibling.py"):
            (tmp_path / name).write_text("")
        return tmp_path

    def key(self, folder):
        text = (
            "import numpy as np\nfrom near import f\nfrom package.deep import part\nimport os.path\nimport missing\n"
        )
        return data_key(TaskRef.of_file("sizes", folder / "task.py", text), Sizes(), DataRequest())

    @pytest.mark.parametrize(
        "name",
        [
            *("near.py", "far.py", "package/__init__.py", "package/deep/part.py", "package/other.py"),
            "package/deep/sibling.py",
        ],
    )
    def test_what_is_imported_counts(self, folder, name):
        before = self.key(folder)
        (folder / name).write_text((folder / name).read_text() + "x = 1\n")
        assert self.key(folder) != before

    @pytest.mark.parametrize("name", ["unused.py", "notes.txt"])
    def test_what_is_not_imported_does_not(self, folder, name):
        before = self.key(folder)
        (folder / name).write_text("x = 1\n")
        assert self.key(folder) == before

    def test_a_file_that_imports_nothing_beside_it_keeps_its_key(self, folder):
        keys = {
            data_key(ref, Sizes(), DataRequest())
            for ref in (
                TaskRef.of_file("sizes", folder / "task.py", "import numpy\n"),
                TaskRef("sizes", None, "import numpy\n"),
            )
        }
        assert len(keys) == 1
