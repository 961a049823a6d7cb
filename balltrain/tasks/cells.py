"""The text of a task that no file holds: of one in a notebook's cell, in `python -c`, or at a prompt.

The class is taken with all that it uses of the same place, so that the text stands alone: imports, plain constants,
and the text of other classes and functions. Whatever else it uses is refused by name.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import math
import os
import re
import stat
import symtable
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, NoReturn

from balltrain.errors import BalltrainError

MAIN = "__main__"
COMMAND, STDIN = "<string>", "<stdin>"  # what Python calls the text of `-c`, and that of its standard input
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr", "lambda")
MAX_CONSTANT = 100_000  # characters of the text of one


def text_of(defined: type | types.FunctionType) -> str:
    """Python text that defines a class of `__main__`, and makes one object of it, or that defines a function.

    Raises BalltrainError that names what it uses and no text can be had of.
    """
    parts = _Parts(defined, vars(sys.modules[MAIN]))
    parts.add(defined.__name__, defined)
    return parts.text()


class _Parts:
    """The statements that a class or a function needs, each after those that it needs itself."""

    def __init__(self, defined: type | types.FunctionType, main: Mapping[str, Any]):
        self._defined, self._main = defined, main
        self._imports: dict[str, None] = {}  # a set that keeps its order
        self._statements: list[str] = []
        self._added: dict[str, Any] = {}  # by name
        if type(main.get("annotations")).__name__ == "_Feature":
            self._imports["from __future__ import annotations"] = None

    def text(self) -> str:
        last = [f"balltrain_task = {self._defined.__name__}()"] if isinstance(self._defined, type) else []
        return "\n".join([*self._imports, "", *self._statements, *last, ""])

    def add(self, name: str, value: Any) -> None:
        """Have `name` mean `value` in the text."""
        if name in self._added:
            if self._added[name] is not value:
                self._refuse(name, "which means two things, one of them no longer at hand")
            return
        self._added[name] = value
        literal = _literal(value)
        if literal is not None and len(literal) > MAX_CONSTANT:
            self._refuse(name, f"a constant of {len(literal)} characters")
        elif literal is not None:
            self._statements.append(f"{name} = {literal}\n")
        elif isinstance(value, types.ModuleType):
            module = value.__name__
            self._imports[f"import {module}" if module == name else f"import {module} as {name}"] = None
        elif getattr(value, "__module__", None) == MAIN and isinstance(getattr(value, "__qualname__", None), str):
            self._add_definition(name, value)
        elif (statement := _import_of(name, value)) is not None:
            self._imports[statement] = None
        else:
            self._refuse(name, f"an object ({type(value).__name__}) whose source cannot be read")

    def _add_definition(self, name: str, value: Any) -> None:
        own = value.__qualname__
        if "<locals>" in own:
            self._refuse(name, "which is defined inside a function")
        if own not in (name, "<lambda>"):
            self.add(own, value)
            self._statements.append(f"{name} = {own}\n")
            return
        text = _definition(name, value)
        if text is None:
            self._refuse(name, "whose source cannot be read")
        at_once, later = _names(text)
        self._use(at_once, text)
        self._statements.append(text + "\n")
        self._use(later, text)  # a function may call one that stands below it

    def _use(self, names: list[str], text: str) -> None:
        for name in names:
            if name in self._main and not (name.startswith("__") and name.endswith("__")):
                value = self._main[name]
                if hasattr(builtins, name) and str(getattr(value, "__module__", "")).startswith("IPython"):
                    continue  # its own `open`, for one
                self.add(name, value)
                if isinstance(value, types.ModuleType):
                    self._imports |= dict.fromkeys(_submodules(name, value, text))

    def _refuse(self, name: str, why: str) -> NoReturn:
        kind = "task" if isinstance(self._defined, type) else "function"
        what = f"the {kind} {self._defined.__name__}"
        if name == self._defined.__name__:
            raise BalltrainError(
                f"{what} is a {'class' if kind == 'task' else kind} {why}: put it into a Python file"
            )
        raise BalltrainError(f"{what} uses {name}, {why}: make it inside the {kind}, or put both into a file")


def _literal(value: Any) -> str | None:
    """Python text of a plain constant, None for what is none."""
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or value is Ellipsis or kind in (bool, int, float, complex, str, bytes, range):
        return repr(value)
    if isinstance(value, PurePath):
        return f"__import__('pathlib').Path({str(value)!r})"
    if kind is dict:
        pairs = [(_literal(key), _literal(item)) for key, item in value.items()]
        return None if any(None in pair for pair in pairs) else "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
    if kind not in (tuple, list, set, frozenset):
        return None
    items = [text for text in map(_literal, value) if text is not None]
    if len(items) < len(value):
        return None
    if kind in (set, frozenset):
        return f"{kind.__name__}([{', '.join(items)}])"
    inner = ", ".join(items) + ("," if kind is tuple and len(items) == 1 else "")
    return f"[{inner}]" if kind is list else f"({inner})"


def _import_of(name: str, value: Any) -> str | None:
    """The statement that imports an object from the shortest public module of its package, None where none has it."""
    own, home = getattr(value, "__name__", None) or name, getattr(value, "__module__", None)
    found = []
    for module_name, module in list(sys.modules.items()):
        if module_name == MAIN or getattr(module, "__spec__", None) is None:
            continue  # not to be imported elsewhere
        for attribute in {own, name}:
            if isinstance(attribute, str) and vars(module).get(attribute) is value:
                same_package = isinstance(home, str) and module_name.split(".")[0] == home.split(".")[0]
                private = any(part.startswith("_") for part in module_name.split("."))
                found.append((not same_package, private, len(module_name), module_name, attribute))
    if not found:
        return None
    *_, module_name, attribute = min(found)
    return f"from {module_name} import {attribute}" + (f" as {name}" if attribute != name else "")


def _submodules(name: str, module: types.ModuleType, text: str) -> Iterator[str]:
    """Imports of what the text reaches through a module: `xml.etree` is not there after `import xml` alone."""
    for chain in re.findall(rf"\b{re.escape(name)}((?:\.\w+)+)", text):
        path = module.__name__
        for part in chain.split(".")[1:]:
            path = f"{path}.{part}"
            if path not in sys.modules:
                break
            yield f"import {path}"


def _definition(name: str, value: Any) -> str | None:
    """The text of a class or function, decorators included."""
    if isinstance(value, type):
        return _class_text(value)
    code = getattr(inspect.unwrap(value), "__code__", None)
    if code is None:
        return None
    text = _text_named(code.co_filename)
    for node in _nodes(text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = (node.name, _first_line(node)) == (name, code.co_firstlineno)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            found = name in map(ast.unparse, node.targets) and node.value.lineno == code.co_firstlineno
        else:
            found = False
        if found:
            return _segment(text, node)
    return None


def _class_text(cls: type) -> str | None:
    # without those that dataclass and pydantic make
    own = f"{cls.__qualname__}."
    methods = [code for code in map(_code_of, vars(cls).values()) if code and code.co_qualname.startswith(own)]
    for code in methods:
        text = _text_named(code.co_filename)
        for node in _nodes(text):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__ and _has_method(node, code):
                return _segment(text, node)
    if methods:
        return None  # what has the same name elsewhere may be another
    for text in _texts():  # a class of fields alone says nothing of where it was defined
        for node in reversed(list(_nodes(text))):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__ and _has_fields(node, cls):
                return _segment(text, node)
    return None


def _code_of(member: Any) -> types.CodeType | None:
    member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    code = getattr(member, "__code__", None)
    return code if isinstance(code, types.CodeType) else None


def _has_method(node: ast.ClassDef, code: types.CodeType) -> bool:
    return any(
        isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        and (method.name, _first_line(method)) == (code.co_name, code.co_firstlineno)
        for method in node.body
    )


def _has_fields(node: ast.ClassDef, cls: type) -> bool:
    annotated = [ast.unparse(part.target) for part in node.body if isinstance(part, ast.AnnAssign)]
    has_methods = any(isinstance(part, ast.FunctionDef) for part in node.body)
    return not has_methods and annotated == list(vars(cls).get("__annotations__", {}))


def _texts() -> Iterator[str]:
    """All that was typed or run in `__main__`, as far as it is kept, the latest first."""
    shell = _shell()
    yield from reversed(shell.user_ns.get("In", []) if shell is not None else [])
    for entry in reversed(list(linecache.cache.values())):
        if len(entry) > 1 and entry[1] is None:  # of no file, which would have a time
            yield "".join(entry[2])
    yield _text_named(COMMAND)
    yield _text_named(STDIN)


def _shell() -> Any:
    """IPython's, in a notebook or at its prompt."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _text_named(filename: str) -> str:
    """The text that Python compiled under a name; nothing where it is not kept."""
    lines = linecache.getlines(filename)
    if lines:
        return "".join(lines)
    if filename == COMMAND and sys.argv[:1] == ["-c"]:
        before, text = sys.orig_argv[: -len(sys.argv)], sys.orig_argv[-len(sys.argv)]
        separate = bool(before) and re.fullmatch(r"-\w*c", before[-1]) is not None
        return text if separate else text.partition("c")[2]
    if filename == STDIN and sys.argv[:1] in ([""], ["-"]):
        try:
            status = os.fstat(0)
            return os.pread(0, status.st_size, 0).decode() if stat.S_ISREG(status.st_mode) else ""
        except (OSError, UnicodeDecodeError):
            return ""
    return ""


def _nodes(text: str) -> Iterator[ast.AST]:
    """The statements of a text outside of classes and functions, under `if` and `with` too."""
    try:
        waiting: list[ast.AST] = [ast.parse(text)]
    except (SyntaxError, ValueError):
        return
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _segment(text: str, node: Any) -> str:
    if node.col_offset:
        return ast.unparse(node)
    if not getattr(node, "decorator_list", None):
        return ast.get_source_segment(text, node) or ast.unparse(node)
    return textwrap.dedent("\n".join(text.splitlines()[_first_line(node) - 1 : node.end_lineno]))


def _names(text: str) -> tuple[list[str], list[str]]:
    """The global names that a definition reads when it is made, and those that its functions read when called."""
    at_once: dict[str, None] = {}
    later: dict[str, None] = {}

    def walk(table: symtable.SymbolTable, called: bool) -> None:
        # comprehensions and lambdas of a class's body run, or may run, with it
        called = called or (table.get_type() == "function" and table.get_name().strip("<>") not in COMPREHENSIONS)
        for symbol in table.get_symbols():
            outer = table.get_type() == "module" or symbol.is_global()
            if outer and symbol.is_referenced():
                (later if called else at_once)[symbol.get_name()] = None
        for child in table.get_children():
            walk(child, called)

    walk(symtable.symtable(text, "<definition>", "exec"), called=False)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            at_once |= dict.fromkeys(_quoted_types(node.annotation))
    return list(at_once), [name for name in later if name not in at_once]


def _quoted_types(annotation: ast.expr) -> Iterator[str]:
    """Classes of `__main__` that texts in an annotation name, which pydantic reads as Python: `list["Item"]`."""
    main = vars(sys.modules[MAIN])
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (
                name for name in re.findall(r"\b[A-Za-z_]\w*", node.value) if isinstance(main.get(name), type)
            )
