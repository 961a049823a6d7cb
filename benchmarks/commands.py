"""What a trial of a command costs beside the command itself: a shell that prints one figure.

    python benchmarks/commands.py [--times 40]

The baseline is the same command started by Python's subprocess, in turn with it, in the same process. Without Ray:
a trial's process, which is used again for trial after trial, does nothing else for it.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from balltrain.programs.command_run import CommandTrial, run_command

COMMAND = "echo val_acc: 0.5"


def seconds_of(action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=40)
    times = parser.parse_args().times
    plain, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(times):
            trial = CommandTrial(
                command=COMMAND,
                figures=None,
                folder=Path(folder),
                trial_dir=Path(folder) / f"{number:05d}",
                objective="val_acc",
                config={},
                trial_id=f"{number:05d}",
                seed=0,
                epochs=10,
                resumed=False,
                state_file=Path(folder) / f"{number:05d}.json",
            )
            plain.append(seconds_of(lambda: subprocess.run(["/bin/sh", "-c", COMMAND], capture_output=True)))
            rows = []
            report = lambda *row, rows=rows: rows.append(row)  # noqa: E731
            ours.append(seconds_of(lambda trial=trial, report=report: run_command(trial, report)))
            assert [row[:2] for row in rows] == [(1, {"val_acc": 0.5})]
    middle, most = statistics.median(ours), max(ours)
    base = statistics.median(plain)
    print(f"the command alone {base * 1e3:.1f} ms, as a trial {middle * 1e3:.1f} ms (at most {most * 1e3:.1f} ms)")
    print(f"a trial costs {(middle - base) * 1e3:.1f} ms more")


if __name__ == "__main__":
    main()
