"""What the journal costs: a report, fsynced, and the replay of a large sweep.

    python benchmarks/journal.py [--trials 10000] [--epochs 30]

A report goes through the controller: the decision, the line on disk, the state. The baselines are a bare append of
a line of the same length to a file, fsynced, and the journal as version 4 wrote it, without checksums, in turns.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from balltrain.records.journal import FILE, VERSION, Journal, _plain, encoded, read_journal
from balltrain.records.state import SweepState
from balltrain.search.controller import Controller
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest


def row(epoch: int, value: float) -> dict:
    figures = {"seconds": 1.25, "lr": 1e-3, "train_loss": value, "val_loss": value, "objective": value}
    return {"epoch": epoch, **figures, "metrics": {"iou": 0.9, "mse": value}, "num_params": 10_000, "node": "node-1"}


def plan_of(trials: int, epochs: int, **options):
    sweep, ref = find_sweep("detect")
    options = {"trials": trials, "epochs": epochs, "searcher": "random", "grace": 1, **options}
    return make_plan(override(sweep, **options), ref, name="journal", request=DataRequest())


class Unsynced:
    """Writes the large journal for the replay, which is not what is measured."""

    def __init__(self, path: Path):
        self.file = open(path, "wb")  # noqa: SIM115 - closed by main

    def append(self, line: dict) -> None:
        self.file.write(encoded(line))


class Version4(Unsynced):
    """The journal before lines had checksums: how it appended one."""

    def append(self, line: dict) -> None:
        self.file.write(json.dumps(line, separators=(",", ":"), default=_plain).encode() + b"\n")
        self.file.flush()
        os.fdatasync(self.file.fileno())


def run(plan, journal, folder: Path) -> tuple[SweepState, list[float]]:
    """All trials of a plan, one after the other; milliseconds of each report."""
    state = SweepState()
    header = {"type": "sweep", "version": VERSION, "sweep": {**plan.to_json(), "data_fingerprint": ""}}
    journal.append(header)
    state.apply(header)
    controller, times = Controller(plan, state, journal, concurrency=1), []
    while attempt := controller.next_attempt():
        for epoch in range(1, plan.epochs + 1):
            start = time.perf_counter()
            decision = controller.report(attempt.number, row(epoch, attempt.config["lr"] / epoch))
            times.append(1000 * (time.perf_counter() - start))
            if decision != "continue":
                break
    return state, times


def figures(milliseconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    return statistics.median(milliseconds), statistics.quantiles(milliseconds, n=100)[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        times, before = [], []
        for turn in range(4):
            journal, version_4 = Journal(folder / f"small-{turn}"), Version4(folder / f"before-{turn}")
            times += run(plan_of(60, 30), journal, folder)[1]
            before += run(plan_of(60, 30), version_4, folder)[1]
            journal.close()
            version_4.file.close()
        line = (folder / "small-0" / FILE).read_bytes().splitlines(keepends=True)[-1]
        bare = []
        with open(folder / "bare", "ab") as file:
            for _ in range(len(times)):
                start = time.perf_counter()
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                bare.append(1000 * (time.perf_counter() - start))

        (folder / "large").mkdir()
        plan = plan_of(options.trials, options.epochs, scheduler="none")  # every trial in full
        writer = Unsynced(folder / "large" / FILE)
        run(plan, writer, folder)
        writer.file.close()
        start = time.perf_counter()
        state = SweepState.replay(read_journal(folder / "large"))
        Controller(plan, state, writer, concurrency=1)
        replay = time.perf_counter() - start
        size = (folder / "large" / FILE).stat().st_size / 2**20
    (ours, ours_99), (base, base_99), (old, old_99) = (figures(each) for each in (times, bare, before))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"a report      {ours:.2f} ms at the median of {len(times)}, {ours_99:.2f} ms at the 99th percentile")
    print(f"version 4     {old:.2f} and {old_99:.2f} ms; a bare fsynced append {base:.2f} and {base_99:.2f} ms")
    print(f"replay        {replay:.1f} s for {len(state.trials)} trials x {options.epochs} epochs ({size:.0f} MiB)")
    print(f"peak memory   {peak:.0f} MiB, torch and all included")
    print(json.dumps({"report_ms": ours, "version_4_ms": old, "bare_ms": base, "replay_s": replay, "peak_mib": peak}))


if __name__ == "__main__":
    main()
