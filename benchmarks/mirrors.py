"""What W&B, TensorBoard and MLflow cost: beside a sweep of trials that train nothing, and by row.

    python benchmarks/mirrors.py [--trials 100] [--rows 90]

First the seconds a trial of the same sweep with no mirror, with all of them, and with a W&B and an MLflow server that
hang. Then the time of each mirror's own thread, on a journal of `--rows` rows a trial.
"""

import argparse
import json
import os
import socket
import tempfile
import time
from contextlib import ExitStack, redirect_stderr
from io import StringIO
from pathlib import Path

from balltrain.execution.ray_session import RAY_ENVIRONMENT
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.records.journal import VERSION
from balltrain.records.state import SweepState
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest
from balltrain.tracking.mirrors import Mirrors

IDLE = str(Path(__file__).with_name("idle_task.py"))


def sweep_seconds(trials: int, folder: Path, mirrors: Mirrors) -> tuple[float, float]:
    """Of all trials, from when Ray is up to the end of the last; and of what came after it."""
    sweep, ref = find_sweep(IDLE)
    plan = make_plan(override(sweep, trials=trials), ref, name="idle", request=DataRequest())
    ray_is_up = []
    result = run_sweep(
        plan,
        folder / "idle",
        Resources(num_gpus=0, cpus_per_trial=1),
        data_dir=folder.parent / "data",
        mirrors=mirrors,
        resume=False,
        on_phase=lambda phase: None if phase else ray_is_up.append(time.time()),
    )
    ended = max(trial.ended_at for trial in result.state.trials.values())
    return ended - ray_is_up[0], time.time() - ended


def mirror_seconds(mirrors: Mirrors, folder: Path, trials: int, rows: int) -> float:
    """Of a mirror's thread, a trial of so many rows."""
    (mirror,) = mirrors.build(folder)
    sweep, ref = find_sweep(IDLE)
    plan = make_plan(sweep, ref, name=f"idle-{rows}", request=DataRequest())
    state = SweepState()
    state.apply({"type": "sweep", "version": VERSION, "sweep": {**plan.to_json(), "data_fingerprint": "f"}})
    mirror.open(state)
    for number in range(trials + 1):
        if number == 1:  # the first imports
            start = time.perf_counter()
        config = plan.configure(plan.space.decode({"lr": 0.01}))
        state.apply({"type": "trial", "number": number, "point": {}, "config": config, "seed": 0})
        state.apply({"type": "start", "number": number, "time": 0.0})
        for epoch in range(1, rows + 1):
            row = {"epoch": epoch, "seconds": 1.0, "lr": 0.01, "train_loss": 1.0, "val_loss": 1.0, "objective": 1.0}
            row |= {"metrics": {"accuracy": 0.5}, "decision": "complete" if epoch == rows else "continue"}
            state.apply({"type": "report", "number": number, "row": row, "time": float(epoch)})
            mirror.update(state.trials[number])
    seconds = (time.perf_counter() - start) / trials
    mirror.close(state)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rows", type=int, default=90)
    options = parser.parse_args()
    os.environ.update(RAY_ENVIRONMENT)
    found = {}
    with tempfile.TemporaryDirectory() as root, ExitStack() as open_:
        hanging = open_.enter_context(socket.socket())
        hanging.bind(("127.0.0.1", 0))
        hanging.listen(100)  # accepted by the kernel, never answered
        nowhere = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        cases = {
            "none": Mirrors(),
            "all three": Mirrors("offline", True, f"sqlite:///{root}/mlflow.db"),
            "servers that hang": Mirrors("online", False, nowhere),
        }
        for name, mirrors in cases.items():
            os.environ["WANDB_BASE_URL"] = nowhere
            seconds, after = sweep_seconds(options.trials, Path(root) / name, mirrors)
            found[name] = seconds / options.trials
            print(f"{name:<20} {seconds / options.trials:.3f} s a trial, and {after:.1f} s after the last")
        for name, mirrors in {
            "W&B offline": Mirrors("offline"),
            "TensorBoard": Mirrors(tensorboard=True),
            "MLflow, sqlite": Mirrors(mlflow=f"sqlite:///{root}/own.db"),
        }.items():
            with redirect_stderr(StringIO()):
                many, one = (
                    mirror_seconds(mirrors, Path(root) / f"{name}-{rows}", 10, rows) for rows in (options.rows, 1)
                )
            row = (many - one) / (options.rows - 1)
            found[name] = {"trial": one, "row": row}
            print(f"{name:<20} {one:.3f} s a trial, {row * 1000:.2f} ms a row, of its own thread")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
