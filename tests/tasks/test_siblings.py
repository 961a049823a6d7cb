"""Files beside a task are imported, wherever their texts have travelled; and files are read as Python reads them."""

import sys

import pytest

from balltrain.errors import UsageError, UserCodeError
from balltrain.tasks import read_source, run_file, task_ref
from balltrain.tasks.siblings import texts_beside
from balltrain.tasks.user_code import told_as_users


@pytest.fixture(autouse=True)
def modules_put_back():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if getattr(getattr(sys.modules[name], "__spec__", None), "loader", None).__class__.__name__ == "_Finder":
            del sys.modules[name]


def written(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_what_is_imported_is_found_through_files_packages_and_functions(tmp_path):
    written(
        tmp_path,
        side="import deeper\n",
        deeper="X = 1\n",
        lazy="",
        unused="1 / 0\n",
        torch="1 / 0\n",
        pkg__inner="from . import other\nfrom .third import Y\n",
        pkg__other="",
        pkg__third="Y = 2\n",
    )
    (tmp_path / "pkg" / "__init__.py").write_text("")
    source = "import os, torch, side\nfrom pkg import inner\ndef f():\n    import lazy\n"
    names = [name for name, _ in texts_beside(tmp_path, source)]
    assert names == [
        "deeper.py",
        "lazy.py",
        "pkg/__init__.py",
        "pkg/inner.py",
        "pkg/other.py",
        "pkg/third.py",
        "side.py",
    ]


def test_files_beside_are_imported_where_they_do_not_lie(tmp_path):
    here = written(tmp_path / "here", side="X = 1\n", pkg__a="from pkg.b import Y\n", pkg__b="Y = 2\n")
    source = "from side import X\ndef later():\n    from pkg.a import Y\n    return Y\n"
    texts = texts_beside(here, source)
    module = run_file(tmp_path / "gone" / "task.py", source, texts)
    assert (module.X, module.later()) == (1, 2)


def test_two_tasks_have_each_their_own_files_of_one_name(tmp_path):
    source = "import side\nX = side.X\ndef later():\n    import side\n    return side.X\n"
    folders = [written(tmp_path / name, side=f"X = {name!r}\n") for name in ("a", "b")]

    def load(folder):
        return run_file(folder / "task.py", source, texts_beside(folder, source))

    a, b = map(load, folders)
    assert (a.X, b.X, b.later()) == ("a", "b", "b")
    assert load(folders[0]).later() == "a"


def test_an_edited_file_is_read_again(tmp_path):
    source = "import side\nX = side.X\n"
    for x in (1, 2):
        written(tmp_path, side=f"X = {x}\n")
        assert x == run_file(tmp_path / "task.py", source, texts_beside(tmp_path, source)).X


def test_what_python_has_imported_by_that_name_stays_the_scripts(tmp_path, monkeypatch):
    written(tmp_path, side="X = 1\n")
    monkeypatch.setitem(sys.modules, "side", own := object())
    source = "import side\nX = side.X\n"
    assert run_file(tmp_path / "task.py", source, texts_beside(tmp_path, source)).X == 1
    assert sys.modules["side"] is own


def test_what_a_file_beside_raises_is_told_by_its_own_line(tmp_path):
    written(tmp_path, side="def f():\n    return {}['a']\n", wrong="x = (\n")
    source = "import side\ndef work():\n    side.f()\n"
    with pytest.raises(UserCodeError, match=r"^side.py, line 2, in f \(of work\): KeyError"), told_as_users():
        run_file(tmp_path / "task.py", source, texts_beside(tmp_path, source)).work()
    source = "import wrong\n"
    with pytest.raises(UserCodeError, match=r"line 1, fails: SyntaxError"):
        run_file(tmp_path / "task.py", source, texts_beside(tmp_path, source))


def test_a_module_that_is_imported_by_its_name_is_found_where_it_lies(tmp_path):
    written(tmp_path, named="X = 3\n")
    source = "import importlib\nX = importlib.import_module('nam' + 'ed').X\n"
    assert run_file(tmp_path / "task.py", source).X == 3
    sys.modules.pop("named")


def test_no_flag_of_balltrains_leaks_into_a_users_file(tmp_path):
    module = run_file(tmp_path / "m.py", "def f(x: int): pass\nT = f.__annotations__['x']\n")
    assert module.T is int


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        (b"# coding: latin-1\nx = '\xe9'\n", "# coding: latin-1\nx = 'é'\n"),
        (b"x = 1\r\ny = 2\r\n", "x = 1\ny = 2\n"),
    ],
)
def test_a_file_is_decoded_as_python_does(tmp_path, content, text):
    (tmp_path / "m.py").write_bytes(content)
    assert read_source(tmp_path / "m.py") == text
    assert run_file(tmp_path / "m.py", text).x


@pytest.mark.parametrize("content", [b"\xff\xfex\x00", b"# coding: nothing\n", b"x = '\xe9'\n"])
def test_a_file_in_no_encoding_is_refused_by_its_name(tmp_path, content):
    (tmp_path / "m.py").write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read .*m.py: not a text file in UTF-8"):
        task_ref(str(tmp_path / "m.py"))


def test_a_file_that_imports_its_own_name_means_what_is_installed(tmp_path, monkeypatch):
    """As an example called xgboost.py does; Ray puts the current folder on the path of trials."""
    source = "import bridge\nX = bridge.X\n"
    own = written(tmp_path / "own", bridge=source)
    monkeypatch.syspath_prepend(written(tmp_path / "installed", bridge="X = 'installed'\n"))
    monkeypatch.syspath_prepend(own)
    assert texts_beside(own, source) == ()
    assert run_file(own / "bridge.py", source).X == "installed"
