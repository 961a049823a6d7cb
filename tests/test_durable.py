"""Writing that a power loss cannot take back, one call at a time; tests/durability has what it is for."""

import ast
import errno
import os
import re
from pathlib import Path

import pytest

from balltrain import durable

PACKAGE = Path(__file__).parents[1] / "balltrain"


class Traced(durable.Disk):
    """Notes the operations, by the names of what they are done to."""

    def __init__(self):
        self.done, self.names = [], {}

    def open(self, path):
        file = super().open(path)
        self.names[file] = path.name
        return file

    def sync(self, file):
        self.done.append(("sync", self.names[file]))
        super().sync(file)

    def sync_file(self, path):
        self.done.append(("sync", path.name))
        super().sync_file(path)

    def rename(self, path, to):
        self.done.append(("rename", path.name, to.name))
        super().rename(path, to)

    def exchange(self, path, other):
        self.done.append(("exchange", path.name, other.name))
        return super().exchange(path, other)


class Old(Traced):
    """A system that cannot exchange two names."""

    def exchange(self, path, other):
        return False


@pytest.fixture
def disk(monkeypatch):
    monkeypatch.setattr(durable, "disk", traced := Traced())
    return traced


def test_a_file_is_synced_before_its_name_and_then_its_folder(disk, tmp_path):
    durable.replace(tmp_path / "a", b"1")
    durable.replace(tmp_path / "a", b"22")
    new = rf"\.a\.{os.getpid()}-\d+\.tmp"
    steps = [" ".join(step) for step in disk.done]
    assert len(steps) == 6
    for step, expected in zip(steps[3:], [f"sync {new}", f"rename {new} a", f"sync {tmp_path.name}"], strict=True):
        assert re.fullmatch(expected, step)
    assert (tmp_path / "a").read_bytes() == b"22"


def test_what_cannot_be_written_leaves_the_old_file_alone(monkeypatch, tmp_path):
    class Full(durable.Disk):
        def write(self, file, content, offset):
            if offset:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(file, content[:2], offset)

    durable.replace(tmp_path / "a", b"old")
    monkeypatch.setattr(durable, "disk", Full())
    with pytest.raises(OSError, match="No space"):
        durable.replace(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_each_new_folder_is_synced_into_the_one_above_it(disk, tmp_path):
    durable.make_folder(tmp_path / "a" / "b")
    durable.make_folder(tmp_path / "a" / "b")
    assert disk.done == [("sync", tmp_path.name), ("sync", "a")]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        durable.make_folder(tmp_path / "file" / "c")


@pytest.mark.parametrize("kind", [Traced, Old])
def test_a_folder_is_replaced_once_all_of_the_new_one_is_on_disk(kind, monkeypatch, tmp_path):
    for name, text in (("new", "2"), ("best", "1")):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "file").write_text(text)
    monkeypatch.setattr(durable, "disk", disk := kind())
    durable.replace_folder(tmp_path / "new", tmp_path / "best")
    swaps = [step for step in disk.done if step[0] != "sync"]
    assert swaps == ([("rename", "best", ".best.old"), ("rename", "new", "best")] if kind is Old else
                     [("exchange", "new", "best")])  # fmt: skip
    synced = [step[1] for step in disk.done[: disk.done.index(swaps[0])]]
    assert synced == ["file", "inner", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert (tmp_path / "best" / "inner" / "file").read_text() == "2"


def test_a_folder_that_was_about_to_be_replaced_is_put_back(tmp_path):
    (tmp_path / ".best.old").mkdir()
    durable.recover_folder(tmp_path / "best")
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    (tmp_path / ".best.old").mkdir()
    durable.recover_folder(tmp_path / "best")  # both are there: the new one had come to its place
    assert sorted(path.name for path in tmp_path.iterdir()) == [".best.old", "best"]


def test_a_tree_is_removed_with_its_links_and_not_what_they_name(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "tree" / "inner" / "file").write_text("")
    durable.remove_tree(tmp_path / "tree")
    durable.remove_tree(tmp_path / "never there")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


def test_file_systems_that_sync_no_folders_are_none_the_worse(monkeypatch, tmp_path):
    errors = iter([errno.EINVAL, errno.EIO])

    def fsync(file):
        raise OSError(number := next(errors), os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    durable.disk.sync_folder(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        durable.disk.sync_folder(tmp_path)


# -- all that a sweep relies on is written by durable.py

ROOMS = ("records", "execution", "data/cache.py", "data/download.py", "training/checkpoint.py", "storage.py")
ELSEWHERE = {
    "execution/joining.py": "Ray's token, which Ray makes again",
    "records/output.py": "what trials print, which nothing relies on",
    "execution/node_checks.py": "what tries whether a node can write",
    "data/cache.py: open": "arrays, which are mapped; synced before their folder gets its name",
    "data/download.py: open": "what has arrived so far; synced before it gets its name",
    "data/download.py: unlink": "one that arrived wrong",
    "execution/interrupts.py: open": "the null device",
    "records/tables.py: write_table": "into memory",
    "storage.py: unlink": "a request that has its answer",
    "data/cache.py: unlink": "an array of a folder that has no name yet",
}
WRITING = {"rename", "renames", "write_text", "write_bytes", "unlink", "rmdir", "mkdir", "makedirs", "fsync",
           "fdatasync", "move", "copyfile", "write_table", "save_file", "savez", "ftruncate", "truncate"}  # fmt: skip


def writes(path: Path) -> set[str]:
    """Names of the calls by which a module writes other than by `durable`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function, of = node.func, ""
        if isinstance(function, ast.Attribute):
            of = function.value.id if isinstance(function.value, ast.Name) else ""
            name = function.attr
        else:
            name = getattr(function, "id", "")
        modes = [a.value for a in (*node.args[1:2], *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
        opened_to_write = name == "open" and any(isinstance(m, str) and set(m) & set("wax+") for m in modes)
        path_replaced = name == "replace" and of != "dataclasses" and len(node.args) == 1 and not node.keywords
        if of != "durable" and (name in WRITING or opened_to_write or path_replaced or (of, name) == ("os", "open")):
            found.add(name)
    return found


def test_whatever_a_sweep_relies_on_is_written_in_one_place():
    found = []
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")) if (PACKAGE / room).is_dir() else [PACKAGE / room]:
            where = path.relative_to(PACKAGE).as_posix()
            found += [f"{where}: {name}" for name in writes(path) if where not in ELSEWHERE]
    assert set(found) - set(ELSEWHERE) == set()
