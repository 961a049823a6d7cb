"""What other nodes and many trials at a time cost: nodes simulated on this machine, and the driver's work a report.

    python benchmarks/cluster.py [--trials 500]

The nodes are Ray's own simulation (ray.cluster_utils), one CPU each, with a task that trains nothing. The baseline
of a trial on another node is the same sweep on the head. The driver's cost a report is the CPU time of its process
in a sweep of many epochs; the controller's and the journal's part of it is measured apart, for as many trials at a
time as are named, with the journal on this disk.
"""

import argparse
import contextlib
import itertools
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from balltrain.execution.ray_session import RAY_ENVIRONMENT
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.records.journal import VERSION, Journal, read_journal
from balltrain.records.state import SweepState
from balltrain.search.controller import Controller
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

AT_A_TIME = (64, 256, 1024)
EPOCH_SECONDS = 10  # for which the number of trials is said


def plan_of(trials: int, epochs: int):
    sweep, ref = find_sweep(str(Path(__file__).with_name("idle_task.py")))
    options = {"trials": trials, "epochs": epochs, "scheduler": "none", "searcher": "random"}
    return make_plan(override(sweep, **options), ref, name="idle", request=DataRequest())


@contextlib.contextmanager
def cluster_of(*cpus: int):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus[0], "include_dashboard": False})
    for count in cpus[1:]:
        cluster.add_node(num_cpus=count)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def run(folder: Path, trials: int, epochs: int, *cpus: int) -> dict[str, float]:
    """Seconds from the first trial's start, seconds of the median trial, CPU seconds of the driver a report."""
    up: list[tuple[float, float]] = []

    def on_phase(phase: str) -> None:
        if not phase:
            up.append((time.monotonic(), cpu_seconds()))

    with cluster_of(*cpus) as address:
        resources = Resources(num_gpus=0, cpus_per_trial=1, address=address)
        run_sweep(
            plan_of(trials, epochs),
            folder,
            resources,
            data_dir=None,
            resume=False,
            on_phase=on_phase,
        )
        seconds, cpu = time.monotonic() - up[0][0], cpu_seconds() - up[0][1]
    reports = [line["time"] for line in read_journal(folder) if line["type"] == "report"]
    gaps = [after - before for before, after in itertools.pairwise(reports)]
    return {"seconds": seconds, "gap": statistics.median(gaps), "cpu_a_report": cpu / len(reports)}


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def controller_ms(folder: Path, at_a_time: int, reports: int = 3000) -> float:
    """Milliseconds of a report in the controller, fsynced journal included, with so many trials at a time."""
    epochs = reports // at_a_time + 2
    plan = plan_of(at_a_time, epochs)
    journal, state = Journal(folder), SweepState()
    header = {"type": "sweep", "version": VERSION, "sweep": {**plan.to_json(), "data_fingerprint": ""}}
    journal.append(header)
    state.apply(header)
    controller = Controller(plan, state, journal, concurrency=at_a_time)
    live = []
    while attempt := controller.next_attempt():
        live.append(attempt)
    assert len(live) == at_a_time
    figures = {"seconds": 1.0, "lr": 1e-3, "train_loss": 1.0, "val_loss": 1.0, "objective": 1.0, "metrics": {}}
    times = []
    for epoch in range(1, epochs):
        for attempt in live:
            start = time.perf_counter()
            controller.report(attempt.number, {"epoch": epoch, **figures, "num_params": 1, "node": "n"})
            times.append(time.perf_counter() - start)
    journal.close()
    return 1000 * statistics.mean(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=500)
    options = parser.parse_args()
    os.environ.update(RAY_ENVIRONMENT)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder.resolve() / "cache")
        head = run(folder / "head", 60, 1, 1)
        other = run(folder / "other", 60, 1, 0, 1)
        three = run(folder / "three", options.trials, 1, 1, 1, 1)
        long = run(folder / "long", 3, 400, 1, 1, 1)
        controller = {count: controller_ms(folder / f"c{count}", count) for count in AT_A_TIME}
    driver_ms = 1000 * long["cpu_a_report"]
    added = other["gap"] - head["gap"]
    print(f"a trial on another node   {added:+.3f} s against the head, after its first ({head['gap']:.3f} s there)")
    a_trial = three["seconds"] / options.trials
    print(f"{options.trials} trials on 3 nodes     {three['seconds']:.1f} s: {a_trial:.3f} s a trial")
    for count, ms in controller.items():
        print(f"{count:5} trials at a time    {ms:.2f} ms a report in the controller, journal fsynced")
    print(f"the driver                {driver_ms:.2f} ms of CPU a report, Ray Tune's loop included")
    print(
        f"so at most                {1000 / driver_ms:.0f} reports a second: "
        f"{EPOCH_SECONDS * 1000 / driver_ms:.0f} trials at a time with epochs of {EPOCH_SECONDS} s"
    )
    figures = {"added_s": added, "seconds_a_trial": a_trial, "driver_ms": driver_ms}
    print(json.dumps({**figures, "controller_ms": controller}))


if __name__ == "__main__":
    sys.exit(main())
