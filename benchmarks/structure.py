"""The structure of the package in figures: circles of imports, largest module, longest function, lines of a knob.

    python benchmarks/structure.py [CHECKOUT] [--knob sobol_scramble]

CHECKOUT may be another version's, to compare with.
"""

import argparse
import ast
import re
from pathlib import Path


def imports(package: Path) -> dict[str, set[str]]:
    """Module to the modules of the package that it imports, lazily too and for types alone."""
    names = {".".join(path.relative_to(package.parent).with_suffix("").parts): path for path in package.rglob("*.py")}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    found: dict[str, set[str]] = {}
    for name, path in names.items():
        targets = found.setdefault(name, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                targets |= {target if target in names else node.module for target in inner} & names.keys()
    return {name: targets - {name, package.name} for name, targets in found.items() if name != package.name}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules of which each imports each other in the end (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph.get(module, ()):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            at = stack.index(module)
            found.append(sorted(stack[at:]))
            del stack[at:]

    for module in graph:
        if module not in index:
            visit(module)
    return [group for group in found if len(group) > 1]


def mutual_rooms(graph: dict[str, set[str]]) -> list[str]:
    """Pairs of rooms, folders or files at the top of the package, of which each imports the other."""
    arrows = {(source.split(".")[1], target.split(".")[1]) for source, targets in graph.items() for target in targets}
    return [f"{one} ↔ {other}" for one, other in sorted(arrows) if one < other and (other, one) in arrows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--knob", default="sobol_scramble")
    arguments = parser.parse_args()
    package = arguments.checkout / "balltrain"
    paths = sorted(package.rglob("*.py"))
    groups = circles(imports(package))
    print(f"circles: {len(groups)}, of {sorted((len(group) for group in groups), reverse=True)} modules")
    pairs = mutual_rooms(imports(package))
    print(f"rooms that import each other: {len(pairs)} pairs {', '.join(pairs)}")
    lines, longest = max((len(path.read_text().splitlines()), path) for path in paths)
    print(f"largest module: {lines} lines, {longest.relative_to(package)}")
    functions = [
        ((node.end_lineno or 0) - node.lineno + 1, node.name, str(path.relative_to(package)))
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    functions.sort(reverse=True)
    print(f"longest function: {functions[0][0]} lines, {functions[0][1]} in {functions[0][2]}")
    print(f"functions over 60 lines: {sum(length > 60 for length, _, _ in functions)}")
    word = re.compile(rf"\b{arguments.knob}\b")
    named = [(path, sum(bool(word.search(line)) for line in path.read_text().splitlines())) for path in paths]
    named = [(path, count) for path, count in named if count]
    print(f"{arguments.knob}: {sum(count for _, count in named)} lines in {len(named)} files")
    print(f"package: {sum(len(path.read_text().splitlines()) for path in paths)} lines in {len(paths)} files")


if __name__ == "__main__":
    main()
