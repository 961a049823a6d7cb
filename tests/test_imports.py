"""Dependencies point one way: the order of the rooms, written once, is what docs/architecture.md quotes."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "balltrain"
# each may import those before it, and modules of its own; `cli` is on top
ORDER = (
    *(
        "errors",
        "knobs",
        "background",
        "durable",
        "lease",
        "storage",
        "folders",
        "pictures",
        "balls",
        "vision",
        "tasks",
        "data",
        "training",
        "programs",
        "integrations",
        "records",
        "search",
    ),
    *("tracking", "execution", "reporting", "serving", "doctor", "testing", "api", "cli"),
)
NO_RAY = ("balls", "vision", "tasks", "programs", "integrations", "data", "training", "records", "search")
# the search-space types that sweep files use
RAY_ALLOWED = dict.fromkeys(
    ("search/space.py", "search/space_files.py"), "ray.tune.search"
)  # the search-space types that sweep files use


def modules() -> dict[str, Path]:
    """Dotted names, without `balltrain.`, to files; that of the package itself is left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name and parts[0] not in ("__init__", "__main__", "sweeps"):
            found[name] = path
    return found


def imported(path: Path, names: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports, lazily too, and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "balltrain":
            module = node.module.removeprefix("balltrain").lstrip(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                found.add(inner if inner in names or inner == "__version__" else module)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "balltrain":
                    found.add(alias.name.removeprefix("balltrain").lstrip("."))
    return found


def arrows() -> list[tuple[str, str]]:
    names = modules()
    return [(name, target) for name, path in names.items() for target in imported(path, names) if target != name]


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_room_has_its_place_in_the_order():
    assert {room(name) for name in modules()} <= set(ORDER)


def test_no_import_points_upwards():
    upward = [
        f"{source} → {target or 'balltrain itself'}"
        for source, target in arrows()
        if not target.startswith("__version__")
        and (target == "" or ORDER.index(room(source)) < ORDER.index(room(target)))
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle():
    graph: dict[str, list[str]] = {}
    for source, target in arrows():
        graph.setdefault(source, []).append(target)
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            pytest.fail(" → ".join([*path[path.index(module) :], module]))
        if module in done:
            return
        for target in graph.get(module, ()):
            visit(target, [*path, module])
        done.add(module)

    for module in list(graph):
        visit(module, [])


def test_what_trains_and_what_decides_imports_no_ray():
    found = []
    for name, path in modules().items():
        if room(name) not in NO_RAY:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            targets = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            targets += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            allowed = RAY_ALLOWED.get(str(path.relative_to(PACKAGE)))
            found += [f"{name}: {t}" for t in targets if t.split(".")[0] == "ray" and t != allowed]
    assert found == []


def test_the_architecture_quotes_the_order():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    assert " → ".join(reversed(ORDER)) in " ".join(text.split())
