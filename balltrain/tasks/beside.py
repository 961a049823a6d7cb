"""Files beside a user's file that it imports: they are part of its code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def imported_beside(file: Path, text: str) -> list[Path]:
    """Modules in the folder of `file` that its `text` imports, and those that these import, sorted.

    What is imported in functions counts too. What is imported by a name that is computed is not seen.
    """
    folder = file.parent
    found: set[Path] = set()
    waiting = [(file, text)]
    while waiting:
        path, source = waiting.pop()
        for module in _imports(path, source, folder):
            for part in _files_of(module, folder):
                if part != file and part not in found:
                    found.add(part)
                    waiting.append((part, _text_of(part)))
    return sorted(found)


def _imports(path: Path, text: str, folder: Path) -> Iterator[str]:
    """Dotted names as seen from `folder`; of `from a import b` both `a` and `a.b`, as `b` may be a module."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # said when it is run
        return
    package = path.parent.relative_to(folder).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*around, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)
            if module:
                yield module


def _files_of(module: str, folder: Path) -> Iterator[Path]:
    """The module's file, and the packages around it, where they lie in `folder`."""
    place = folder
    for part in module.split("."):
        if part == "*":
            return
        place = place / part
        for candidate in (place / "__init__.py", place.with_name(f"{part}.py")):
            if candidate.is_file():
                yield candidate
                break


def _text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig", errors="replace")
