"""How long reading a sweep takes: `balltrain results` of 10 000 trials, reports of 100 and of 1 000 x 90 epochs.

    python benchmarks/reading.py

Targets: results 2 s; reports 10 s and 8 MB, 30 s. The tables are made up, the commands are the real ones, each in a
process of its own.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from balltrain.records.state import SweepState
from balltrain.records.tables import write_tables
from balltrain.search.plan import make_plan
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest

RUNS = (("results", 10_000, 3, 2.0), ("report", 100, 90, 10.0), ("report", 1000, 90, 30.0))


def write_sweep(folder: Path, trials: int, epochs: int) -> None:
    """A sweep of the detector whose losses are a formula of its hyperparameters; every trial in full."""
    sweep, _ = find_sweep("detect_heatmap")
    plan = make_plan(sweep, task_ref("detect"), name=folder.name, request=DataRequest())
    state, rng, now = SweepState(), random.Random(0), 1.79e9
    header = {
        **plan.to_json(),
        "trials": trials,
        "epochs": epochs,
        "data_fingerprint": "f" * 64,
        "created_at": "2026",
    }
    state.apply({"type": "sweep", "sweep": header, "time": now})
    for number in range(trials):
        point = plan.space.from_unit_cube([rng.random() for _ in plan.space.dimensions])
        config = plan.configure(plan.space.decode(point))
        state.apply({"type": "trial", "number": number, "config": config, "point": point, "seed": number})
        start = now + number // 8 * epochs
        state.apply({"type": "start", "number": number, "time": start})
        floor = 1e-5 * (1 + math.log10(config["lr"] / 3e-3) ** 2) * (1 + 64 / config["batch_size"])
        for epoch in range(1, epochs + 1):
            value = floor + 0.1 * math.exp(-epoch / 6) * rng.uniform(0.8, 1.2)
            figures = dict.fromkeys(plan.task.metric_names, 1 - value)
            row = {"epoch": epoch, "seconds": 1.0, "lr": config["lr"], "train_loss": value * 0.9, "val_loss": value}
            row |= {"objective": value, "metrics": figures, "node": f"node-{number % 2}", "num_params": 131_601}
            row["decision"] = "complete" if epoch == epochs else "continue"
            state.apply({"type": "report", "number": number, "row": row, "time": start + epoch})
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(header))
    write_tables(state, plan.task, folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        for command, trials, epochs, target in RUNS:
            name = f"{trials}x{epochs}"
            write_sweep(Path(temporary) / name, trials, epochs)
            start = time.monotonic()
            arguments = [sys.executable, "-m", "balltrain.cli", command, name, "--storage", temporary]
            subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - start
            page = Path(temporary) / name / "report.html"
            size = f", {page.stat().st_size / 1e6:.1f} MB" if page.exists() else ""
            print(f"{command} of {trials} trials x {epochs} epochs: {seconds:.1f} s (target {target:g} s){size}")


if __name__ == "__main__":
    main()
