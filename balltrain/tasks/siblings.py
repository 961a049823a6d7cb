"""Files beside a user's file that it imports: found by its text, and imported from their texts on any machine."""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from balltrain.tasks.decoding import read_source
from balltrain.tasks.user_code import is_users_code

Texts = tuple[tuple[str, str], ...]  # path under the folder, with `/`, and text of each file; sorted

# what a file beside a task does not replace, whatever it is called
NEVER = frozenset(sys.stdlib_module_names) | {"balltrain", "numpy", "pydantic", "ray", "torch"}


def texts_beside(folder: Path, source: str) -> Texts:
    """The files in and under `folder` that `source` imports, and that these import, inside of functions too.

    A file that imports its own name, as an `xgboost.py` does, means what is installed.
    """
    found: dict[str, str] = {}
    waiting = [(source, "")]
    while waiting:
        text, package = waiting.pop()
        for module in _imported(text, package):
            for file in _files_of(folder, module):
                if file not in found and (beside := read_source(folder / file)) != source:
                    found[file] = beside
                    waiting.append((beside, ".".join(Path(file).parent.parts)))
    return tuple(sorted(found.items()))


@contextlib.contextmanager
def imported_anew(folder: Path, texts: Texts) -> Iterator[None]:
    """In the block imports find these files, as they are in `texts`; what was imported by their names before is
    put back at its end, where it was not imported here."""
    finder = _finder(folder, texts)
    finder.activate()
    before = {name: module for name, module in list(sys.modules.items()) if finder.has(name)}
    strangers = {name: module for name, module in before.items() if not _is_ours(module)}
    for name in strangers:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(strangers)


def activate(folder: Path, texts: Texts) -> None:
    """Have imports find these files, and no longer those of the task before, which may have the same names."""
    _finder(folder, texts).activate()


_finders: dict[tuple[Path, Texts], _Finder] = {}


def _finder(folder: Path, texts: Texts) -> _Finder:
    key = folder, texts
    if key not in _finders:
        _finders[key] = _Finder(folder, dict(texts))
    return _finders[key]


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Of one set of files. One finder is active at a time."""

    active: _Finder | None = None

    def __init__(self, folder: Path, texts: dict[str, str]):
        self.folder, self.texts = folder, texts
        self._modules: dict[str, types.ModuleType] = {}  # while another is active

    def activate(self) -> None:
        if _Finder.active is self:
            return
        if _Finder.active is not None:
            _Finder.active._leave()
        _Finder.active = self
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        sys.meta_path.append(_LAST_RESORT)

    def _leave(self) -> None:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in (self, _LAST_RESORT)]
        self._modules = {
            name: module for name, module in list(sys.modules.items()) if self.has(name) and _is_ours(module)
        }
        for name in self._modules:
            del sys.modules[name]

    def has(self, name: str) -> bool:
        path = name.replace(".", "/")
        return any(file in (f"{path}.py", f"{path}/__init__.py") for file in self.texts) or self._is_namespace(path)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        place = fullname.replace(".", "/")
        for file, is_package in ((f"{place}/__init__.py", True), (f"{place}.py", False)):
            if file in self.texts:
                origin = str(self.folder / file)
                spec = importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=is_package)
                spec.has_location = True
                if spec.submodule_search_locations is not None:  # a package
                    spec.submodule_search_locations.append(str(self.folder / place))
                return spec
        if self._is_namespace(place):
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(self.folder / place)]
            return spec
        return self._installed(fullname) if path is None else None

    def _installed(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """What a file of that name in the folder would hide, where Ray has put the folder on the path."""
        if not (self.folder / f"{name}.py").is_file():
            return None
        elsewhere = [entry for entry in sys.path if Path(entry).resolve() != self.folder]
        return importlib.machinery.PathFinder.find_spec(name, elsewhere)

    def get_source(self, fullname: str) -> str:
        place = fullname.replace(".", "/")
        text = self.texts.get(f"{place}/__init__.py", self.texts.get(f"{place}.py"))
        if text is None:
            raise ImportError(f"no module {fullname} beside the task", name=fullname)
        return text

    def exec_module(self, module: types.ModuleType) -> None:
        file = str(module.__file__)
        is_users_code(file)
        exec(compile(self.get_source(module.__name__), file, "exec", dont_inherit=True), module.__dict__)

    def _is_namespace(self, place: str) -> bool:
        return any(file.startswith(f"{place}/") for file in self.texts)


class _LastResort(importlib.abc.MetaPathFinder):
    """What nobody else finds, and no text names, but lies in the folder: a module that is imported by its name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or _Finder.active is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, [str(_Finder.active.folder)])
        if spec is None or spec.loader is None:  # any folder is a package without a loader
            return None
        is_users_code(str(spec.origin))
        return spec


_LAST_RESORT = _LastResort()


def _is_ours(module: object) -> bool:
    spec = getattr(module, "__spec__", None)
    if isinstance(getattr(spec, "loader", None), _Finder):
        return True
    # a namespace package, which has no loader of ours
    return _Finder.active is not None and spec is not None and spec.origin is None and _Finder.active.has(spec.name)


def _imported(text: str, package: str) -> Iterator[str]:
    """Names of modules that a text imports, or may: of `from a import b` both a and a.b."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # told where it is run
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(part for part in [*above, *(node.module or "").split(".")] if part)
            if base:
                yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names if alias.name != "*")


def _files_of(folder: Path, module: str) -> Iterator[str]:
    """The files that an import of `module` runs, those of the packages that it is in among them."""
    parts = module.split(".")
    if parts[0] in NEVER:
        return
    for count in range(1, len(parts) + 1):
        place = "/".join(parts[:count])
        for file in (f"{place}/__init__.py", f"{place}.py"):
            if (folder / file).is_file():
                yield file
                break
        else:
            if not (folder / place).is_dir():
                return
