"""Changes one thing at a time in what decides and what records, and asks whether tests notice: `make mutation`.

All changes take hours, a sample of them less: `python tests/mutation.py --sample 300 --seed 0`. What is changed, and
by which tests it is tried, is in pyproject.toml; results are in mutants/, and `mutmut browse` shows them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mutmut import __main__ as mutmut

NOTICED = ("killed", "timeout", "segfault")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sample", type=int, default=None, help="mutants to try; all unless given")
    options.add_argument("--seed", type=int, default=0, help="of the sample")
    given = options.parse_args()
    os.environ.setdefault("SIMULATED_EPOCHS", "1500")
    _generate()
    names = sorted(_codes())
    if given.sample is not None:
        names = sorted(random.Random(given.seed).sample(names, given.sample))
    print(f"{len(names)} of {len(_codes())} mutants", flush=True)
    subprocess.run([sys.executable, "-m", "mutmut", "run", "--max-children", "1", *names], check=False)
    _say(names)


def _generate() -> None:
    """What mutmut does before it tries any, so that names are known."""
    Path("mutants").mkdir(exist_ok=True)
    mutmut.set_mutant_under_test("mutant_generation")
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.store_lines_covered_by_tests()
    mutmut.create_mutants(1)


def _codes() -> dict[str, int | None]:
    """Mutants to what tests said: pytest's exit code, or mutmut's."""
    found: dict[str, int | None] = {}
    for path in Path("mutants").rglob("*.meta"):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def _say(names: list[str]) -> None:
    found = {name: mutmut.status_by_exit_code[code] for name, code in _codes().items() if name in set(names)}
    for name, status in sorted(found.items()):
        if status not in NOTICED:
            print(f"{status}: {name}")
    counts = Counter(found.values())
    tried = counts.total() - counts["not checked"]
    print(f"{dict(counts)}: {sum(counts[status] for status in NOTICED) / max(1, tried):.1%} noticed")


if __name__ == "__main__":
    main()
