"""Many histories, on all cores: `python -m simulated --epochs 10000000`, or one of them: `--seed 42`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from simulated.histories import history_of, run_seed

AT_ONCE = 50  # histories a piece of work


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=10_000_000, help="epochs of simulated trials, in all")
    options.add_argument("--first", type=int, default=None, help="seed of the first history; by chance unless given")
    options.add_argument("--seed", type=int, default=None, help="run this history alone, and show it")
    options.add_argument("--processes", type=int, default=os.cpu_count())
    given = options.parse_args()
    if given.seed is not None:
        print(history_of(given.seed, slow=0.0))
        print(f"{run_seed(given.seed).epochs} epochs, and nothing was lost")
        return
    first = random.SystemRandom().randrange(10**9) if given.first is None else given.first
    print(f"seeds from {first} on, in {given.processes} processes")
    begun, found, seeds = time.monotonic(), Counter[str](), iter(range(first, first + 10**9, AT_ONCE))
    with ProcessPoolExecutor(given.processes) as pool:
        while found["epochs"] < given.epochs:
            for part in pool.map(_some, [next(seeds) for _ in range(4 * given.processes)]):
                found += part
            _say(found, time.monotonic() - begun)


def _some(first: int) -> Counter[str]:
    found = Counter[str]()
    for seed in range(first, first + AT_ONCE):
        try:
            world = run_seed(seed)
        except AssertionError as error:
            sys.exit(str(error))
        found += Counter({"histories": 1, "epochs": world.epochs, "kills": world.kills})
    return found


def _say(found: Counter[str], seconds: float) -> None:
    numbers = ", ".join(f"{number:,} {name}" for name, number in found.items())
    print(f"{numbers} in {seconds:.0f} s, and nothing was lost", flush=True)


if __name__ == "__main__":
    main()
