"""A sweep of ten thousand trials of milliseconds: what its driver costs at the end beside what it cost at the start.

    python benchmarks/soak.py [--trials 10000] [--epochs 3] [--searcher hyperopt]

All that a sweep's process does but Ray: proposals, decisions, the journal on disk, the tables every so often,
checkpoints that drop out. Trials are a formula. Then the sweep is resumed, as after a kill.
"""

import argparse
import gc
import json
import os
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from balltrain.execution.keeping import deleted_checkpoints
from balltrain.execution.sweep_folder import sweep_files
from balltrain.records.tables import FollowingTables
from balltrain.search.controller import Controller
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

COMPACT_EVERY_S = 20.0


class Data:
    fingerprint = "f"


def plan_of(options):
    sweep, ref = find_sweep("detect")
    wanted = {"trials": options.trials, "epochs": options.epochs, "searcher": options.searcher, "grace": 1}
    return make_plan(override(sweep, **wanted), ref, name="soak", request=DataRequest())


def row(attempt, epoch: int) -> dict:
    value = attempt.config["lr"] ** 0.5 + 1 / (epoch + attempt.number % 97)
    figures = {"seconds": 0.001, "lr": 1e-3, "train_loss": value, "val_loss": value, "objective": value}
    return {"epoch": epoch, **figures, "metrics": {"iou": 1 - value, "mse": value}, "num_params": 9, "node": "node-1"}


def resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(controller: Controller, folder: Path, most: int, each, tables_s: list[float]) -> None:
    """Until so many trials have ended. What the tables take goes to `tables_s`: in a sweep they have their thread."""
    compacted, ended, tables = time.monotonic(), 0, FollowingTables(folder, controller.plan.task)
    while ended < most and (attempt := controller.next_attempt()):
        for epoch in range(attempt.reported_epochs + 1, controller.plan.epochs + 1):
            if controller.report(attempt.number, row(attempt, epoch)) != "continue":
                break
        ended += 1
        each(attempt.number)
        if time.monotonic() - compacted > COMPACT_EVERY_S:
            began = time.thread_time()
            tables.write()
            compacted = time.monotonic()
            tables_s.append(time.thread_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--searcher", default="hyperopt")
    options = parser.parse_args()
    plan = plan_of(options)
    part = options.trials // 10
    each_ms, cpu_ms, memory, tables_s, tables_before = [], [], [resident_mib()], [], 0
    began, cpu_began = time.perf_counter(), time.process_time()

    def each(number: int) -> None:
        nonlocal began, cpu_began, tables_before
        if (number + 1) % part == 0:
            each_ms.append(1000 * (time.perf_counter() - began) / part)
            cpu_ms.append(1000 * (time.process_time() - cpu_began - sum(tables_s[tables_before:])) / part)
            tables_before = len(tables_s)
            memory.append(resident_mib())
            took = f"{each_ms[-1]:6.2f} ms a trial, {cpu_ms[-1]:5.2f} of them computing"
            print(f"{number + 1:6} trials  {took}  {memory[-1]:.0f} MiB", flush=True)
            began, cpu_began = time.perf_counter(), time.process_time()

    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name) / "soak"
        with sweep_files(plan, folder, Data(), {}, resume=False) as (journal, state):
            controller = Controller(plan, state, journal, concurrency=2)
            with deleted_checkpoints(state, folder) as controller.on_dropped:
                run(controller, folder, options.trials, each, tables_s)
        trials = pq.read_table(folder / "trials.parquet")
        epochs = pq.read_table(folder / "epochs.parquet")
        assert len(trials) == options.trials
        assert len(epochs) == sum(len(trial.rows) for trial in state.trials.values())
        began, cpu_began = time.perf_counter(), time.process_time()
        with sweep_files(plan, folder, Data(), {}, resume=True) as (journal, state):
            controller = Controller(plan, state, journal, concurrency=2)
            controller.next_attempt()
            resumed, resumed_cpu = time.perf_counter() - began, time.process_time() - cpu_began
        size = (folder / "journal.jsonl").stat().st_size / 2**20
    ratios = {}
    for name, found in (("a trial", each_ms), ("computing", cpu_ms)):  # the rest is the disk, and who else computes
        ratios[name] = found[-1] / found[0]
        first_last = f"{found[0]:.2f} ms in the first tenth, {found[-1]:.2f} ms in the last"
        print(f"{name:14}{first_last}: ratio {ratios[name]:.2f}")
    print(
        f"memory        {memory[1]:.0f} MiB after a tenth, {memory[-1]:.0f} MiB at the end ({memory[0]:.0f} before)"
    )
    words = f"{resumed:.1f} s, {resumed_cpu:.1f} s of them computing, for {len(state.trials)} trials"
    print(f"resume        {words} ({size:.0f} MiB of journal)")
    if tables_s:
        print(f"tables        {tables_s[-1]:.2f} s of computing at the end, every {COMPACT_EVERY_S:g} s")
    print(json.dumps({"ratios": ratios, "mib_at_tenth": memory[1], "mib": memory[-1], "resume_s": resumed}))


if __name__ == "__main__":
    main()
